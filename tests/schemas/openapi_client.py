"""Types as a user of an OpenAPI generator gets them, and what they make of an object."""

import importlib.util
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from datamodel_code_generator import InputFileType, generate
from datamodel_code_generator.enums import DataModelType
from pydantic import BaseModel

from nightlatch.api.crd.generate import RESOURCES, schema_of
from nightlatch.api.meta import RawObject

Client = Callable[[RawObject], RawObject]


def crd_document() -> dict[str, Any]:
    """The CRDs' schemas as an OpenAPI document. Like an API server, it describes `metadata` by its own schema."""
    schemas = {resource.kind.kind: _with_open_metadata(schema_of(resource.kind)) for resource in RESOURCES}
    return {
        "openapi": "3.0.3",
        "info": {"title": "nightlatch", "version": "v1alpha1"},
        "paths": {},
        "components": {"schemas": schemas},
    }


def _with_open_metadata(schema: dict[str, Any]) -> dict[str, Any]:
    return {**schema, "properties": {**schema["properties"], "metadata": {"type": "object"}}}


def client_of(document: dict[str, Any], directory: Path, names: dict[str, str] | None = None) -> Client:
    """A function that parses an object with the types generated from `document` and writes it back.

    names: the name of each kind's type, if it is not the kind's. The types refuse what the document does not describe.
    """
    (directory / "openapi.json").write_text(json.dumps(document))
    generate(
        directory / "openapi.json",
        input_file_type=InputFileType.OpenAPI,
        output=directory / "generated_types.py",
        output_model_type=DataModelType.PydanticV2BaseModel,
        snake_case_field=True,
        extra_fields="forbid",
        treat_dot_as_module=False,
        formatters=[],
    )
    types = _imported(directory / "generated_types.py")

    def written_back(obj: RawObject) -> RawObject:
        model: type[BaseModel] = getattr(types, (names or {}).get(obj["kind"], obj["kind"]))
        parsed = model.model_validate(obj)
        written: RawObject = parsed.model_dump(mode="json", by_alias=True, exclude_unset=True)
        return written

    return written_back


def _imported(path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(f"{path.stem}_{abs(hash(path))}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # pydantic looks up the types that a type names there
    spec.loader.exec_module(module)
    return module
