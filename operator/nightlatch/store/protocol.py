"""The store seam: InferenceEndpoints, InferenceClients, TokenIssuers, Secrets, with Kubernetes' rules of concurrency.

Objects are raw JSON dicts with `apiVersion`, `kind`, `metadata`. Secrets carry base64 `data`. Within a kind,
resourceVersions are integers that grow with every change.
Every implementation passes tests/contract/store_contract.py.
"""

from collections.abc import AsyncIterator, Mapping
from typing import Protocol

from nightlatch.api.meta import Kind, ObjectRef, RawObject
from nightlatch.informer import Bookmark, Listing, SourceError, WatchEvent


class StoreError(SourceError):
    """Base of everything a store raises on purpose, but for a watch's ExpiredError (nightlatch.informer).

    The message is fit for a user and holds no secret.
    """


class NotFoundError(StoreError):
    """No such object."""


class AlreadyExistsError(StoreError):
    """Create found an object of that name."""


class ConflictError(StoreError):
    """The object changed, or is another one, since it was read (uid or resourceVersion precondition)."""


class InvalidError(StoreError):
    """Schema or CEL validation refused the object. `causes` are `(field path, message)` pairs."""

    def __init__(self, ref: ObjectRef, causes: tuple[tuple[str, str], ...]) -> None:
        self.ref = ref
        self.causes = causes
        lines = "; ".join(f"{path}: {message}" if path else message for path, message in causes)
        super().__init__(f"{ref} is invalid: {lines}")


class UnavailableError(StoreError):
    """The store did not answer; the call may be repeated."""


class Store(Protocol):
    """`labels` selects by equality on every pair."""

    async def get(self, kind: Kind, namespace: str, name: str) -> RawObject:
        """The object. Raises NotFoundError."""

    async def list(
        self, kind: Kind, *, namespace: str | None = None, labels: Mapping[str, str] | None = None
    ) -> Listing:
        """All objects of a kind, in one namespace or in all."""

    def watch(
        self, kind: Kind, *, since: str, namespace: str | None = None, labels: Mapping[str, str] | None = None
    ) -> AsyncIterator[WatchEvent | Bookmark]:
        """Changes after `since`, in order for each object, and bookmarks. May end: resume from the last version.

        Follow it with an Informer. Raises ExpiredError when `since` is too old.
        """

    async def create(self, obj: RawObject) -> RawObject:
        """Validate, default, assign uid and generation 1, keep. Raises AlreadyExistsError, InvalidError."""

    async def replace(self, obj: RawObject) -> RawObject:
        """Replace spec, data and metadata, never status. `metadata.uid` and `.resourceVersion`, where given, are
        preconditions. `generation` grows only when spec changed. Raises NotFoundError, ConflictError, InvalidError."""

    async def replace_status(self, obj: RawObject) -> RawObject:
        """Replace status alone, with the same preconditions; generation stays."""

    async def delete(self, ref: ObjectRef, *, uid: str | None = None, resource_version: str | None = None) -> None:
        """Delete, with preconditions. Raises NotFoundError, ConflictError."""
