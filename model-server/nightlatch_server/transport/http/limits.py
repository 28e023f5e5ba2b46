"""Limits on what one connection may send, and on how long it may take."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Sizes in bytes, times in seconds."""

    body: int = 32 << 20
    url: int = 8 << 10
    headers: int = 64 << 10
    header_count: int = 128
    pipelined: int = 2
    """Complete requests that may queue behind the one in progress before the connection is no longer read."""
    receive_timeout: float = 120.0
    """From the first byte of a request to its last."""
    goodbye: float = 0.5
    """How long an idle connection waits for the peer's TLS close before it is aborted."""
    linger: float = 2.0
    """How long input is read and dropped after an early error, so that the caller can still read the answer."""
