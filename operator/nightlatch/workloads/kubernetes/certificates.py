"""cert-manager in a cluster: its Certificates, whether there are any, and how it is asked for them.

Nothing of it is needed before somebody names an issuer, and it may be installed later, or go.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from nightlatch.api.meta import CERTIFICATE, NamespacedName, RawObject
from nightlatch.api.names import LABEL_ROLE
from nightlatch.informer import Bookmark, ExpiredError, Listing, WatchEvent
from nightlatch.kube.client import APPLY, ApiServer
from nightlatch.kube.collection import Collection
from nightlatch.kube.errors import ApiServerError
from nightlatch.kube.paths import collection, item
from nightlatch.planning.objects.certificate import certificate
from nightlatch.planning.plan import DeleteCertificate, EnsureCertificate
from nightlatch.workloads.kubernetes import objects
from nightlatch.workloads.kubernetes.drift import is_as_applied, stamped
from nightlatch.workloads.protocol import CertificateError, WorkloadError

# Seconds until the next look whether the kind exists: nothing that we may watch tells.
ABSENT_PAUSE_S = 15.0
_MANAGER = "nightlatch-renewal"


class CertificatesOf:
    """Our Certificates in one namespace, or (None) in all, as an Informer follows them.

    Without cert-manager there are none, and `available` is False.
    """

    def __init__(self, api: ApiServer, namespace: str | None, pause_s: float = ABSENT_PAUSE_S) -> None:
        self.available = False
        self._all = Collection(api, collection(CERTIFICATE, namespace), {"labelSelector": LABEL_ROLE})
        self._pause_s = pause_s

    async def list(self) -> Listing:
        try:
            listing = await self._all.list()
        except ApiServerError as error:
            if error.code != 404:
                raise
            self.available = False
            return Listing((), "")
        self.available = True
        return replace(listing, items=tuple(map(_typed, listing.items)))

    async def watch(self, since: str) -> AsyncIterator[WatchEvent | Bookmark]:
        if not self.available:
            await asyncio.sleep(self._pause_s)
            raise ExpiredError("time to look again for cert-manager")
        async for event in self._all.watch(since):
            yield replace(event, object=_typed(event.object)) if isinstance(event, WatchEvent) else event


class CertManager:
    """A `nightlatch.workloads.protocol.Certificates`."""

    def __init__(self, api: ApiServer, namespaces: tuple[str, ...] = ()) -> None:
        self._api = api
        self.sources = tuple(CertificatesOf(api, scope) for scope in (namespaces or (None,)))

    @property
    def available(self) -> bool:
        return any(each.available for each in self.sources)

    async def ensure(self, wanted: EnsureCertificate) -> None:
        """Asking for a renewal goes first: were the annotations written without it, nobody would ask again.

        They also say that it was asked for: a plan may be older than what the plan before it did.
        """
        obj, key = stamped(certificate(wanted)), wanted.target.key
        with _as_certificate_error():
            found = await objects.read(self._api, CERTIFICATE, key)
        if found is not None and not _is_of(found, wanted.target.owner.uid):
            raise CertificateError(
                f"Certificate {key.name} exists and is not ours: rename or delete it, or choose another name"
            )
        if found is not None and wanted.renew and not _is_noted(wanted, found):
            await self._renew(found)
        if found is None or not is_as_applied(obj, found):
            with _as_certificate_error():
                await objects.apply(self._api, CERTIFICATE, obj)

    async def delete(self, gone: DeleteCertificate) -> None:
        options = {"preconditions": {"uid": gone.uid}, "propagationPolicy": "Background"}
        try:
            await self._api.request("DELETE", item(CERTIFICATE, gone.key.namespace, gone.key.name), body=options)
        except ApiServerError as error:
            if error.code not in {404, 409}:
                raise CertificateError(f"cannot delete Certificate {gone.key}: {error}") from error

    async def _renew(self, found: dict[str, Any]) -> None:
        """As cert-manager's own command line asks for it: a condition of the status, which it takes away again."""
        key, metadata = NamespacedName.of(found), found["metadata"]
        condition = {
            "type": "Issuing",
            "status": "True",
            "reason": "ManuallyTriggered",
            "message": "Nightlatch asked for a new certificate",
            "lastTransitionTime": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "observedGeneration": metadata.get("generation", 1),
        }
        asked = {
            "apiVersion": CERTIFICATE.api_version,
            "kind": CERTIFICATE.kind,
            "metadata": {"name": key.name, "namespace": key.namespace, "uid": metadata["uid"]},
            "status": {"conditions": [condition]},
        }
        query = {"fieldManager": _MANAGER, "force": "true"}
        path = f"{item(CERTIFICATE, key.namespace, key.name)}/status"
        try:
            await self._api.request("PATCH", path, query=query, body=asked, content_type=APPLY)
        except ApiServerError as error:
            raise CertificateError(f"cannot ask for a renewal of Certificate {key}: {error}") from error


@contextlib.contextmanager
def _as_certificate_error() -> Iterator[None]:
    try:
        yield
    except WorkloadError as error:
        raise CertificateError(str(error)) from error


def _is_noted(wanted: EnsureCertificate, found: dict[str, Any]) -> bool:
    noted = found["metadata"].get("annotations") or {}
    return all(noted.get(name) == value for name, value in wanted.annotations.items())


def _is_of(found: dict[str, Any], uid: str) -> bool:
    return any(owner["uid"] == uid for owner in found["metadata"].get("ownerReferences", ()))


def _typed(obj: RawObject) -> RawObject:
    return {**obj, "apiVersion": CERTIFICATE.api_version, "kind": CERTIFICATE.kind}
