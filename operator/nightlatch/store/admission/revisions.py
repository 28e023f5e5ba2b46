"""Makes the next version of an object: what the store owns, what a writer may change, preconditions. Pure."""

import copy
from datetime import UTC, datetime

from nightlatch.api.meta import SECRET, ObjectRef, RawObject
from nightlatch.store.admission import metadata, secrets
from nightlatch.store.admission.schema import reference
from nightlatch.store.protocol import ConflictError, InvalidError

_KEPT = ("uid", "generation", "creationTimestamp")


def first(admitted: RawObject, *, uid: str, now: datetime) -> RawObject:
    """The object as created, without a resourceVersion yet. `admitted` has no status, or the schema's default."""
    given = _users_metadata(admitted)
    owned = {"uid": uid, "creationTimestamp": now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")}
    generation = {} if admitted["kind"] == SECRET.kind else {"generation": 1}
    body = {key: value for key, value in admitted.items() if key != "metadata"}
    return _ordered(body | {"metadata": given | owned | generation})


def replaced(old: RawObject, admitted: RawObject) -> RawObject:
    """`old` with everything from `admitted` but the status and the metadata that the store owns.

    Returns `old` itself if nothing changed. Raises InvalidError.
    """
    kept = {key: old["metadata"][key] for key in (*_KEPT, "resourceVersion") if key in old["metadata"]}
    body = {key: value for key, value in admitted.items() if key not in ("metadata", "status")}
    status = {"status": old["status"]} if "status" in old else {}
    new = _ordered(body | status | {"metadata": _users_metadata(admitted) | kept})
    if "generation" in kept and new.get("spec") != old.get("spec"):
        new["metadata"]["generation"] += 1
    _refuse_changed_type(old, new)
    return old if new == old else new


def with_status(old: RawObject, status: RawObject) -> RawObject:
    """`old` with another status, or `old` itself if the status is the same."""
    return old if old.get("status", {}) == status else {**old, "status": status}


def at(obj: RawObject, resource_version: int) -> RawObject:
    """A copy with that resourceVersion."""
    return {**obj, "metadata": {**obj["metadata"], "resourceVersion": str(resource_version)}}


def check(ref: ObjectRef, old: RawObject, *, uid: str | None, resource_version: str | None) -> None:
    """Raises ConflictError unless `old` has the uid and version that the writer expects (None: any)."""
    if uid and uid != old["metadata"]["uid"]:
        raise ConflictError(
            f"{ref} is not the object that was read, which was deleted and created again: read it again"
        )
    if resource_version and resource_version != old["metadata"]["resourceVersion"]:
        raise ConflictError(f"{ref} has changed since it was read: read it again and repeat the change")


def _users_metadata(obj: RawObject) -> RawObject:
    dropped = {*_KEPT, "resourceVersion", *metadata.FOREIGN}
    return {key: copy.deepcopy(value) for key, value in obj["metadata"].items() if key not in dropped and value}


def _refuse_changed_type(old: RawObject, new: RawObject) -> None:
    causes = tuple(secrets.changed_type(old, new))
    if causes:
        raise InvalidError(reference(new), causes)


def _ordered(obj: RawObject) -> RawObject:
    """The object with its parts in the usual order."""
    order = ("apiVersion", "kind", "metadata", "type", "spec", "data", "immutable", "status")
    return {key: obj[key] for key in order if key in obj}
