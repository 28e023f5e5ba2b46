"""A controller at work over a FilesStore, with workloads that only remember what was asked of them."""

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

from nightlatch.api import names
from nightlatch.api.meta import (
    API_VERSION,
    INFERENCE_CLIENT,
    INFERENCE_ENDPOINT,
    SECRET,
    Kind,
    NamespacedName,
    ObjectRef,
)
from nightlatch.controller.autoscaling.runtime_status import RuntimeStatus
from nightlatch.controller.controller import Controller
from nightlatch.planning.settings import Settings
from nightlatch.store.files.store import FilesStore
from nightlatch.store.protocol import NotFoundError
from nightlatch.wire import route_document as routing
from nightlatch.workloads.protocol import WorkloadError, WorkloadState

SETTINGS = Settings(platform="Embedded", port=8443)
ENDPOINT = NamespacedName("search", "minilm")
CLIENT = NamespacedName("search", "bot")


class RememberedWorkloads:
    """`ensure` keeps the workload, or fails with `refusal` while there is one."""

    def __init__(self):
        self.workloads = {}
        self.refusal = ""
        self.annotations = {}
        self.told = {}

    async def ensure(self, workload):
        if self.refusal:
            raise WorkloadError(self.refusal)
        self.workloads[workload.endpoint] = workload

    async def scale(self, *_):
        raise AssertionError("only the autoscaler scales")

    async def remove(self, endpoint):
        self.workloads.pop(endpoint, None)

    async def tell_installation(self, told):
        self.told = dict(told)
        return self.annotations

    async def listed(self):
        return tuple(self.workloads)

    async def observe(self, endpoint):
        return WorkloadState(0) if endpoint in self.workloads else None

    def changes(self):
        raise AssertionError("the reconcilers do not follow replicas")


class RememberedScaling:
    """What was declared and not forgotten, as the autoscaler would have it."""

    def __init__(self, runtime_status):
        self.desired = {}
        self.runtime_status = runtime_status
        self.documents = {}

    def written(self, document):
        self.documents[document.secret] = document.sequence

    def declare(self, desired):
        self.desired[desired.endpoint] = desired

    def forget(self, endpoint):
        self.desired.pop(endpoint, None)
        self.runtime_status.forget(endpoint)


class World:
    """The store, and how to read from it what the tests ask about. `ahead`: how far the clock is put forward."""

    def __init__(self, directory: Path) -> None:
        self.store = FilesStore(directory)
        self.workloads = RememberedWorkloads()
        self.scaling = RememberedScaling(RuntimeStatus())
        self.ahead = timedelta(0)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Controller]:
        """A controller from start to its end, as a process would have it."""
        runtime_status = RuntimeStatus()
        self.scaling = RememberedScaling(runtime_status)
        controller = Controller(self.store, self.workloads, SETTINGS, self.scaling, runtime_status, clock=self.now)
        task = asyncio.create_task(controller.run())
        try:
            yield controller
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def find(self, kind: Kind, key: NamespacedName):
        try:
            return await self.store.get(kind, key.namespace, key.name)
        except NotFoundError:
            return None

    async def secret(self, key: NamespacedName) -> dict[str, bytes] | None:
        found = await self.find(SECRET, key)
        return {entry: base64.b64decode(value) for entry, value in found["data"].items()} if found else None

    async def document(self, endpoint: NamespacedName = ENDPOINT):
        data = await self.secret(NamespacedName(SETTINGS.gateway_namespace, names.route_document(endpoint)))
        return routing.decode(data) if data else None

    async def digests(self, endpoint: NamespacedName = ENDPOINT) -> set[str] | None:
        """The key hashes in the endpoint's document; None without a document."""
        found = await self.document(endpoint)
        return {grant.sha256 for grant in found.keys} if found else None

    async def condition(self, kind: Kind, key: NamespacedName, condition: str) -> tuple[str, str]:
        """Status and reason."""
        found = await self.find(kind, key)
        listed = (found or {}).get("status", {}).get("conditions", [])
        return next(((each["status"], each["reason"]) for each in listed if each["type"] == condition), ("", ""))

    async def update(self, kind: Kind, key: NamespacedName, change) -> None:
        found = await self.store.get(kind, key.namespace, key.name)
        change(found["spec"])
        del found["metadata"]["resourceVersion"]
        await self.store.replace(found)

    async def delete(self, kind: Kind, key: NamespacedName) -> None:
        await self.store.delete(ObjectRef(kind.kind, key))


async def until(condition, timeout=20.0):
    """Wait for an async condition to give something true; its value."""
    async with asyncio.timeout(timeout):
        while not (found := await condition()):
            await asyncio.sleep(0.02)
        return found


def endpoint_object(key: NamespacedName = ENDPOINT, **spec) -> dict:
    base = {"model": {"source": {"path": "/models/minilm"}}, "access": {"apiKey": {}}}
    return _object(INFERENCE_ENDPOINT, key, {**base, **spec})


def client_object(key: NamespacedName = CLIENT, *endpoints: NamespacedName, **spec) -> dict:
    named = [{"name": each.name, "namespace": each.namespace} for each in endpoints]
    return _object(INFERENCE_CLIENT, key, {"endpoints": named, "apiKey": {}, **spec})


def _object(kind: Kind, key: NamespacedName, spec: dict) -> dict:
    metadata = {"name": key.name, "namespace": key.namespace}
    return {"apiVersion": API_VERSION, "kind": kind.kind, "metadata": metadata, "spec": spec}
