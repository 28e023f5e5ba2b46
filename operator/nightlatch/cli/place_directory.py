"""The objects of `nightlatch up`, in its state directory."""

from collections.abc import Iterable, Mapping

from nightlatch.api.meta import RawObject
from nightlatch.embedded import lock
from nightlatch.embedded.layout import Layout
from nightlatch.embedded.manifests.additions import with_addition
from nightlatch.embedded.manifests.documents import DEFAULT_NAMESPACE
from nightlatch.store.files.store import FilesStore
from nightlatch.workloads.processes import installation


class StateDirectory:
    """A `nightlatch.cli.place.Place`."""

    namespace = DEFAULT_NAMESPACE

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self.store = FilesStore(layout.root)

    def __str__(self) -> str:
        return f"the state directory {self._layout.root}"

    @property
    def is_running(self) -> bool:
        return lock.running(self._layout) is not None

    async def annotate(self, obj: RawObject, annotation: str, value: str) -> RawObject:
        metadata = obj["metadata"]
        annotations = {**(metadata.get("annotations") or {}), annotation: value}
        return await self.store.replace({**obj, "metadata": {**metadata, "annotations": annotations}})

    async def installation(self, namespace: str) -> Mapping[str, str]:  # noqa: ARG002 - there is one
        return installation.read_told(self._layout.workloads)

    async def request(self, namespace: str, annotation: str, value: str) -> None:  # noqa: ARG002
        installation.annotate(self._layout.workloads, annotation, value)

    async def revoke(self, client: RawObject, key_ids: Iterable[str], digests: Iterable[str]) -> RawObject:
        lists = {"apiKey": {"revokedKeyIds": list(key_ids)}, "certificate": {"revokedDigests": list(digests)}}
        added = {part: items for part, items in lists.items() if any(items.values())}
        return await self.store.replace(with_addition(client, added))
