"""The two stateless Lua filters, from their files. Nothing of a tenant ever enters them."""

from functools import cache
from importlib.resources import files

_CLASSIFY = ("sha256", "api_key", "reply", "classify")
_DECIDE = ("reply", "decide")


@cache
def classify_source() -> str:
    """Lua₁: what the call presents."""
    return _concatenate(_CLASSIFY)


@cache
def decide_source() -> str:
    """Lua₂: who calls, or 401."""
    return _concatenate(_DECIDE)


def _concatenate(names: tuple[str, ...]) -> str:
    folder = files("nightlatch.routing") / "lua"
    return "\n".join((folder / f"{name}.lua").read_text("utf-8") for name in names)
