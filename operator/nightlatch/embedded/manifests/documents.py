"""YAML files to raw objects. Pure but for reading the files; every problem says where it is and what to write."""

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
# Part of many manifests for a cluster, and without meaning here.
SKIPPED_KINDS = frozenset({"Namespace"})


@dataclass(frozen=True, slots=True)
class Document:
    """One object and where it was written (`index` counts from 1)."""

    file: Path
    index: int
    object: RawObject

    @property
    def ref(self) -> ObjectRef:
        """What it declares."""
        return ObjectRef.of(self.object)


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with a file or one document of it."""

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
    """All that a set of files declares. `files`: those that were there to read."""

    documents: tuple[Document, ...] = ()
    problems: tuple[Problem, ...] = ()
    files: frozenset[Path] = field(default_factory=frozenset)


class _Loader(TimestampsAsText, yaml.SafeLoader):
    """As the API server reads YAML: a key given twice is an error, and a timestamp stays a string."""


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
    """The files that the arguments mean: a directory stands for its YAML and JSON files. Raises UserError."""
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
    """Every document of the files; the good ones also when others are broken."""
    documents: list[Document] = []
    problems: list[Problem] = []
    found: set[Path] = set()
    for file in files:
        try:
            text = file.read_text(encoding="utf-8")
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError) as error:
            problems.append(Problem(file, f"cannot be read: {error}"))
            found.add(file)
            continue
        found.add(file)
        for parsed in parse(text, file):
            (problems if isinstance(parsed, Problem) else documents).append(parsed)  # type: ignore[arg-type]
    unique, doubles = _without_doubles(documents)
    return Manifests(unique, (*problems, *doubles), frozenset(found))


def parse(text: str, file: Path) -> list[Document | Problem]:
    """The documents of one file, in order."""
    try:
        raw = list(yaml.load_all(text, Loader=_Loader))
    except yaml.YAMLError as error:
        return [Problem(file, f"is not YAML: {_yaml_message(error)}")]
    return [
        _document(value, file, index)
        for index, value in enumerate(raw, start=1)
        if value is not None and not (isinstance(value, dict) and value.get("kind") in SKIPPED_KINDS)
    ]


def _yaml_message(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or str(error)
    return f"line {mark.line + 1}, column {mark.column + 1}: {problem}" if mark else problem


def _document(value: Any, file: Path, index: int) -> Document | Problem:
    if not isinstance(value, dict):
        return Problem(file, f"is not an object; start with `apiVersion: {API_VERSION}` and `kind:`", index)
    metadata = value.get("metadata")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    subject = f"{value.get('kind', '?')} {name or '?'}"
    try:
        kind = _kind(value)
        metadata = _metadata(metadata)
        return Document(file, index, _normal(value, kind, metadata, file.parent))
    except _FieldError as error:
        return Problem(file, error.message, index, subject, error.field)


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
        raise _FieldError("kind", f"{value.get('kind')!r} is not run here; {meant}")
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
    """With its namespace, with the model's path made absolute, without status."""
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
    """`spec.model.source.path` is relative to the manifest, so that a checkout may lie anywhere."""
    source = value
    for step in ("spec", "model", "source"):
        source = source.get(step)  # type: ignore[assignment]
        if not isinstance(source, dict):
            return
    if isinstance(source.get("path"), str) and source["path"]:
        source["path"] = str((directory / Path(source["path"]).expanduser()).resolve())


def _without_doubles(documents: list[Document]) -> tuple[tuple[Document, ...], list[Problem]]:
    first: dict[ObjectRef, Document] = {}
    problems = []
    for document in documents:
        other = first.setdefault(document.ref, document)
        if other is not document:
            message = f"is declared twice; it is also document {other.index} of {other.file}"
            problems.append(Problem(document.file, message, document.index, str(document.ref)))
    return tuple(first.values()), problems


ANNOTATION_MANIFEST = f"{GROUP}/manifest"
