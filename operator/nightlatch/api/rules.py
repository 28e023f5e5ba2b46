"""Helpers to write CEL rules on the models. The CRD carries them as `x-kubernetes-validations`.

The rules use core CEL only (no Kubernetes library, no optionals, no `oldSelf`), so that the API server and the
embedded store (store/admission/cel.py) decide alike. Every message says in one line what to write instead.
"""

from typing import Any

from nightlatch.api import duration

KEYWORD = "x-kubernetes-validations"
OUT_OF_RANGE = "out of range: write "


# A list that two writers with server-side apply merge item by item; a duplicate is refused.
AS_SET: dict[str, Any] = {"x-kubernetes-list-type": "set"}


def as_map(*keys: str) -> dict[str, Any]:
    """A `json_schema_extra` for a list of objects that are told apart by these fields, and merged as in `AS_SET`."""
    return {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": list(keys)}


def rules(*pairs: tuple[str, str]) -> dict[str, Any]:
    """A `json_schema_extra` with these rules, each given as `(expression, message)`."""
    return {KEYWORD: [{"rule": expression, "message": message} for expression, message in pairs]}


def matching(pattern: str, message: str) -> dict[str, Any]:
    """A pattern as a rule, so that users read `message`. The pattern must not contain `'` or a backslash."""
    return rules((f"self.matches('{pattern}')", message))


def shorter(field: str, other: str) -> str:
    """An expression that is true if `field` is the shorter duration of the two, or if one of them is left out."""
    unknown = " || ".join(f"!has(self.{name}) || !self.{name}.matches('{duration.PATTERN}')" for name in (field, other))
    return f"{unknown} || duration(self.{field}) < duration(self.{other})"


def shorter_or_equal(field: str, other: str) -> str:
    """As `shorter`, for two texts that are present and may be equal."""
    unknown = " || ".join(f"!{name}.matches('{duration.PATTERN}')" for name in (field, other))
    return f"{unknown} || duration({field}) <= duration({other})"


# A certificate is used for a minute at least, so that no object makes the operator issue certificates all the time.
_RENEWED_LATER = (
    f"!has(self.renewBefore) || !self.renewBefore.matches('{duration.PATTERN}') || "
    f"!self.duration.matches('{duration.PATTERN}') || "
    "duration(self.duration) - duration(self.renewBefore) >= duration('1m')"
)
RENEWAL = (
    _RENEWED_LATER,
    "renewBefore must be at least 1m shorter than duration: shorten it, or leave it out for a third of duration",
)


def exactly_one(*fields: str) -> str:
    """An expression that is true if exactly one of the fields is present."""
    return f"[{', '.join(f'has(self.{name})' for name in fields)}].filter(present, present).size() == 1"
