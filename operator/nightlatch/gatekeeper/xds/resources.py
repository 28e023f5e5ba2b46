"""The xDS resources that Envoy should have: each with the version that changed it last, and the last one accepted."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from google.protobuf.any_pb2 import Any as AnyMessage

from nightlatch.wire.xds_types import CLUSTER, LISTENER, PUSH_ORDER, SCOPE, SECRET

# State-of-the-world types: each response carries the whole set, and a missing resource is a removed one.
WHOLE_SET = frozenset({CLUSTER, LISTENER, SCOPE})
# Envoy asks for these when it needs them. It is up to date with one that it did not ask for.
ON_DEMAND = frozenset({SECRET})

ResourceId = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Resource:
    """One packed resource, and the version that changed it last."""

    version: int
    message: AnyMessage


class Resources:
    """All resources. The version grows by one with every update that changes anything."""

    def __init__(self) -> None:
        self.version = 0
        self._current: dict[str, dict[str, Resource]] = {type_url: {} for type_url in PUSH_ORDER}
        self._accepted: dict[ResourceId, Resource] = {}

    def get(self, type_url: str, name: str) -> Resource | None:
        """The resource, or None."""
        return self._current[type_url].get(name)

    def of_type(self, type_url: str) -> Mapping[str, Resource]:
        """The resources of a type, by name."""
        return self._current[type_url]

    def update(self, changes: Mapping[ResourceId, AnyMessage | None]) -> frozenset[ResourceId]:
        """Set resources, or remove those given as None. Returns the resources that differ from before."""
        changed = frozenset(self._differing(changes))
        self.version += bool(changed)
        for type_url, name in changed:
            self._put(type_url, name, changes[type_url, name])
        return changed

    def _differing(self, changes: Mapping[ResourceId, AnyMessage | None]) -> Iterator[ResourceId]:
        for (type_url, name), message in changes.items():
            current = self.get(type_url, name)
            if (current.message if current else None) != message:
                yield type_url, name

    def _put(self, type_url: str, name: str, message: AnyMessage | None) -> None:
        if message is None:
            self._current[type_url].pop(name, None)
            self._accepted.pop((type_url, name), None)
        else:
            self._current[type_url][name] = Resource(self.version, message)

    def accept(self, versions: Iterable[tuple[ResourceId, int]]) -> None:
        """Note that Envoy accepted these versions. `refuse` falls back to them."""
        for (type_url, name), version in versions:
            current = self.get(type_url, name)
            if current and current.version == version:
                self._accepted[type_url, name] = current

    def refuse(self, resource: ResourceId, version: int) -> bool:
        """Fall back to the last accepted version, or to none. Returns False if this version is not the current one."""
        type_url, name = resource
        current = self.get(type_url, name)
        if current is None or current.version != version:
            return False
        if accepted := self._accepted.get(resource):
            self._current[type_url][name] = accepted
        else:
            del self._current[type_url][name]
        return True
