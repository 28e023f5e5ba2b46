"""One resourceVersion made of several: a list over some namespaces is one list for each of them."""

from collections.abc import Iterable

_SEPARATOR = ","


def join(parts: Iterable[str]) -> str:
    """The version to watch from, one part for each namespace, in their order."""
    return _SEPARATOR.join(parts)


def split(version: str, count: int) -> list[str]:
    """The inverse. Raises ValueError when it was made for another number of namespaces."""
    parts = version.split(_SEPARATOR)
    if len(parts) != count:
        raise ValueError(f"{version!r} has {len(parts)} parts, {count} were expected")
    return parts
