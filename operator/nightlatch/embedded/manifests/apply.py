"""Makes the store contain what the manifests declare, and deletes what they no longer declare."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nightlatch.api.meta import OUR_KINDS, SECRET, STORED_KINDS, Kind, ObjectRef, RawObject
from nightlatch.embedded.manifests.additions import with_additions_of
from nightlatch.embedded.manifests.documents import ANNOTATION_MANIFEST, ManifestDocument, ManifestProblem, Manifests
from nightlatch.store.protocol import AlreadyExistsError, ConflictError, InvalidError, NotFoundError, Store, StoreError

_KINDS = {kind.kind: kind for kind in STORED_KINDS}
_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Change:
    """What applying did to one object."""

    verb: Literal["created", "changed", "deleted"]
    ref: ObjectRef


@dataclass(frozen=True, slots=True)
class Applied:
    """What `apply` changed, what was wrong, and which objects come from files that were not given."""

    changes: tuple[Change, ...] = ()
    problems: tuple[ManifestProblem, ...] = ()
    elsewhere: tuple[tuple[ObjectRef, Path], ...] = ()


async def apply(store: Store, manifests: Manifests, watched: tuple[Path, ...]) -> Applied:
    """Make the store contain what the manifests declare.

    `watched` are the files and directories that the user gave. While a file has a broken document, none of its objects
    is deleted, so that the last good state stays. Objects from other files are left alone and named in `elsewhere`.
    """
    changes: list[Change] = []
    problems = list(manifests.problems)
    for document in manifests.documents:
        try:
            verb = await _keep(store, document)
        except InvalidError as error:
            problems += [_problem(document, field, message) for field, message in error.causes]
        except StoreError as error:
            problems.append(_problem(document, "", str(error)))
        else:
            changes += [Change(verb, document.ref)] if verb else []
    broken = {problem.file for problem in problems}
    declared = {document.ref for document in manifests.documents}
    elsewhere = []
    for ref, file in await _applied(store):
        if ref in declared or file in broken:
            continue
        if not is_watched(file, watched):
            elsewhere.append((ref, file))
        elif await _delete(store, ref):
            changes.append(Change("deleted", ref))
    return Applied(tuple(changes), tuple(problems), tuple(elsewhere))


def is_watched(file: Path, watched: tuple[Path, ...]) -> bool:
    """True if the user gave this file, or the directory that it is in."""
    return file in watched or file.parent in watched


def _problem(document: ManifestDocument, field: str, message: str) -> ManifestProblem:
    subject = f"{document.ref.kind} {document.ref.key.name}"
    return ManifestProblem(document.file, message, document.index, subject, field)


async def _keep(store: Store, document: ManifestDocument) -> Literal["created", "changed"] | None:
    """Create or replace the object, and try again if another writer changed it meanwhile."""
    kind = _KINDS[document.ref.kind]
    key = document.ref.key
    for _ in range(_ATTEMPTS):
        try:
            old = await store.get(kind, key.namespace, key.name)
        except NotFoundError:
            try:
                await store.create(_annotated(document, {}))
            except AlreadyExistsError:
                continue
            return "created"
        _refuse_ours(kind, old)
        try:
            return "changed" if _differs(old, await store.replace(_merged(document, old))) else None
        except (ConflictError, NotFoundError):
            continue
    raise ConflictError(f"{document.ref} keeps changing; save the file again")


def _refuse_ours(kind: Kind, old: RawObject) -> None:
    """A Secret that did not come from a manifest is one of Nightlatch's own, and must not be overwritten."""
    if kind == SECRET and ANNOTATION_MANIFEST not in (old["metadata"].get("annotations") or {}):
        raise StoreError("Nightlatch uses a Secret of this name itself; choose another name")


def _annotated(document: ManifestDocument, old: RawObject) -> RawObject:
    """The declared object, with the labels and annotations that others added."""
    metadata = document.object["metadata"]
    annotations = {**(old.get("annotations") or {}), **(metadata.get("annotations") or {})}
    return {
        **document.object,
        "metadata": {
            **metadata,
            "labels": {**(old.get("labels") or {}), **(metadata.get("labels") or {})},
            "annotations": {**annotations, ANNOTATION_MANIFEST: str(document.file)},
        },
    }


def _merged(document: ManifestDocument, old: RawObject) -> RawObject:
    new = _annotated(document, old["metadata"])
    kept = {field: value for field, value in old["metadata"].items() if field not in ("labels", "annotations")}
    new = {**new, "metadata": {**kept, **{k: new["metadata"][k] for k in ("labels", "annotations")}}}
    return new if document.ref.kind == SECRET.kind else with_additions_of(old, new)


def _differs(old: RawObject, new: RawObject) -> bool:
    return any(old.get(part) != new.get(part) for part in ("spec", "data"))


async def _applied(store: Store) -> list[tuple[ObjectRef, Path]]:
    """Every object that came from a manifest, with the manifest's path."""
    found = []
    for kind in (*OUR_KINDS, SECRET):
        for obj in (await store.list(kind)).items:
            manifest = (obj["metadata"].get("annotations") or {}).get(ANNOTATION_MANIFEST)
            if manifest:
                found.append((ObjectRef.of({"kind": kind.kind, **obj}), Path(manifest)))
    return found


async def _delete(store: Store, ref: ObjectRef) -> bool:
    try:
        await store.delete(ref)
    except NotFoundError:
        return False
    return True
