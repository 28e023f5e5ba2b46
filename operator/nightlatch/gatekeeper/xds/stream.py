"""One Envoy's ADS stream, state of the world: what it asked for, what was sent, what it accepted.

No I/O: requests go in by `received`, responses come out of `flush`. Changes made between two flushes are sent once, as
they are at that time. A response carries the changed resources only, but the whole set for the types that need it.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from envoy.service.discovery.v3.discovery_pb2 import DiscoveryResponse
from google.protobuf.any_pb2 import Any as AnyMessage

from nightlatch.gatekeeper.xds.resources import ON_DEMAND, WHOLE_SET, ResourceId, Resources
from nightlatch.wire.xds_types import ADDRESSES, CLUSTER, PUSH_ORDER

# Names that no resource has, of which one Envoy gets a stand-in: callers choose what server name they ask for.
MAX_UNKNOWN = 512

StandIn = Callable[[str, str], AnyMessage | None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What Envoy said of one response: the versions it carried, and the error when Envoy refused it."""

    versions: Mapping[ResourceId, int]
    error: str | None = None


@dataclass(slots=True)
class _Subscription:
    """Of one type: the names asked for (None: all), the nonce of the newest response, the names nobody knows."""

    names: frozenset[str] | None
    nonce: str = ""
    unknown: set[str] = field(default_factory=set)


class Stream:
    """See the module. `stand_in(type, name)` gives what to send for an on-demand name that no resource has."""

    def __init__(self, resources: Resources, stand_in: StandIn) -> None:
        self._resources = resources
        self._stand_in = stand_in
        self._subscriptions: dict[str, _Subscription] = {}
        self._dirty: dict[str, set[str]] = {}
        self._sent: dict[str, dict[ResourceId, int]] = {}
        self._acked: dict[ResourceId, int] = {}
        self._nonce = 0

    def received(self, request: Any) -> Outcome | None:
        """Take a request in. Returns what it says of an earlier response, if anything."""
        if request.type_url not in PUSH_ORDER:
            return None
        outcome = self._outcome(request)
        self._subscribe(request, answers=outcome is not None)
        return outcome

    def changed(self, resources: Iterable[ResourceId]) -> None:
        """These changed; send them at the next flush."""
        for type_url, name in resources:
            wanted = self._stood_in(type_url, name)
            if self._wants(type_url, name):
                wanted.add(name)
            if wanted:
                self._dirty.setdefault(type_url, set()).update(wanted)

    def _stood_in(self, type_url: str, name: str) -> set[str]:
        """Names that got a stand-in made of this resource: a caller may write a host name in upper case."""
        subscription = self._subscriptions.get(type_url)
        return {each for each in subscription.unknown if each.lower() == name} if subscription else set()

    def applied(self, resource: ResourceId, version: int) -> bool:
        """Whether Envoy has that version (or a newer one) of a resource, or has no use for it."""
        type_url, name = resource
        if self._resources.get(type_url, name) is None:
            return True
        if type_url in ON_DEMAND and not self._wants(type_url, name):
            return True
        return self._acked.get(resource, 0) >= version

    def flush(self) -> list[Any]:
        """The responses due now, what is referred to before what refers to it."""
        responses = []
        while self._dirty:
            type_url = min(self._dirty, key=self._rank)
            if response := self._response(type_url, self._dirty.pop(type_url)):
                responses.append(response)
        return responses

    def _outcome(self, request: Any) -> Outcome | None:
        versions = self._sent.pop(request.response_nonce, None)
        if versions is None:
            return None
        if request.HasField("error_detail"):
            return Outcome(self._blamed(versions, request.error_detail.message), request.error_detail.message)
        self._acked.update(versions)
        return Outcome(versions)

    def _blamed(self, versions: Mapping[ResourceId, int], error: str) -> Mapping[ResourceId, int]:
        """Of a refused response: the new resources named in the error, else all that were new."""
        new = {r: v for r, v in versions.items() if self._acked.get(r, 0) < v}
        named = {r: v for r, v in new.items() if r[1] in error}
        return named or new

    def _subscribe(self, request: Any, *, answers: bool) -> None:
        type_url = request.type_url
        names = None if type_url in WHOLE_SET else frozenset(request.resource_names)
        known = self._subscriptions.get(type_url)
        if known is None:
            self._subscriptions[type_url] = _Subscription(names)
            self._send_all(type_url)
        elif names is not None and names != known.names:
            self._resubscribe(type_url, known, names)
        elif not answers and request.response_nonce == known.nonce:
            # Envoy made a new watch for what it has already, and waits for it.
            self._send_all(type_url)

    def _send_all(self, type_url: str) -> None:
        names = self._subscriptions[type_url].names
        self._dirty[type_url] = set(self._resources.of_type(type_url) if names is None else names)

    def _resubscribe(self, type_url: str, known: _Subscription, names: frozenset[str]) -> None:
        """Send what is newly asked for; what is no longer asked for, Envoy does not have."""
        before = known.names or frozenset()
        if added := names - before:
            self._dirty.setdefault(type_url, set()).update(added)
        for name in before - names:
            self._acked.pop((type_url, name), None)
        known.names = names
        known.unknown &= names

    def _wants(self, type_url: str, name: str) -> bool:
        subscription = self._subscriptions.get(type_url)
        return subscription is not None and (subscription.names is None or name in subscription.names)

    def _rank(self, type_url: str) -> tuple[bool, int]:
        """Whole sets that only lose something go last, referrers first."""
        index = PUSH_ORDER.index(type_url)
        losing = type_url in WHOLE_SET and not any(self._resources.get(type_url, n) for n in self._dirty[type_url])
        return (True, -index) if losing and self._dirty[type_url] else (False, index)

    def _response(self, type_url: str, names: set[str]) -> Any | None:
        if type_url in WHOLE_SET:
            messages = {n: r.message for n, r in self._resources.of_type(type_url).items()}
            self._rewarm(type_url, names)
        else:
            messages = self._messages(type_url, names)
            if not messages:
                return None
        return self._stamp(type_url, messages)

    def _rewarm(self, type_url: str, names: set[str]) -> None:
        """A changed cluster warms anew and waits for its addresses."""
        if type_url == CLUSTER:
            self.changed((ADDRESSES, name) for name in names if self._resources.get(ADDRESSES, name))

    def _messages(self, type_url: str, names: set[str]) -> dict[str, AnyMessage]:
        found = {n: self._message(type_url, n) for n in sorted(names) if self._wants(type_url, n)}
        return {n: message for n, message in found.items() if message is not None}

    def _message(self, type_url: str, name: str) -> AnyMessage | None:
        if resource := self._resources.get(type_url, name):
            return resource.message
        unknown = self._subscriptions[type_url].unknown
        if type_url not in ON_DEMAND or (name not in unknown and len(unknown) >= MAX_UNKNOWN):
            return None
        unknown.add(name)
        return self._stand_in(type_url, name)

    def _stamp(self, type_url: str, messages: Mapping[str, AnyMessage]) -> Any:
        self._nonce += 1
        nonce = str(self._nonce)
        self._subscriptions[type_url].nonce = nonce
        held = {(type_url, n): self._resources.get(type_url, n) for n in messages}
        self._sent[nonce] = {resource: r.version for resource, r in held.items() if r}
        return DiscoveryResponse(
            version_info=str(self._resources.version),
            resources=list(messages.values()),
            type_url=type_url,
            nonce=nonce,
        )
