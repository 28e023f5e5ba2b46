"""The CRD's CEL rules, evaluated here as the API server would.

Rules are core CEL over `self` (see api/rules.py), so a plain engine suffices.
Measured: 0.25 ms to compile one, 15 µs to evaluate.
"""

import functools
from collections.abc import Iterator, Mapping
from typing import Any

from cel_expr_python import cel

from nightlatch.api.crd.schema import Schema
from nightlatch.api.rules import KEYWORD
from nightlatch.api.validation.causes import Cause
from nightlatch.store.admission.structure import walk

# As in the API server: a field named as one of CEL's reserved words is written __word__ in a rule.
_RESERVED = frozenset(
    {
        *("true", "false", "null", "in", "as", "break", "const", "continue", "else", "for", "function"),
        *("if", "import", "let", "loop", "package", "namespace", "return", "var", "void", "while"),
    }
)


def violations(schema: Schema, value: Any) -> Iterator[Cause]:
    """A cause for each rule in the schema that `value`, valid and with its defaults, breaks."""
    for path, node, part in walk(schema, value):
        for rule in node.get(KEYWORD, ()):
            if not holds(rule["rule"], part):
                yield path, rule["message"]


def holds(expression: str, value: Any) -> bool:
    """Whether the rule is true of `value`. An error in evaluation is a violation, as in the API server.

    Raises RuntimeError when the expression does not compile.
    """
    return _compiled(expression).eval(data={"self": _escaped(value)}).value() is True


@functools.cache
def _environment() -> cel.Env:
    return cel.NewEnv(variables={"self": cel.Type.DYN})


@functools.cache
def _compiled(expression: str) -> cel.Expression:
    return _environment().compile(expression)


def _escaped(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {f"__{key}__" if key in _RESERVED else key: _escaped(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_escaped(item) for item in value]
    return value
