"""One Envoy's ADS stream, in xDS's state-of-the-world variant: what Envoy asked for, what was sent, what it accepted.

It does no I/O: `received` takes requests, and `flush` gives the responses. What changed several times between two
flushes is sent once. A response carries the changed resources only, or the whole set for the types that require it.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from envoy.service.discovery.v3.discovery_pb2 import DiscoveryResponse
from google.protobuf.any_pb2 import Any as AnyMessage

from nightlatch.gatekeeper.xds.resources import ON_DEMAND, WHOLE_SET, ResourceId, Resources
from nightlatch.wire.xds_types import ADDRESSES, CLUSTER, LISTENER, PUSH_ORDER

# How many names without a resource get a stand-in: callers choose the server names, so the number must be limited.
MAX_UNKNOWN = 512

StandIn = Callable[[str, str], AnyMessage | None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """Envoy's answer to one response: the versions that it is about, and the error if Envoy refused them.

    A refusal that is about no version leaves open which resource is the bad one; they are sent again, each alone.
    """

    versions: Mapping[ResourceId, int]
    error: str | None = None


@dataclass(slots=True)
class _Subscription:
    """One type: the names asked for (None: all), the newest response's nonce, the names that have no resource."""

    names: frozenset[str] | None
    nonce: str = ""
    unknown: set[str] = field(default_factory=set)


class Stream:
    """One stream. `stand_in(type, name)` gives the resource to send for an on-demand name that has none."""

    def __init__(self, resources: Resources, stand_in: StandIn) -> None:
        self._resources = resources
        self._stand_in = stand_in
        self._subscriptions: dict[str, _Subscription] = {}
        self._dirty: dict[str, set[str]] = {}
        # To be sent again, each in a response of its own: one of a response that Envoy refused is bad.
        self._suspects: dict[ResourceId, None] = {}
        self._sent: dict[str, dict[ResourceId, int]] = {}
        self._acked: dict[ResourceId, int] = {}
        self._nonce = 0

    def received(self, request: Any) -> Outcome | None:
        """Take a request. Returns what it says about an earlier response, if anything."""
        if request.type_url not in PUSH_ORDER:
            return None
        outcome = self._outcome(request)
        self._subscribe(request, answers=outcome is not None)
        return outcome

    def changed(self, resources: Iterable[ResourceId]) -> None:
        """Send these changed resources at the next flush."""
        for type_url, name in resources:
            if self._wants(type_url, name):
                self._dirty.setdefault(type_url, set()).add(name)

    def applied(self, resource: ResourceId, version: int) -> bool:
        """True if Envoy has this version of a resource or a newer one, or does not need the resource."""
        type_url, name = resource
        if self._resources.get(type_url, name) is None:
            return True
        if type_url in ON_DEMAND and not self._wants(type_url, name):
            return True
        return self._acked.get(resource, 0) >= version

    def flush(self) -> list[Any]:
        """The responses due now. A resource comes before the resources that refer to it.

        A listener waits for Envoy's answer to the one before: what came meanwhile goes in one, because each costs
        Envoy's main thread time for each chain in it, in which nothing else of what is sent arrives.
        """
        responses = []
        held = {LISTENER} & self._dirty.keys() if self._is_unanswered(LISTENER) else set()
        while due := self._dirty.keys() - held:
            type_url = min(due, key=self._rank)
            dirty = self._dirty.pop(type_url)
            # What is sent with others now is new, so it is no suspect any more.
            self._suspects = {each: None for each in self._suspects if each[0] != type_url or each[1] not in dirty}
            if response := self._response(type_url, dirty):
                responses.append(response)
        alone = [self._response(type_url, {name}) for type_url, name in self._suspects]
        self._suspects.clear()
        return [*responses, *(response for response in alone if response)]

    def _is_unanswered(self, type_url: str) -> bool:
        """Whether Envoy has not said yet what it makes of the newest response of a type."""
        known = self._subscriptions.get(type_url)
        return known is not None and known.nonce in self._sent

    def _outcome(self, request: Any) -> Outcome | None:
        versions = self._sent.pop(request.response_nonce, None)
        if versions is None:
            return None
        if request.HasField("error_detail"):
            return Outcome(self._blamed(versions, request.error_detail.message), request.error_detail.message)
        self._acked.update(versions)
        return Outcome(versions)

    def _blamed(self, versions: Mapping[ResourceId, int], error: str) -> Mapping[ResourceId, int]:
        """The resources that a refusal is about: the new ones that the error names, or the only new one.

        Envoy's error about a certificate names none. So that a bad one harms no other, the others of its response are
        sent again, each alone. A type that is sent as a whole cannot be; its errors do name the resources.
        """
        new = {r: v for r, v in versions.items() if self._acked.get(r, 0) < v}
        named = {r: v for r, v in new.items() if _names(error, r[1])}
        if len(new) <= 1 or any(type_url in WHOLE_SET for type_url, _ in new):
            return named or new
        self._suspects.update(dict.fromkeys(each for each in sorted(new) if each not in named))
        return named

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
            # Envoy opened a new subscription to resources that it has already, and waits for them.
            self._send_all(type_url)

    def _send_all(self, type_url: str) -> None:
        names = self._subscriptions[type_url].names
        self._dirty[type_url] = set(self._resources.of_type(type_url) if names is None else names)

    def _resubscribe(self, type_url: str, known: _Subscription, names: frozenset[str]) -> None:
        """Send the names newly asked for. Envoy drops the names that it no longer asks for, so forget their ACKs."""
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
        """The order of types in a flush. Sets that only lose resources go last, those that refer before the others."""
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
        """Envoy warms a changed cluster again, and waits for its addresses although they did not change."""
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


def _names(error: str, name: str) -> bool:
    """Whether the error names this resource, and not one whose name merely has this one in it."""
    return re.search(rf"(?<![\w./-]){re.escape(name)}(?![\w/-]|\.\w)", error) is not None
