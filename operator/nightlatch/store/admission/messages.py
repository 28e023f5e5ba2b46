"""Structural violations as `(field path, message)`, with messages that say what to write."""

from collections.abc import Callable, Iterator
from typing import Any, cast

from jsonschema import Draft202012Validator, ValidationError

from nightlatch.api.crd.schema import Schema
from nightlatch.api.validation.causes import Cause, path_text
from nightlatch.api.validation.suggest import did_you_mean

_TYPE_NAMES = {
    "object": "a map",
    "array": "a list",
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
}


def structural_violations(schema: Schema, value: Any) -> Iterator[Cause]:
    """A cause for each place where `value` violates the schema, ordered by path."""
    validator = Draft202012Validator(schema)
    errors: Iterator[ValidationError] = validator.iter_errors(value)
    for error in sorted(errors, key=lambda each: [str(part) for part in each.absolute_path]):
        yield from _causes(error)


def _causes(error: ValidationError) -> Iterator[Cause]:
    path = tuple(error.absolute_path)
    if error.validator == "required":
        missing = error.message.split("'")[1]
        yield path_text((*path, missing)), "required value: write it"
        return
    say = _SAY.get(str(error.validator))
    yield path_text(path), say(error) if say else error.message


def _type(error: ValidationError) -> str:
    wanted = str(error.validator_value)
    hint = ": put it in quotes" if wanted == "string" and _is_scalar(error.instance) else ""
    return f"must be {_TYPE_NAMES.get(wanted, wanted)}, not {_named(error.instance)}{hint}"


def _is_scalar(value: Any) -> bool:
    return isinstance(value, bool | int | float)


def _named(value: Any) -> str:
    names = ((dict, "a map"), (list, "a list"), (str, "text"), (bool, "true or false"), (int | float, "a number"))
    return next((name for kind, name in names if isinstance(value, kind)), "nothing")


def _enum(error: ValidationError) -> str:
    choices = tuple(map(str, cast("list[Any]", error.validator_value)))
    return (
        f"unsupported value {_quoted(error.instance)}: write one of {', '.join(choices)}"
        f"{did_you_mean(str(error.instance), choices)}"
    )


def _quoted(value: Any) -> str:
    text = str(value)
    return f'"{text if len(text) <= 80 else text[:77] + "..."}"'


_SAY: dict[str, Callable[[ValidationError], str]] = {
    "type": _type,
    "enum": _enum,
    "pattern": lambda error: f"{_quoted(error.instance)} must match {error.validator_value}",
    "anyOf": lambda error: f"must be text or a whole number, not {_named(error.instance)}",
    "minimum": lambda error: f"{error.instance} is too low: write {error.validator_value} or more",
    "maximum": lambda error: f"{error.instance} is too high: write {error.validator_value} or less",
    "minLength": lambda _: "must not be empty: write a value or remove the field",
    "maxLength": lambda error: f"too long: may not be more than {error.validator_value} characters",
    "minItems": lambda error: f"too few items: write at least {error.validator_value}",
    "maxItems": lambda error: f"too many items: write at most {error.validator_value}",
    "maxProperties": lambda error: f"too many entries: write at most {error.validator_value}",
}
