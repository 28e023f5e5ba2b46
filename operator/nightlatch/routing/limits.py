"""How much one Envoy may take, as a function of the memory and the open files that it has."""

from dataclasses import dataclass

# The most that Envoy keeps of the body of one held call: the buffer limit of a holding route.
HELD_CALL_BYTES = 64 << 10
# What Envoy gets where nothing else is said: the chart's default limit, also for a gateway of `nightlatch up`.
DEFAULT_MEMORY = 1 << 30
DEFAULT_OPEN_FILES = 20_000
# New connections a second. With 60 KiB and five seconds for each handshake, a flood at this rate takes 150 MiB.
DEFAULT_NEW_CONNECTIONS = 500
# A connection in mid-handshake, the dearest kind that a stranger can have many of: measured 60 KiB.
_CONNECTION_BYTES = 60 << 10
# The binary's pages and the threads' stacks are not in the heap. Of the rest, a part is pages that the allocator keeps.
_BASE = 96 << 20
_HEAP_SHARE = 0.85
_SMALLEST_HEAP = 64 << 20
# The other half is the configuration of the endpoints, and what calls buffer.
_CONNECTION_SHARE = 0.5
_FEWEST_CONNECTIONS = 100


@dataclass(frozen=True, slots=True)
class EnvoyLimits:
    """`heap` is in bytes: Envoy sheds load as it gets near. `connections`: from callers, at the same time."""

    heap: int
    connections: int


def envoy_limits(
    memory: int = DEFAULT_MEMORY, open_files: int = DEFAULT_OPEN_FILES, max_connections: int | None = None
) -> EnvoyLimits:
    """The limits for `memory` bytes and `open_files` descriptors; each call may need a second one to a model server.

    `max_connections` lowers the number of connections and never raises it.
    """
    heap = max(int((memory - _BASE) * _HEAP_SHARE), _SMALLEST_HEAP)
    affordable = min(int(heap * _CONNECTION_SHARE) // _CONNECTION_BYTES, open_files // 2)
    asked = affordable if max_connections is None else min(affordable, max_connections)
    return EnvoyLimits(heap, max(asked, _FEWEST_CONNECTIONS))
