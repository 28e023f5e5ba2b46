"""Kubernetes Events about endpoints. Best effort: an Event that could not be posted is logged and forgotten."""

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
# A flapping endpoint must not flood the API: what does not fit is dropped.
_BACKLOG = 256


class EventRecorder:
    """Run `run()` as a task and call `changed` with each new snapshot."""

    def __init__(self, api: ApiServer, identity: str) -> None:
        self._api = api
        self._identity = identity
        self._last: dict[NamespacedName, EndpointRuntime] = {}
        self._queue: asyncio.Queue[tuple[NamespacedName, EndpointEvent]] = asyncio.Queue(_BACKLOG)

    def changed(self, endpoint: NamespacedName, runtime: EndpointRuntime) -> None:
        """Note what is worth telling. Never waits."""
        before = self._last.get(endpoint, UNKNOWN_RUNTIME)
        self._last[endpoint] = runtime
        for notice in events_between(before, runtime):
            if self._queue.full():
                _log.warning("too many events, dropping one about %s", endpoint)
                return
            self._queue.put_nowait((endpoint, notice))

    async def run(self) -> None:
        """Post until cancelled."""
        while True:
            endpoint, notice = await self._queue.get()
            try:
                await self._post(endpoint, notice)
            except ApiServerError as error:
                _log.warning("cannot post an event about %s: %s", endpoint, error)

    async def _post(self, endpoint: NamespacedName, notice: EndpointEvent) -> None:
        path = f"{collection(INFERENCE_ENDPOINT, endpoint.namespace)}/{endpoint.name}"
        found = await self._api.request("GET", path)
        body = event(endpoint, found["metadata"]["uid"], notice, self._identity, datetime.now(UTC))
        await self._api.request("POST", collection(EVENT, endpoint.namespace), body=body)


def event(endpoint: NamespacedName, uid: str, notice: EndpointEvent, identity: str, now: datetime) -> dict[str, object]:
    """The Event object."""
    return {
        "apiVersion": EVENT.api_version,
        "kind": EVENT.kind,
        "metadata": {"name": f"{endpoint.name}.{uuid4().hex[:16]}", "namespace": endpoint.namespace},
        "eventTime": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "type": notice.type,
        "reason": notice.reason,
        "note": notice.message[:1024],
        "action": notice.reason,
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
