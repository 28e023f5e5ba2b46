"""Writes JSON Schemas of our kinds for kubeconform and for editors: `python -m tools.json_schemas DIRECTORY`.

A CRD's schema leaves out what the API server does by itself. Here it is written down: unknown fields are refused, an
optional field may be null, and every object has apiVersion, kind and metadata.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nightlatch.api.crd.generate import RESOURCES, schema_of
from nightlatch.api.meta import API_VERSION, GROUP, VERSION, Kind

# Where kubeconform finds them, below DIRECTORY: the argument of its option -schema-location.
LOCATION = "{{.Group}}/{{.ResourceKind}}_{{.ResourceAPIVersion}}.json"

Schema = dict[str, Any]


def json_schema(kind: Kind) -> Schema:
    """The JSON Schema of a whole object of this kind."""
    schema = strict(schema_of(kind))
    properties = schema["properties"] | {
        "apiVersion": {"const": API_VERSION},
        "kind": {"const": kind.kind},
        # The API server's own part, of which the CRD restricts the name alone.
        "metadata": {**schema["properties"]["metadata"], "additionalProperties": True},
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "required": ["apiVersion", "kind", "metadata", *schema["required"]],
        "properties": properties,
    }


def strict(schema: Schema) -> Schema:
    """The JSON Schema of a structural schema or of a part of it."""
    converted = {key: value for key, value in schema.items() if not key.startswith("x-kubernetes-")}
    for bound in ("exclusiveMinimum", "exclusiveMaximum"):
        if converted.pop(bound, False):
            converted[bound] = converted.pop(bound.replace("exclusiveM", "m"))
    if "properties" in schema:
        required = schema.get("required", ())
        converted["properties"] = {
            name: strict(child) if name in required else _optional(strict(child))
            for name, child in schema["properties"].items()
        }
    if "items" in schema:
        converted["items"] = strict(schema["items"])
    if "additionalProperties" in schema:
        converted["additionalProperties"] = strict(schema["additionalProperties"])
    elif schema.get("type") == "object" and not schema.get("x-kubernetes-preserve-unknown-fields"):
        converted["additionalProperties"] = False
    return converted


def _optional(schema: Schema) -> Schema:
    if "type" not in schema:
        return {**schema, "anyOf": [*schema["anyOf"], {"type": "null"}]} if "anyOf" in schema else schema
    nullable = {**schema, "type": [schema["type"], "null"]}
    return {**nullable, "enum": [*schema["enum"], None]} if "enum" in schema else nullable


def rendered(directory: Path) -> dict[Path, str]:
    """The text of each file below `directory`."""
    return {
        directory / GROUP / f"{resource.kind.kind.lower()}_{VERSION}.json": json.dumps(
            json_schema(resource.kind), indent=2
        )
        + "\n"
        for resource in RESOURCES
    }


def main(arguments: Sequence[str]) -> int:
    """Write the files. Returns the exit status."""
    if len(arguments) != 1:
        print(__doc__.splitlines()[0], file=sys.stderr)
        return 2
    for path, text in rendered(Path(arguments[0])).items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
