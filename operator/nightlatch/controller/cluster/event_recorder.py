"""Kubernetes Events about endpoints. An Event that cannot be posted is logged and dropped."""

import asyncio
import logging
from datetime import UTC, datetime
from uuid import uuid4

from nightlatch.api.meta import INFERENCE_ENDPOINT, Kind, NamespacedName
from nightlatch.kube.client import ApiServer
from nightlatch.kube.errors import ApiServerError
from nightlatch.kube.paths import collection
from nightlatch.scaling.events import EndpointEvent, events_between
from nightlatch.scaling.runtime import UNKNOWN_RUNTIME, EndpointRuntime

_log = logging.getLogger(__name__)

EVENT = Kind("events.k8s.io/v1", "Event", "events")
# An endpoint that flaps must not flood the API server: Events beyond this number are dropped.
_BACKLOG = 256


class EventRecorder:
    """Run `run()` as a task, and call `changed` with each new state of an endpoint."""

    def __init__(self, api: ApiServer, identity: str) -> None:
        self._api = api
        self._identity = identity
        self._last: dict[NamespacedName, EndpointRuntime] = {}
        self._queue: asyncio.Queue[tuple[NamespacedName, EndpointEvent]] = asyncio.Queue(_BACKLOG)

    def changed(self, endpoint: NamespacedName, runtime: EndpointRuntime) -> None:
        """Queue the Events of a change. Never waits. What a new leader finds, the one before it has told."""
        before = self._last.get(endpoint, UNKNOWN_RUNTIME if runtime.settled else runtime)
        self._last[endpoint] = runtime
        for found in events_between(before, runtime):
            if self._queue.full():
                _log.warning("dropping an event: too many are waiting", extra={"endpoint": str(endpoint)})
                return
            self._queue.put_nowait((endpoint, found))

    async def run(self) -> None:
        """Post until cancelled."""
        while True:
            endpoint, found = await self._queue.get()
            try:
                await self._post(endpoint, found)
            except ApiServerError as error:
                _log.warning("cannot post an event", extra={"endpoint": str(endpoint), "error": str(error)})

    async def _post(self, endpoint: NamespacedName, found: EndpointEvent) -> None:
        path = f"{collection(INFERENCE_ENDPOINT, endpoint.namespace)}/{endpoint.name}"
        regarding = await self._api.request("GET", path)
        body = event_object(endpoint, regarding["metadata"]["uid"], found, self._identity, datetime.now(UTC))
        await self._api.request("POST", collection(EVENT, endpoint.namespace), body=body)


def event_object(
    endpoint: NamespacedName, uid: str, event: EndpointEvent, identity: str, now: datetime
) -> dict[str, object]:
    """The Event object."""
    return {
        "apiVersion": EVENT.api_version,
        "kind": EVENT.kind,
        "metadata": {"name": f"{endpoint.name}.{uuid4().hex[:16]}", "namespace": endpoint.namespace},
        "eventTime": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "type": event.type,
        "reason": event.reason,
        "note": event.message[:1024],
        "action": event.reason,
        "regarding": {
            "apiVersion": INFERENCE_ENDPOINT.api_version,
            "kind": INFERENCE_ENDPOINT.kind,
            "namespace": endpoint.namespace,
            "name": endpoint.name,
            "uid": uid,
        },
        "reportingController": "nightlatch.dev/operator",
        "reportingInstance": identity,
    }
