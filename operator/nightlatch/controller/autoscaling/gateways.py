"""The gateways of the installation, and the addresses of their report streams."""

from collections.abc import AsyncIterator, Mapping
from typing import Protocol

Address = tuple[str, int]
# Every gateway by id. None: it has no address yet, so it cannot be dialled, but it counts.
Members = Mapping[str, Address | None]


class GatewayDirectory(Protocol):
    """The list of gateways. It must be complete, because an endpoint sleeps only once every gateway has drained."""

    def members(self) -> AsyncIterator[Members]:
        """The whole set as it is now, and again after each change, without end."""
