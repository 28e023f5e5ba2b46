"""The store over YAML files in a state directory, for `nightlatch up`. It passes tests/contract/store_contract.py.

Several processes can have it open: writers take turns by flock, readers read the files, and watches follow the journal.
"""

import asyncio
import contextlib
import fcntl
import os
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from nightlatch.api.meta import SECRET, STORED_KINDS, Kind, NamespacedName, ObjectRef, RawObject
from nightlatch.informer import Bookmark, ExpiredError, Listing, WatchEvent
from nightlatch.store.admission import revisions
from nightlatch.store.admission.schema import admitted, admitted_status, kind_of, reference
from nightlatch.store.files.file_watcher import FileWatcher
from nightlatch.store.files.journal import Change, ChangeType, CompactedError, Journal, Position
from nightlatch.store.files.object_files import ObjectFiles
from nightlatch.store.files.selection import Selection, deletion
from nightlatch.store.files.state_directory import existing, prepared
from nightlatch.store.protocol import (
    AlreadyExistsError,
    InvalidError,
    NotFoundError,
    StoreError,
    UnavailableError,
)

_KINDS = {kind.kind: kind for kind in STORED_KINDS}
Found = TypeVar("Found")

BOOKMARK_SECONDS = 5.0


class FilesStore:
    """A Store in one directory. `read_only` opens a directory that another process writes.

    Raises StateDirectoryError if the directory cannot be used, DamagedObjectError if a file in it is not an object.
    """

    def __init__(self, directory: Path, *, read_only: bool = False) -> None:
        self._read_only = read_only
        self._directory = existing(directory) if read_only else prepared(directory)
        self._files = ObjectFiles(directory / "objects")
        self._journal = Journal(directory)
        self._watcher = FileWatcher(self._journal.path)
        if not read_only:
            with self._lock(fcntl.LOCK_EX):
                if self._journal.is_readable():
                    self._recover()
                self._journal.start(self._highest())

    async def get(self, kind: Kind, namespace: str, name: str) -> RawObject:
        return await self._read(lambda: self._existing(ObjectRef(kind.kind, NamespacedName(namespace, name))))

    async def list(
        self, kind: Kind, *, namespace: str | None = None, labels: Mapping[str, str] | None = None
    ) -> Listing:
        return await self._read(lambda: self._list(Selection(kind, namespace, labels or {})))

    async def watch(
        self, kind: Kind, *, since: str, namespace: str | None = None, labels: Mapping[str, str] | None = None
    ) -> AsyncIterator[WatchEvent | Bookmark]:
        """Changes of one object that come faster than they are read may become one event.

        A bookmark every few seconds says that the directory can still be read.
        """
        selection, position = Selection(kind, namespace, labels or {}), Position(int(since))
        unseen: set[NamespacedName] = set()
        await self._read(lambda: self._check_not_ahead(position.rv))
        now = asyncio.get_running_loop().time
        bookmark_due = now() + BOOKMARK_SECONDS
        while True:
            seen = self._watcher.fingerprint()
            for event in await self._read(lambda: self._events(selection, position, unseen)):
                yield event
            if now() >= bookmark_due:
                yield await self._read(lambda: self._bookmark(position))
                bookmark_due = now() + BOOKMARK_SECONDS
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(bookmark_due):
                    await self._watcher.wait(seen)

    async def create(self, obj: RawObject) -> RawObject:
        new = admitted({key: value for key, value in obj.items() if key != "status"})
        return await self._write(lambda: self._create(new))

    async def replace(self, obj: RawObject) -> RawObject:
        new = admitted({key: value for key, value in obj.items() if key != "status"})
        return await self._write(lambda: self._update(obj, lambda old: revisions.replaced(old, new)))

    async def replace_status(self, obj: RawObject) -> RawObject:
        if kind_of(obj) == SECRET:
            raise NotFoundError(f"{reference(obj)} has no status")
        status = admitted_status(obj)
        return await self._write(lambda: self._update(obj, lambda old: revisions.with_status(old, status)))

    async def delete(self, ref: ObjectRef, *, uid: str | None = None, resource_version: str | None = None) -> None:
        await self._write(lambda: self._delete(ref, uid, resource_version))

    def compact(self) -> None:
        """Drop the journal's lines now instead of when it is long: every watch that is behind gets ExpiredError."""
        with self._lock(fcntl.LOCK_EX):
            self._journal.compact()

    async def _read(self, look: Callable[[], Found]) -> Found:
        try:
            return await asyncio.to_thread(look)
        except OSError as error:
            raise UnavailableError(f"cannot read {self._directory}: {error.strerror}") from error

    # The rest runs in a thread.

    def _list(self, selection: Selection) -> Listing:
        with self._lock(fcntl.LOCK_SH):
            version = self._journal.last()
            found = (
                self._files.read(selection.kind, key) for key in self._files.keys(selection.kind, selection.namespace)
            )
            items = tuple(obj for obj in found if obj and selection.takes(obj["metadata"].get("labels", {})))
        return Listing(items, str(version))

    def _events(self, selection: Selection, position: Position, unseen: set[NamespacedName]) -> tuple[WatchEvent, ...]:
        try:
            changes = self._journal.read(position)
        except (CompactedError, FileNotFoundError):
            raise ExpiredError(f"resourceVersion {position.rv} is too old to watch from: list again") from None
        events = (self._event(selection, change, unseen) for change in changes)
        return tuple(event for event in events if event is not None)

    def _event(self, selection: Selection, change: Change, unseen: set[NamespacedName]) -> WatchEvent | None:
        """The event for a change; None if a later line replaces it, because the object has changed again or is gone."""
        seen_as = selection.seen_as(change)
        key = NamespacedName(change.namespace, change.name)
        if seen_as is None:
            return None
        if seen_as == "Deleted":
            unseen.discard(key)
            return deletion(selection.kind, change)
        obj = self._files.read(selection.kind, key)
        if obj is None or int(obj["metadata"]["resourceVersion"]) != change.rv:
            unseen |= {key} if seen_as == "Added" else set()
            return None
        first_sight = seen_as == "Added" or key in unseen
        unseen.discard(key)
        return WatchEvent("Added" if first_sight else "Modified", obj, str(change.rv))

    def _bookmark(self, position: Position) -> Bookmark:
        """What a list would need must be there, since an idle journal looks the same as one that is out of reach."""
        with self._lock(fcntl.LOCK_SH):
            return Bookmark(str(position.rv))

    def _create(self, obj: RawObject) -> RawObject:
        ref = ObjectRef.of(obj)
        if obj["metadata"].get("resourceVersion"):
            raise InvalidError(ref, (("metadata.resourceVersion", "must not be set on a new object: remove it"),))
        if self._files.read(_KINDS[ref.kind], ref.key) is not None:
            raise AlreadyExistsError(f"{ref} already exists")
        new = revisions.first(obj, uid=str(uuid.uuid4()), now=datetime.now(UTC))
        return self._commit("Added", new, before=None)

    def _update(self, obj: RawObject, change: Callable[[RawObject], RawObject]) -> RawObject:
        ref, known = ObjectRef.of(obj), obj["metadata"]
        old = self._existing(ref)
        revisions.check(ref, old, uid=known.get("uid"), resource_version=known.get("resourceVersion"))
        new = change(old)
        return old if new is old else self._commit("Modified", new, before=old)

    def _delete(self, ref: ObjectRef, uid: str | None, resource_version: str | None) -> RawObject:
        old = self._existing(ref)
        revisions.check(ref, old, uid=uid, resource_version=resource_version)
        return self._commit("Deleted", old, before=None)

    def _existing(self, ref: ObjectRef) -> RawObject:
        found = self._files.read(_KINDS[ref.kind], ref.key)
        if found is None:
            # If the whole directory is missing, this raises OSError: the object is not known to be deleted then.
            self._journal.path.stat()
            raise NotFoundError(f"{ref} not found")
        return found

    def _commit(self, change_type: ChangeType, obj: RawObject, before: RawObject | None) -> RawObject:
        """The three steps described in journal.py."""
        new = revisions.at(obj, self._journal.last() + 1)
        change = _change(change_type, new, before)
        self._journal.intend(change)
        try:
            self._carry_out(change, new)
        except OSError:
            self._journal.drop()
            raise
        self._journal.commit(change)
        return new

    def _carry_out(self, change: Change, obj: RawObject) -> None:
        kind, key = _KINDS[change.kind], NamespacedName(change.namespace, change.name)
        if change.type == "Deleted":
            self._files.remove(kind, key)
        else:
            self._files.write(kind, key, obj)

    def _recover(self) -> None:
        """Finish or drop the change that a killed writer left."""
        change = self._journal.abandoned()
        if change is None:
            return
        found = self._files.read(_KINDS[change.kind], NamespacedName(change.namespace, change.name))
        if _was_carried_out(change, found):
            self._journal.commit(change)
        else:
            self._journal.drop()

    def _highest(self) -> int:
        objects = (self._files.read(kind, key) for kind in STORED_KINDS for key in self._files.keys(kind, None))
        return max((int(obj["metadata"]["resourceVersion"]) for obj in objects if obj), default=0)

    def _check_not_ahead(self, version: int) -> None:
        if version > self._journal.last():
            raise ExpiredError(f"resourceVersion {version} is not from this store: list again")

    async def _write(self, change: Callable[[], RawObject]) -> RawObject:
        if self._read_only:
            raise StoreError(f"{self._directory} is opened read-only")
        try:
            return await asyncio.to_thread(self._locked, change)
        finally:
            self._watcher.wake()

    def _locked(self, change: Callable[[], RawObject]) -> RawObject:
        try:
            with self._lock(fcntl.LOCK_EX):
                self._recover()
                return change()
        except OSError as error:
            raise UnavailableError(f"cannot write to {self._directory}: {error.strerror}") from error

    @contextlib.contextmanager
    def _lock(self, mode: int) -> Iterator[None]:
        """Lock the store until the end of the block: shared among readers, exclusive for a writer."""
        descriptor = os.open(self._directory / "lock", os.O_RDONLY | (0 if self._read_only else os.O_CREAT), 0o600)
        try:
            fcntl.flock(descriptor, mode)
            yield
        finally:
            os.close(descriptor)


def _change(change_type: ChangeType, obj: RawObject, before: RawObject | None) -> Change:
    known = obj["metadata"]
    labels = known.get("labels", {})
    old_labels = before["metadata"].get("labels", {}) if before else labels
    return Change(
        rv=int(known["resourceVersion"]),
        type=change_type,
        kind=obj["kind"],
        namespace=known["namespace"],
        name=known["name"],
        uid=known["uid"],
        labels=labels,
        before=None if old_labels == labels else old_labels,
    )


def _was_carried_out(change: Change, found: RawObject | None) -> bool:
    if change.type == "Deleted":
        return found is None
    return found is not None and int(found["metadata"]["resourceVersion"]) == change.rv
