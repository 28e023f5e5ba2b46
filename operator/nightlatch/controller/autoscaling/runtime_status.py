"""The newest run-time state of each endpoint: the autoscaler writes it, the reconcilers read it for status."""

from collections.abc import Callable

from nightlatch.api.meta import NamespacedName
from nightlatch.scaling.runtime import UNKNOWN_RUNTIME, EndpointRuntime


class RuntimeStatus:
    """The autoscaler writes, the reconciler reads. `on_change` is called with each key whose entry changed."""

    def __init__(self, on_change: Callable[[NamespacedName], None] = lambda _: None) -> None:
        self.on_change = on_change
        self._entries: dict[NamespacedName, EndpointRuntime] = {}

    def get(self, endpoint: NamespacedName) -> EndpointRuntime:
        """The newest snapshot; UNSEEN when there is none."""
        return self._entries.get(endpoint, UNKNOWN_RUNTIME)

    def put(self, endpoint: NamespacedName, runtime: EndpointRuntime) -> None:
        """Replace the snapshot. An equal one is no change."""
        if self._entries.get(endpoint) == runtime:
            return
        self._entries[endpoint] = runtime
        self.on_change(endpoint)

    def forget(self, endpoint: NamespacedName) -> None:
        """The endpoint is gone; nobody is told."""
        self._entries.pop(endpoint, None)
