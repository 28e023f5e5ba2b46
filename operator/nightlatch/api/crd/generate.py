"""The CustomResourceDefinitions, generated from the models.

`python -m nightlatch.api.crd.generate DIR` writes them; with `--check` it writes nothing and fails if a file differs.
"""

import argparse
import functools
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel

from nightlatch.api import names
from nightlatch.api.client import InferenceClient
from nightlatch.api.crd.columns import COLUMNS
from nightlatch.api.crd.schema import Schema, structural
from nightlatch.api.endpoint import InferenceEndpoint
from nightlatch.api.issuer import TokenIssuer
from nightlatch.api.meta import GROUP, INFERENCE_CLIENT, INFERENCE_ENDPOINT, TOKEN_ISSUER, VERSION, Kind, RawObject
from nightlatch.api.rules import KEYWORD
from nightlatch.generated_files import write_or_check

HEADER = "# Generated from operator/nightlatch/api by `make generate`. Change the models, not this file.\n"

# The rules below decide. The schema's own limit is the API server's, and bounds what the rules may cost.
_NAMES: Schema = {
    "type": "object",
    "properties": {key: {"type": "string", "maxLength": 253} for key in ("name", "generateName")},
}


def _name_rule(expression: str, message: str) -> Schema:
    return {"rule": expression, "message": message, "fieldPath": ".metadata.name"}


_NAME_RULE = _name_rule(
    f"size(self.metadata.name) <= {names.MAX_NAME_LENGTH} && self.metadata.name.matches('{names.NAME_PATTERN}')",
    f"write a name of at most {names.MAX_NAME_LENGTH} lower-case letters, digits and '-', with a letter first and a "
    "letter or digit last: Services, Secrets and labels get their names from it",
)
_PODS_RULE = _name_rule(
    f"!self.metadata.name.endsWith('{names.PODS_SUFFIX}')",
    f"a name must not end in {names.PODS_SUFFIX}: the Service NAME{names.PODS_SUFFIX} belongs to the endpoint NAME",
)


@dataclass(frozen=True, slots=True)
class Resource:
    """What the CRD of one kind is made from, besides its printer columns."""

    kind: Kind
    model: type[BaseModel]
    short_name: str


RESOURCES = (
    Resource(INFERENCE_ENDPOINT, InferenceEndpoint, "ie"),
    Resource(INFERENCE_CLIENT, InferenceClient, "ic"),
    Resource(TOKEN_ISSUER, TokenIssuer, "ti"),
)


@functools.cache
def schema_of(kind: Kind) -> Schema:
    """The schema that the CRD of `kind` carries. Callers share it and must not change it. Raises StopIteration for a
    kind that is not ours."""
    model = next(resource for resource in RESOURCES if resource.kind == kind).model
    return {
        "type": "object",
        "description": model.__doc__,
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": _NAMES,
            "spec": structural(_model_of(model, "spec")),
            "status": _status(_model_of(model, "status")),
        },
        KEYWORD: [_NAME_RULE, _PODS_RULE] if kind == INFERENCE_ENDPOINT else [_NAME_RULE],
    }


def _status(model: type[BaseModel]) -> Schema:
    """A new object's status says that nothing was observed yet; without one, tools take the object for settled."""
    schema = structural(model, defaults=False)
    lists: dict[str, list[str]] = {
        name: [] for name, field in schema["properties"].items() if field.get("type") == "array"
    }
    return {**schema, "default": {"observedGeneration": 0, **lists}}


def _model_of(model: type[BaseModel], field: str) -> type[BaseModel]:
    annotation = model.model_fields[field].annotation
    if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
        raise TypeError(f"{model.__name__}.{field} is not a model")
    return annotation


def definition(resource: Resource) -> RawObject:
    """The whole CustomResourceDefinition."""
    kind = resource.kind
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{kind.plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {
                "kind": kind.kind,
                "listKind": f"{kind.kind}List",
                "plural": kind.plural,
                "singular": kind.kind.lower(),
                "shortNames": [resource.short_name],
                "categories": ["nightlatch"],
            },
            "versions": [
                {
                    "name": VERSION,
                    "served": True,
                    "storage": True,
                    "subresources": {"status": {}},
                    "additionalPrinterColumns": [column.printer_column() for column in COLUMNS[kind]],
                    "schema": {"openAPIV3Schema": schema_of(kind)},
                }
            ],
        },
    }


class _Plain(yaml.SafeDumper):
    """Repeats shared parts instead of writing anchors and aliases, which are hard to read."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - the base class's signature
        return True


def rendered(directory: Path) -> dict[Path, str]:
    """The YAML text of each file below `directory`."""
    return {
        directory / f"{resource.kind.plural}.yaml": HEADER
        + yaml.dump(definition(resource), Dumper=_Plain, sort_keys=False, width=110, allow_unicode=True)
        for resource in RESOURCES
    }


def main(arguments: list[str]) -> int:
    """Run the command line in the module's docstring. Returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m nightlatch.api.crd.generate", description=__doc__)
    parser.add_argument("directory", type=Path)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a file differs")
    options = parser.parse_args(arguments)
    return write_or_check(rendered(options.directory), check=options.check)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
