"""One YAML file for each object: `objects/PLURAL/NAMESPACE/NAME.yaml`. A reader sees a whole file or none."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from nightlatch.api.meta import Kind, NamespacedName, RawObject
from nightlatch.files import replace_file
from nightlatch.store.files.yaml_loader import TimestampsAsText
from nightlatch.store.protocol import StoreError

_SUFFIX = ".yaml"


class DamagedObjectError(StoreError):
    """A file of the store does not hold an object. The message names the file, but nothing from its content."""


class _Loader(TimestampsAsText, yaml.CSafeLoader):
    pass


_Signature = tuple[int, int, int]


class ObjectFiles:
    """The files under one directory. Parsed objects are kept until the file changes."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._parsed: dict[Path, tuple[_Signature, RawObject]] = {}

    def path(self, kind: Kind, key: NamespacedName) -> Path:
        """The file of an object. Names are validated before anything is written, so they contain no slash."""
        return self._directory / kind.plural / key.namespace / f"{key.name}{_SUFFIX}"

    def read(self, kind: Kind, key: NamespacedName) -> RawObject | None:
        """A copy of the object, or None. Raises DamagedObjectError."""
        path = self.path(kind, key)
        try:
            signature = _signature(path)
            known = self._parsed.get(path)
            if known is None or known[0] != signature:
                known = self._parsed[path] = (signature, _parse(path, kind, key))
        except (FileNotFoundError, NotADirectoryError):
            self._parsed.pop(path, None)
            return None
        return copy.deepcopy(known[1])

    def keys(self, kind: Kind, namespace: str | None) -> Iterator[NamespacedName]:
        """The names of a kind's objects, sorted."""
        root = self._directory / kind.plural
        for path in sorted(root.glob(f"{namespace or '*'}/*{_SUFFIX}")):
            if not path.name.startswith("."):
                yield NamespacedName(path.parent.name, path.name.removesuffix(_SUFFIX))

    def write(self, kind: Kind, key: NamespacedName, obj: RawObject) -> None:
        """Write the object durably."""
        path = self.path(kind, key)
        for folder in (path.parent.parent, path.parent):  # `parents=True` would leave the upper one open to others
            folder.mkdir(mode=0o700, exist_ok=True)
        text = yaml.dump(obj, Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True)
        replace_file(path, text.encode(), durable=True)

    def remove(self, kind: Kind, key: NamespacedName) -> None:
        """Remove the file, if there is one."""
        self.path(kind, key).unlink(missing_ok=True)


def _signature(path: Path) -> _Signature:
    found = path.stat()
    return found.st_ino, found.st_mtime_ns, found.st_size


def _parse(path: Path, kind: Kind, key: NamespacedName) -> RawObject:
    try:
        found: Any = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 - a safe loader
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise DamagedObjectError(f"{path} is not YAML (line {line}: {error.problem}): {_ADVICE}") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise DamagedObjectError(f"{path} is not YAML: {_ADVICE}") from None
    except PermissionError:
        raise DamagedObjectError(f"{path} cannot be read: change its owner to yourself and its mode to 0600") from None
    if not _is(found, kind, key):
        raise DamagedObjectError(f"{path} does not hold {kind.kind} {key}: {_ADVICE}")
    return found  # type: ignore[no-any-return]


_ADVICE = "correct it, or remove the file"


def _is(found: Any, kind: Kind, key: NamespacedName) -> bool:
    try:
        identity = (found["kind"], found["metadata"]["namespace"], found["metadata"]["name"])
        versions = (found["metadata"]["uid"], int(found["metadata"]["resourceVersion"]))
    except (KeyError, TypeError, ValueError):
        return False
    return identity == (kind.kind, key.namespace, key.name) and all(versions)
