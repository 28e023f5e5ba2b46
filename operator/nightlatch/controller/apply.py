"""Carries a plan out. Every write has preconditions, so that nothing that is not ours is ever overwritten."""

import base64
import copy
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from nightlatch.api import names
from nightlatch.api.meta import SECRET, NamespacedName, ObjectRef, RawObject
from nightlatch.controller.context import Context
from nightlatch.controller.issuing_ca import IssuingCA
from nightlatch.pki import (
    CertificateAuthority,
    PkiError,
    ca_material,
    issue_leaf,
    new_issuing,
    new_root,
    read_ca,
)
from nightlatch.pki.brought import read_brought_ca
from nightlatch.planning.inputs import CAView
from nightlatch.planning.plan import (
    Action,
    CopyCA,
    DeleteCertificate,
    DeleteSecret,
    DocumentSequence,
    EnsureCertificate,
    EnsureWorkload,
    IssueLeaf,
    MergeSecret,
    MintCA,
    OwnedSecret,
    Plan,
    PublishTrust,
    PutSecret,
    Revision,
    SecretAction,
    Status,
    UseCA,
)
from nightlatch.planning.secrets import owner_text, view_secret
from nightlatch.scaling.endpoint_scaling import DesiredScaling
from nightlatch.store.protocol import ConflictError, NotFoundError, Store, StoreError
from nightlatch.workloads.protocol import WorkloadError

# The errors that an action may end with. Any other exception is a defect.
ApplyFailure = StoreError | PkiError | WorkloadError


class Scaler(Protocol):
    """The autoscaler, as the reconcilers know it. Its methods return without waiting."""

    def declare(self, desired: DesiredScaling) -> None:
        """Scale the endpoint like this from now on. Idempotent."""

    def forget(self, endpoint: NamespacedName) -> None:
        """The endpoint is gone: never scale it again."""

    def written(self, document: DocumentSequence) -> None:
        """Every gateway should have this document."""


