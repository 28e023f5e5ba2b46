"""Opens the store and the workload reader that the configuration names."""

# ruff: noqa: PLC0415 - imported where used: an embedded gatekeeper has no Kubernetes client, one in a cluster has no
# file watcher

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nightlatch.gatekeeper.process.config import Config, ConfigError, Source
from nightlatch.store.protocol import Store
from nightlatch.workloads.protocol import WorkloadReader

if TYPE_CHECKING:
    from nightlatch.kube.client import ApiServer


@dataclass(frozen=True, slots=True)
class Backends:
    """The two sources that a gatekeeper reads."""

    store: Store
    workloads: WorkloadReader


@asynccontextmanager
async def open_backends(config: Config) -> AsyncIterator[Backends]:
    """Open both, read-only. Raises ConfigError, ApiServerError."""
    async with AsyncExitStack() as stack:
        api = await stack.enter_async_context(await _connect()) if _needs_api(config) else None
        yield Backends(_store(config.store, api), _workloads(config.workloads, api))


def _needs_api(config: Config) -> bool:
    return "kubernetes" in {config.store.kind, config.workloads.kind}


async def _connect() -> "ApiServer":
    from nightlatch.kube.client import connect

    return await connect()


def _store(source: Source, api: "ApiServer | None") -> Store:
    if source.kind == "files":
        from nightlatch.store.files.store import FilesStore

        return FilesStore(source.directory, read_only=True)
    if source.kind == "kubernetes" and api is not None:
        from nightlatch.store.kubernetes.store import KubernetesStore

        return KubernetesStore(api)
    raise ConfigError(f"store.kind {source.kind!r} is unknown: write files or kubernetes")


def _workloads(source: Source, api: "ApiServer | None") -> WorkloadReader:
    if source.kind == "processes":
        from nightlatch.workloads.processes.reader import ProcessWorkloadReader

        return ProcessWorkloadReader(source.directory)
    if source.kind == "kubernetes" and api is not None:
        from nightlatch.workloads.kubernetes.pods import PodReader

        return PodReader(api, source.namespaces)
    raise ConfigError(f"workloads.kind {source.kind!r} is unknown: write processes or kubernetes")
