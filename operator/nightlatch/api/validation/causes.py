"""Why an object is refused: pairs of a field path, in the form `spec.access.accept[0]`, and what to write instead."""

from collections.abc import Iterable, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from nightlatch.api.validation.suggest import did_you_mean

Cause = tuple[str, str]


def path_text(parts: Iterable[str | int]) -> str:
    """The parts of a path joined to the form `spec.access.accept[0]`."""
    text = ""
    for part in parts:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def joined(causes: Iterable[Cause]) -> str:
    """All causes in one line."""
    return "; ".join(f"{path}: {message}" if path else message for path, message in causes)


def causes_of(error: ValidationError, model: type[BaseModel], root: str) -> tuple[Cause, ...]:
    """The causes in a pydantic error about `model`, which is at field `root`. They never repeat a value."""
    return tuple(
        (path_text((root, *detail["loc"])), _message(detail, model)) for detail in error.errors(include_url=False)
    )


def _message(detail: ErrorDetails, model: type[BaseModel]) -> str:
    match detail["type"]:
        case "missing":
            return "is required"
        case "extra_forbidden":
            return "is unknown" + did_you_mean(str(detail["loc"][-1]), _fields_at(model, detail["loc"][:-1]))
        case "literal_error":
            return f"write one of {detail['ctx']['expected']}"
        case "value_error":
            return str(detail["ctx"]["error"])
        case _:
            return detail["msg"]


def _fields_at(model: type[BaseModel], location: Sequence[str | int]) -> tuple[str, ...]:
    """The fields that `model` has at a location."""
    document = model.model_json_schema(by_alias=True)
    node = _resolved(document, document)
    for part in location:
        child = node.get("items", {}) if isinstance(part, int) else node.get("properties", {}).get(part, {})
        node = _resolved(child, document)
    return tuple(node.get("properties", ()))


def _resolved(node: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    branches = [branch for branch in node.get("anyOf", ()) if branch.get("type") != "null"]
    node = branches[0] if branches else node
    reference = node.get("$ref")
    found: dict[str, Any] = document["$defs"][reference.rsplit("/", 1)[-1]] if reference else node
    return found
