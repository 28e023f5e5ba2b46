"""The newest run-time state of each endpoint: the autoscaler writes it, the reconcilers read it for status."""

from collections.abc import Callable, Iterable, Mapping

from nightlatch.api.meta import NamespacedName
from nightlatch.scaling.runtime import UNKNOWN_RUNTIME, EndpointRuntime

Listener = Callable[[NamespacedName], None]
# Called with the ids of API keys of which a later use became known, or with the names of issuers.
UseListener = Callable[[Iterable[str]], None]
# How long the last use of a key is remembered after it, in seconds.
REMEMBERED_S = 86_400


class RuntimeStatus:
    """In memory, for one event loop."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []
        self._entries: dict[NamespacedName, EndpointRuntime] = {}
        self._use_listeners: list[UseListener] = []
        self._unknown_key_listeners: list[UseListener] = []
        self._last_uses: dict[str, int] = {}

    def subscribe(self, listener: Listener) -> None:
        """Call `listener` with the key of each endpoint whose state changes. It must not block."""
        self._listeners.append(listener)

    def get(self, endpoint: NamespacedName) -> EndpointRuntime:
        """The newest state; UNKNOWN_RUNTIME if the autoscaler has not seen the endpoint."""
        return self._entries.get(endpoint, UNKNOWN_RUNTIME)

    def put(self, endpoint: NamespacedName, runtime: EndpointRuntime) -> None:
        """Replace the state. Listeners are called unless the new state equals the old one."""
        if self._entries.get(endpoint) == runtime:
            return
        self._entries[endpoint] = runtime
        for listener in self._listeners:
            listener(endpoint)

    def subscribe_to_uses(self, listener: UseListener) -> None:
        """Call `listener` with the keys of which a later use becomes known. It must not block."""
        self._use_listeners.append(listener)

    def last_use(self, key_id: str) -> int | None:
        """When a call with this key was last let through anywhere, in Unix seconds; None if that is not known."""
        return self._last_uses.get(key_id)

    def note_uses(self, used: Mapping[str, int]) -> None:
        """Note what one gateway says."""
        # The status has what is older; so keys that are gone do not stay here for ever.
        oldest = max(used.values(), default=0) - REMEMBERED_S
        later = {key: time for key, time in used.items() if time > max(self._last_uses.get(key, 0), oldest)}
        self._last_uses = {key: time for key, time in (self._last_uses | later).items() if time > oldest}
        for listener in self._use_listeners if later else ():
            listener(later)

    def subscribe_to_unknown_keys(self, listener: UseListener) -> None:
        """Call `listener` with the token issuers (NAMESPACE/NAME) of which a gateway lacks a key. It must not block."""
        self._unknown_key_listeners.append(listener)

    def note_unknown_keys(self, unknown: Mapping[str, int]) -> None:
        """Note what one gateway says is new."""
        for listener in self._unknown_key_listeners if unknown else ():
            listener(unknown)

    def forget(self, endpoint: NamespacedName) -> None:
        """The endpoint is gone. No listener is called."""
        self._entries.pop(endpoint, None)
