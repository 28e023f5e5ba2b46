"""How much of a request is taken."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in bytes, times in seconds."""

    body: int = 32 << 20
    url: int = 8 << 10
    headers: int = 64 << 10
    header_count: int = 128
    pipelined: int = 2
    """Whole requests that wait behind the one in progress before the connection is no longer read."""
    receive_timeout: float = 120.0
    """From a request's first byte to its last."""
    goodbye: float = 0.5
    """A TLS peer's own end-of-connection is waited for this long when an idle connection is closed."""
    linger: float = 2.0
    """After an early error: input is read and dropped for this long, so that the caller gets to see the error."""
