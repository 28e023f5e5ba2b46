"""The newest run-time state of each endpoint: the autoscaler writes it, the reconcilers read it for status."""

from collections.abc import Callable

from nightlatch.api.meta import NamespacedName
from nightlatch.scaling.runtime import UNKNOWN_RUNTIME, EndpointRuntime

Listener = Callable[[NamespacedName], None]


class RuntimeStatus:
    """In memory, for one event loop."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []
        self._entries: dict[NamespacedName, EndpointRuntime] = {}

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

    def forget(self, endpoint: NamespacedName) -> None:
        """The endpoint is gone. No listener is called."""
        self._entries.pop(endpoint, None)
