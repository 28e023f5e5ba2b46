"""Lets a directory stand in for a PersistentVolumeClaim, so that a cluster's manifest works unchanged on a laptop."""

import copy
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from nightlatch.api.meta import RawObject
from nightlatch.embedded.errors import UserError
from nightlatch.embedded.manifests.documents import ManifestDocument, ManifestProblem, Manifests


def parse_claims(given: tuple[str, ...]) -> dict[str, Path]:
    """The `--claim NAME=DIR` options, as absolute directories by the claim's name. Raises UserError."""
    claims = {}
    for text in given:
        name, equals, directory = text.partition("=")
        if not (name and equals and directory):
            raise UserError(f"--claim {text} is not NAME=DIR", "write, for example, --claim models=./models", code=2)
        if not Path(directory).is_dir():
            raise UserError(f"--claim {text}: not a directory: {directory}", "create it, or give another", code=2)
        claims[name] = Path(directory).absolute()
    return claims


def bound(manifests: Manifests, claims: Mapping[str, Path]) -> Manifests:
    """The manifests with `path` in place of `pvc` for every claim that has a directory. Other claims stay unchanged."""
    documents: list[ManifestDocument] = []
    problems = list(manifests.problems)
    for document in manifests.documents:
        found = _bound(document, claims)
        (problems if isinstance(found, ManifestProblem) else documents).append(found)  # type: ignore[arg-type]
    return replace(manifests, documents=tuple(documents), problems=tuple(problems))


def _bound(document: ManifestDocument, claims: Mapping[str, Path]) -> ManifestDocument | ManifestProblem:
    pvc = _pvc(document.object)
    directory = claims.get(str(pvc.get("claimName"))) if pvc else None
    if pvc is None or directory is None:
        return document
    path = (directory / str(pvc.get("path") or "").strip("/")).resolve()
    if not path.is_relative_to(directory.resolve()):
        where = "spec.model.source.pvc.path"
        return ManifestProblem(document.file, "points outside the volume", document.index, str(document.ref), where)
    obj = copy.deepcopy(document.object)
    source = obj["spec"]["model"]["source"]
    del source["pvc"]
    source["path"] = str(path)
    return replace(document, object=obj)


def _pvc(obj: RawObject) -> RawObject | None:
    found = obj
    for step in ("spec", "model", "source", "pvc"):
        found = found.get(step)  # type: ignore[assignment]
        if not isinstance(found, dict):
            return None
    return found
