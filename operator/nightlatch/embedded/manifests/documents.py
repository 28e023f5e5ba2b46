"""Reads YAML files into raw objects. Every problem says where it is and what to write instead."""

import base64
import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from nightlatch.api.meta import API_VERSION, GROUP, OUR_KINDS, STORED_KINDS, Kind, ObjectRef, RawObject
from nightlatch.embedded.errors import UserError
from nightlatch.store.files.yaml_loader import TimestampsAsText

DEFAULT_NAMESPACE = "default"
SUFFIXES = (".yaml", ".yml", ".json")
# Many manifests for a cluster contain these; without a cluster they have no effect.
SKIPPED_KINDS = frozenset({"Namespace"})


@dataclass(frozen=True, slots=True)
class ManifestDocument:
    """One object, and the YAML document that it comes from. `index` counts from 1."""

    file: Path
    index: int
    object: RawObject

    @property
    def ref(self) -> ObjectRef:
        return ObjectRef.of(self.object)


@dataclass(frozen=True, slots=True)
class ManifestProblem:
    """Something wrong with a file, or with one document in it."""

    file: Path
    message: str
    index: int | None = None
    subject: str = ""
    field: str = ""

    def __str__(self) -> str:
        where = str(self.file) if self.index is None else f"{self.file}, document {self.index}"
        subject = f" ({self.subject})" if self.subject else ""
        return f"{where}{subject}: {self.field}: {self.message}" if self.field else f"{where}{subject}: {self.message}"


@dataclass(frozen=True, slots=True)
class Manifests:
    """Everything that a set of files declares. `files` are those that exist."""

    documents: tuple[ManifestDocument, ...] = ()
    problems: tuple[ManifestProblem, ...] = ()
    files: frozenset[Path] = field(default_factory=frozenset)


class _Loader(TimestampsAsText, yaml.SafeLoader):
    """Reads YAML as the API server does: a key given twice is an error, and a timestamp stays text."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[Any] = set()
    for key_node, _ in node.value:
        key = loader.construct_object(key_node, deep=True)
        if key in seen:
            raise yaml.constructor.ConstructorError(
                problem=f"the key {key!r} is given twice", problem_mark=key_node.start_mark
            )
        seen.add(key)
    return loader.construct_mapping(node, deep=True)


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)


def expand(paths: Iterable[Path]) -> tuple[Path, ...]:
    """The files to read: the given ones, and the YAML and JSON files in the given directories. Raises UserError."""
    files: list[Path] = []
    for path in paths:
        if path.is_dir():
            files += sorted(child for child in path.iterdir() if child.suffix in SUFFIXES)
        elif path.exists():
            files.append(path)
        else:
            raise UserError(f"no such file: {path}", "give manifest files or directories", code=2)
    return tuple(dict.fromkeys(file.absolute() for file in files))


def read(files: Iterable[Path]) -> Manifests:
    """All documents in the files. The good ones are returned even if others are broken."""
    documents: list[ManifestDocument] = []
    problems: list[ManifestProblem] = []
    found: set[Path] = set()
    for file in files:
        try:
            text = file.read_text(encoding="utf-8")
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError) as error:
            problems.append(ManifestProblem(file, f"cannot be read: {error}"))
            found.add(file)
            continue
        found.add(file)
        for parsed in parse(text, file):
            (problems if isinstance(parsed, ManifestProblem) else documents).append(parsed)  # type: ignore[arg-type]
    unique, doubles = _without_doubles(documents)
    return Manifests(unique, (*problems, *doubles), frozenset(found))


def parse(text: str, file: Path) -> list[ManifestDocument | ManifestProblem]:
    """The documents of one file, in order."""
    try:
        raw = list(yaml.load_all(text, Loader=_Loader))
    except yaml.YAMLError as error:
        return [ManifestProblem(file, f"is not YAML: {_yaml_message(error)}")]
    return [
        _document(value, file, index)
        for index, value in enumerate(raw, start=1)
        if value is not None and not (isinstance(value, dict) and value.get("kind") in SKIPPED_KINDS)
    ]


def _yaml_message(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    return f"line {mark.line + 1}, column {mark.column + 1}: {problem}" if mark else problem


def _document(value: Any, file: Path, index: int) -> ManifestDocument | ManifestProblem:
    if not isinstance(value, dict):
        return ManifestProblem(file, f"is not an object; start with `apiVersion: {API_VERSION}` and `kind:`", index)
    metadata = value.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    subject = f"{value.get('kind', '?')} {name or '?'}"
    try:
        kind = _kind(value)
        metadata = _metadata(metadata)
        return ManifestDocument(file, index, _normal(value, kind, metadata, file.parent))
    except _FieldError as error:
        return ManifestProblem(file, error.message, index, subject, error.field)


class _FieldError(Exception):
    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.message = message


def _kind(value: RawObject) -> Kind:
    known = {kind.kind: kind for kind in STORED_KINDS}
    kind = known.get(str(value.get("kind", "")))
    if kind is None:
        close = difflib.get_close_matches(str(value.get("kind", "")), known, n=1)
        meant = f"did you mean {close[0]}?" if close else f"write {_or([kind.kind for kind in OUR_KINDS])}"
        raise _FieldError("kind", f"unknown kind {value.get('kind')!r}; {meant}")
    if value.get("apiVersion") != kind.api_version:
        raise _FieldError("apiVersion", f"{value.get('apiVersion')!r} should be {kind.api_version}")
    return kind


def _metadata(metadata: Any) -> RawObject:
    name = metadata.get("name") if isinstance(metadata, dict) else None
    if not isinstance(name, str) or not name:
        raise _FieldError("metadata.name", "is missing; give the object a name")
    return dict(metadata)


def _or(words: list[str]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"


def _normal(value: RawObject, kind: Kind, metadata: RawObject, directory: Path) -> RawObject:
    """The object with its namespace, with an absolute path to the model, and without a status."""
    result = {key: part for key, part in value.items() if key != "status"}
    result["metadata"] = {"namespace": DEFAULT_NAMESPACE, **metadata}
    if kind.kind == "Secret":
        return _secret(result)
    if kind.kind == "InferenceEndpoint":
        _make_path_absolute(result, directory)
    return result


def _secret(value: RawObject) -> RawObject:
    plain = value.pop("stringData", None) or {}
    encoded = {key: base64.b64encode(str(text).encode()).decode() for key, text in plain.items()}
    return {**value, "data": {**(value.get("data") or {}), **encoded}}


def _make_path_absolute(value: RawObject, directory: Path) -> None:
    """`spec.model.source.path` is relative to the manifest, so that a checkout can be moved."""
    source = value
    for step in ("spec", "model", "source"):
        source = source.get(step)  # type: ignore[assignment]
        if not isinstance(source, dict):
            return
    if isinstance(source.get("path"), str) and source["path"]:
        source["path"] = str((directory / Path(source["path"]).expanduser()).resolve())


def _without_doubles(documents: list[ManifestDocument]) -> tuple[tuple[ManifestDocument, ...], list[ManifestProblem]]:
    first: dict[ObjectRef, ManifestDocument] = {}
    problems = []
    for document in documents:
        other = first.setdefault(document.ref, document)
        if other is not document:
            message = f"is declared twice; it is also document {other.index} of {other.file}"
            problems.append(ManifestProblem(document.file, message, document.index, str(document.ref)))
    return tuple(first.values()), problems


ANNOTATION_MANIFEST = f"{GROUP}/manifest"