@dataclass(frozen=True, slots=True)
class Applier:
    """`issuing_ca` holds the CA that signs leaves; it is empty until the installation's PKI has been reconciled."""

    context: Context
    issuing_ca: IssuingCA
    scaler: Scaler

    async def apply(self, plan: Plan) -> tuple[ApplyFailure, ...]:
        """Every action and deletion, in order. An action that fails does not stop the others. Returns the failures."""
        if plan.scaling is not None:
            # Before the writes, which are slow: a call may be held already.
            self.scaler.declare(plan.scaling)
        failures: list[ApplyFailure] = []
        document = plan.document
        for action in (*plan.apply, *plan.delete):
            try:
                await self.act(action)
            except (StoreError, PkiError, WorkloadError) as failure:
                failures.append(failure)
                document = None if isinstance(action, PutSecret) else document
        if document is not None:
            self.scaler.written(document)
        return tuple(failures)

    async def act(self, action: Action | DeleteSecret) -> None:
        """One action. Raises StoreError, PkiError, WorkloadError."""
        match action:
            case UseCA(secret, bundle, since, reissue_over):
                ca = await self._read_ca(secret)
                self.issuing_ca.put(ca, CAView(ca.key_id, bundle or ca.trust_pem, since, reissue_over))
            case EnsureWorkload(workload):
                await self.context.workloads.ensure(workload)
            case PublishTrust(namespace, bundle):
                await self.context.workloads.publish_trust(namespace, bundle.decode("ascii"))
            case EnsureCertificate() if self.context.certificates is not None:
                await self.context.certificates.ensure(action)
            case DeleteCertificate() if self.context.certificates is not None:
                await self.context.certificates.delete(action)
            case EnsureCertificate() | DeleteCertificate():
                raise WorkloadError("there is nobody to get certificates of other issuers from")
            case DeleteSecret(key, revision):
                await delete_secret(self.context.store, ObjectRef(SECRET.kind, key), revision)
            case _:
                await self._write(action)

    async def _write(self, action: SecretAction) -> None:
        """Write one Secret. Private keys are made here, and nowhere else."""
        now, random = self.context.clock(), self.context.random
        match action:
            case PutSecret(target, data, replaces):
                await self._put(target, data, replaces)
            case MintCA(target, duration, None, replaces):
                root = new_root(now=now, duration=duration, random=random)
                await self._put(target, ca_material(root).secret_data(), replaces)
            case MintCA(target, duration, NamespacedName() as signed_by, replaces):
                minted = new_issuing(await self._read_ca(signed_by), now=now, duration=duration, random=random)
                await self._put(target, ca_material(minted).secret_data(), replaces)
            case CopyCA(target, source, key_id, replaces):
                await self._put(target, ca_material(await self._brought(source, key_id)).secret_data(), replaces)
            case IssueLeaf(target, request, replaces, beside):
                material = issue_leaf(self._signer(), request, now=now, random=random)
                await self._put(target, {**material.secret_data(), **beside}, replaces)
            case MergeSecret(target, data, replaces):
                await self._merge(target, data, replaces)

    async def write_status(self, raw: RawObject, status: Status) -> None:
        """Write the status of exactly the object that was read. Nothing happens if the object is gone."""
        changed = {**raw, "status": status.model_dump(mode="json", by_alias=True, exclude_none=True)}
        try:
            await self.context.store.replace_status(changed)
        except NotFoundError:
            return

    async def _read_ca(self, secret: NamespacedName) -> CertificateAuthority:
        return read_ca(view_secret(await self.context.store.get(SECRET, secret.namespace, secret.name)).data)

    async def _brought(self, secret: NamespacedName, key_id: str) -> CertificateAuthority:
        found = view_secret(await self.context.store.get(SECRET, secret.namespace, secret.name))
        ca = read_brought_ca(secret.name, found.data, self.context.clock())
        if not isinstance(ca, CertificateAuthority) or ca.key_id != key_id:
            raise ConflictError(f"{ObjectRef(SECRET.kind, secret)} changed since it was read")
        return ca

    def _signer(self) -> CertificateAuthority:
        signer = self.issuing_ca.get()
        if signer is None:
            raise PkiError("the issuing CA does not exist yet")
        return signer

    async def _put(self, target: OwnedSecret, data: Mapping[str, bytes], replaces: Revision | None) -> None:
        wanted = secret_object(target, data)
        if replaces is None:
            await self.context.store.create(wanted)
            return
        wanted["metadata"] |= {"uid": replaces.uid, "resourceVersion": replaces.resource_version}
        await self.context.store.replace(wanted)

    async def _merge(self, target: OwnedSecret, data: Mapping[str, bytes | None], replaces: Revision) -> None:
        found = copy.deepcopy(await self.context.store.get(SECRET, target.key.namespace, target.key.name))
        metadata = found["metadata"]
        if (metadata.get("uid"), metadata.get("resourceVersion")) != (replaces.uid, replaces.resource_version):
            raise ConflictError(f"{ObjectRef(SECRET.kind, target.key)} changed since it was read")
        kept = {entry: value for entry, value in (found.get("data") or {}).items() if entry not in data}
        found["data"] = {**kept, **_encoded({entry: value for entry, value in data.items() if value is not None})}
        ours = secret_object(target, {})["metadata"]
        metadata["labels"] = {**(metadata.get("labels") or {}), **ours["labels"]}
        metadata["annotations"] = {**(metadata.get("annotations") or {}), **ours["annotations"]}
        metadata["annotations"].pop(names.ANNOTATION_ADOPT, None)
        if "ownerReferences" in ours:
            metadata["ownerReferences"] = ours["ownerReferences"]
        await self.context.store.replace(found)


def secret_object(target: OwnedSecret, data: Mapping[str, bytes]) -> RawObject:
    """The Secret with our labels; an owner reference where the owner lives in the same namespace."""
    metadata: dict[str, Any] = {
        "name": target.key.name,
        "namespace": target.key.namespace,
        "labels": {**target.labels, names.LABEL_ROLE: target.role, names.LABEL_OWNER_UID: target.owner.uid},
        "annotations": {**target.annotations, names.ANNOTATION_OWNER: owner_text(target.owner.ref)},
    }
    if target.owner.api_version and target.owner.ref.key.namespace == target.key.namespace:
        metadata["ownerReferences"] = [_owner_reference(target)]
    return {
        "apiVersion": SECRET.api_version,
        "kind": SECRET.kind,
        "metadata": metadata,
        "type": target.type,
        "data": _encoded(data),
    }


async def delete_secret(store: Store, ref: ObjectRef, revision: Revision) -> None:
    """Delete exactly this Secret. Nothing happens if it is gone already."""
    try:
        await store.delete(ref, uid=revision.uid)
    except NotFoundError:
        return


def _owner_reference(target: OwnedSecret) -> dict[str, Any]:
    owner = target.owner
    return {
        "apiVersion": owner.api_version,
        "kind": owner.ref.kind,
        "name": owner.ref.key.name,
        "uid": owner.uid,
        "controller": True,
        "blockOwnerDeletion": False,
    }


def _encoded(data: Mapping[str, bytes]) -> dict[str, str]:
    return {entry: base64.b64encode(value).decode("ascii") for entry, value in data.items()}
