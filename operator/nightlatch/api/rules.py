"""CEL rules that ride on the models into the CRD's `x-kubernetes-validations`.

They use no Kubernetes CEL library, no optionals and no `oldSelf`, so that the API server's engine and a plain one
(store/cel.py) agree. Every message says what to write instead, in one line.
"""

from typing import Any

KEYWORD = "x-kubernetes-validations"


def rules(*pairs: tuple[str, str]) -> dict[str, Any]:
    """`json_schema_extra` that carries the rules, each `(expression, message)`."""
    return {KEYWORD: [{"rule": expression, "message": message} for expression, message in pairs]}


def matching(pattern: str, message: str) -> dict[str, Any]:
    """A pattern as a rule, so that a user reads `message`. The pattern holds no `'` and no backslash."""
    return rules((f"self.matches('{pattern}')", message))


def exactly_one(*fields: str) -> str:
    """The expression that is true when just one of the fields is there."""
    return f"[{', '.join(f'has(self.{name})' for name in fields)}].filter(present, present).size() == 1"
