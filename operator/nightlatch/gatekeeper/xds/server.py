"""The ADS server: keeps every connected Envoy at the current resources, and knows which of them it has accepted.

Normally one Envoy is connected. An Envoy that restarts opens a new stream and gets every resource again.
"""

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from typing import Any

from envoy.service.discovery.v3.ads_pb2_grpc import AggregatedDiscoveryServiceServicer
from google.protobuf.any_pb2 import Any as AnyMessage

from nightlatch.gatekeeper.xds.resources import WHOLE_SET, ResourceId, Resources
from nightlatch.gatekeeper.xds.stream import Outcome, StandIn, Stream
from nightlatch.wire.xds_types import EXTENSION, LISTENER, PUSH_ORDER, SECRET

_log = logging.getLogger(__name__)
# Envoy may quote the resource that it refuses, so its message about a Secret is never repeated, and others are cut.
_ERROR_LENGTH = 400


class RefusedError(Exception):
    """Envoy refused a resource. The message is Envoy's, without the content of a Secret."""

    def __init__(self, resource: ResourceId, error: str) -> None:
        self.resource = resource
        super().__init__(error)


class _Wait:
    """A wait until every Envoy has these resources at this version or a newer one."""

    def __init__(self, resources: Iterable[ResourceId], version: int) -> None:
        self.resources = frozenset(resources)
        self.version = version
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()


class Connection:
    """A stream, and the event that is set when it has something to send."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.wake = asyncio.Event()
        self._refused: set[ResourceId] = set()
        # What there was at first and Envoy has not answered for; None until there is a listener.
        self._first: set[ResourceId] | None = None

    def refused(self, resources: Iterable[ResourceId]) -> None:
        """Envoy refused these: it goes on without them, or with what it had."""
        self._refused.update(resources)

    def loaded(self, resources: Resources) -> bool:
        """Whether Envoy has once had everything that there was, apart from what it refused."""
        if self._first is None and resources.of_type(LISTENER):
            self._first = {(type_url, name) for type_url in PUSH_ORDER for name in resources.of_type(type_url)}
        if self._first:
            self._first = {each for each in self._first - self._refused if not self.stream.applied(each, 1)}
        return self._first is not None and not self._first


class Ads(AggregatedDiscoveryServiceServicer):  # type: ignore[misc]
    """The ADS service. `on_streams` is called with the number of connected Envoys when it changes."""

    def __init__(self, stand_in: StandIn, on_streams: Callable[[int], None] = lambda _: None) -> None:
        self.resources = Resources()
        self.acks = 0
        self.nacks = 0
        self._stand_in = stand_in
        self._on_streams = on_streams
        self._connections: set[Connection] = set()
        self._waits: defaultdict[ResourceId, set[_Wait]] = defaultdict(set)

    @property
    def streams(self) -> int:
        """The number of connected Envoys."""
        return len(self._connections)

    @property
    def serving(self) -> bool:
        """True if an Envoy has accepted every listener and the filters' configuration, and there is a listener."""
        needed = [(t, n, r.version) for t in (LISTENER, EXTENSION) for n, r in self.resources.of_type(t).items()]
        have = (c.stream.applied((t, n), version) for c in self._connections for t, n, version in needed)
        return bool(self._connections) and bool(self.resources.of_type(LISTENER)) and all(have)

    @property
    def loaded(self) -> bool:
        """True if every connected Envoy has once had everything that there was."""
        return bool(self._connections) and all(each.loaded(self.resources) for each in self._connections)

    def update(self, changes: Mapping[ResourceId, AnyMessage | None]) -> int:
        """Set resources, or remove those given as None, and push what changed. Returns the version to wait for."""
        changed = self.resources.update(changes)
        self._push(changed)
        return self.resources.version

    async def applied(self, resources: Iterable[ResourceId], version: int) -> None:
        """Wait until an Envoy is connected and every Envoy has accepted these. Raises RefusedError."""
        wait = _Wait(resources, version)
        self._settle([wait])
        for resource in wait.resources:
            self._waits[resource].add(wait)
        try:
            await wait.done
        finally:
            self._forget(wait)

    def _forget(self, wait: _Wait) -> None:
        for resource in wait.resources:
            self._waits[resource].discard(wait)
            if not self._waits[resource]:
                del self._waits[resource]

    async def StreamAggregatedResources(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:  # noqa: ARG002, N802
        """The gRPC method."""
        connection = Connection(Stream(self.resources, self._stand_in))
        self._connections.add(connection)
        self._on_streams(self.streams)
        reader = asyncio.create_task(self._read(connection, requests))
        try:
            while not reader.done():
                for response in connection.stream.flush():
                    yield response
                await connection.wake.wait()
                connection.wake.clear()
        finally:
            reader.cancel()
            self._connections.discard(connection)
            self._on_streams(self.streams)
            self._settle(self._waiting_for(list(self._waits)))

    async def _read(self, connection: Connection, requests: AsyncIterator[Any]) -> None:
        try:
            async for request in requests:
                if outcome := connection.stream.received(request):
                    if outcome.error is not None:
                        connection.refused(outcome.versions)
                    self._conclude(request.type_url, outcome)
                connection.wake.set()
        finally:
            connection.wake.set()

    def _conclude(self, type_url: str, outcome: Outcome) -> None:
        if outcome.error is None:
            self.acks += 1
            self.resources.accept(outcome.versions.items())
        else:
            self.nacks += 1
            self._refuse(type_url, outcome, outcome.error)
        self._settle(self._waiting_for(outcome.versions))

    def _waiting_for(self, resources: Iterable[ResourceId]) -> set[_Wait]:
        return {wait for resource in resources for wait in self._waits.get(resource, ())}

    def _refuse(self, type_url: str, outcome: Outcome, error: str) -> None:
        """Fall back, so that one bad resource does not block the others of its response."""
        error = "Envoy refused the certificate or its key" if type_url == SECRET else error[:_ERROR_LENGTH]
        names = sorted(name for _, name in outcome.versions)
        _log.error("Envoy refused a resource", extra={"type_url": type_url, "names": names, "error": error})
        for resource, version in outcome.versions.items():
            if self.resources.refuse(resource, version) and type_url in WHOLE_SET:
                self._push([resource])
            self._fail_waits(resource, version, error)

    def _fail_waits(self, resource: ResourceId, version: int, error: str) -> None:
        for wait in self._waits.get(resource, ()):
            if version <= wait.version and not wait.done.done():
                wait.done.set_exception(RefusedError(resource, error))

    def _push(self, changed: Iterable[ResourceId]) -> None:
        changed = list(changed)
        for connection in self._connections:
            connection.stream.changed(changed)
            connection.wake.set()

    def _settle(self, waits: Iterable[_Wait]) -> None:
        for wait in waits:
            if not wait.done.done() and self._has(wait):
                wait.done.set_result(None)

    def _has(self, wait: _Wait) -> bool:
        return bool(self._connections) and all(
            connection.stream.applied(resource, self._needed(resource, wait.version))
            for connection in self._connections
            for resource in wait.resources
        )

    def _needed(self, resource: ResourceId, version: int) -> int:
        """A resource that did not change in this version is needed at the version that it has."""
        current = self.resources.get(*resource)
        return min(version, current.version) if current else 0
