"""Helpers to write CEL rules on the models. The CRD carries them as `x-kubernetes-validations`.

The rules use core CEL only (no Kubernetes library, no optionals, no `oldSelf`), so that the API server and the
embedded store (store/admission/cel.py) decide alike. Every message says in one line what to write instead.
"""

from typing import Any

KEYWORD = "x-kubernetes-validations"


def rules(*pairs: tuple[str, str]) -> dict[str, Any]:
    """A `json_schema_extra` with these rules, each given as `(expression, message)`."""
    return {KEYWORD: [{"rule": expression, "message": message} for expression, message in pairs]}


def matching(pattern: str, message: str) -> dict[str, Any]:
    """A pattern as a rule, so that users read `message`. The pattern must not contain `'` or a backslash."""
    return rules((f"self.matches('{pattern}')", message))


def exactly_one(*fields: str) -> str:
    """An expression that is true if exactly one of the fields is present."""
    return f"[{', '.join(f'has(self.{name})' for name in fields)}].filter(present, present).size() == 1"
