"""Model packages on disk: verify one, read one, write one. Imports no torch.

A package is a directory with `model.json`, `*.safetensors` and, for text, `tokenizer.json`. Its digest is `sha256:` and
the SHA-256 of model.json's bytes; model.json has the SHA-256 of every other file: one digest pins the whole package.
Refused: formats that can run code when loaded, links, and any name that leaves the directory.
"""

from __future__ import annotations

import hashlib
import hmac
import mmap
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from nightlatch_server.model_package import manifest as manifests
from nightlatch_server.model_package import weights
from nightlatch_server.model_package.manifest import MANIFEST_LIMIT, FileSpec, Manifest, PackageError

__all__ = [
    "Manifest", "Package", "PackageError", "digest", "read_manifest", "read_package", "refuse_unsafe_files", "verify",
    "write_package",
]  # fmt: skip

MANIFEST_NAME = "model.json"
TOKENIZER_LIMIT = 64 << 20
_CHUNK = 4 << 20

UNSAFE_SUFFIXES = frozenset(
    {".bin", ".pt", ".pth", ".pt2", ".jit", ".ts", ".pkl", ".pickle", ".ckpt", ".joblib", ".dill"}
    | {".npy", ".npz", ".h5", ".keras", ".so", ".dylib", ".dll", ".py", ".pyc"}
)


@dataclass(frozen=True, slots=True)
class Package:
    """A verified package; `files` holds the very bytes that were hashed, in private memory."""

    manifest: Manifest
    digest: str
    files: Mapping[str, memoryview]


def digest(raw_manifest: bytes) -> str:
    """`sha256:` and the hex digest of model.json's bytes."""
    return "sha256:" + hashlib.sha256(raw_manifest).hexdigest()


def read_manifest(directory: Path, expect_digest: str | None = None) -> tuple[Manifest, str]:
    """The package's manifest and digest; no other file is opened. Raises PackageError."""
    with _package_directory(directory) as fd, _regular_file(fd, MANIFEST_NAME) as (file, size):
        if size > MANIFEST_LIMIT:
            raise PackageError(f"model.json has {size} bytes; {MANIFEST_LIMIT} at most")
        raw = file.read(MANIFEST_LIMIT + 1)
    found = digest(raw)
    if expect_digest is not None and not hmac.compare_digest(found, expect_digest):
        raise PackageError(
            f"the package in {directory} has digest {found}, expected {expect_digest}: "
            "put the expected package there, or set the digest to this one if the change is meant"
        )
    return manifests.parse(raw), found


def verify(directory: Path, expect_digest: str | None = None) -> str:
    """Check the whole package and return its digest; keeps nothing in memory. Raises PackageError."""
    manifest, found = read_manifest(directory, expect_digest)
    refuse_unsafe_files(directory)
    with _package_directory(directory) as fd:
        for name, spec in manifest.files.items():
            _check_hash(name, spec, _hash_file(fd, name, spec))
    return found


def read_package(directory: Path, expect_digest: str | None = None) -> Package:
    """Verify and read: each file is read once, hashed, and only then used. Raises PackageError."""
    manifest, found = read_manifest(directory, expect_digest)
    refuse_unsafe_files(directory)
    with _package_directory(directory) as fd:
        files = {name: _read_file(fd, name, spec) for name, spec in manifest.files.items()}
    return Package(manifest, found, files)


def refuse_unsafe_files(directory: Path) -> None:
    """Refuse a directory in which a file of a code-running format lies, used or not."""
    for folder, _, names in os.walk(directory):
        for path in (Path(folder, name) for name in names):
            if path.suffix.lower() in UNSAFE_SUFFIXES:
                where = path.relative_to(directory)
                raise PackageError(
                    f"{where}: files of this kind can run code when loaded and are not served; "
                    "convert the weights to .safetensors and remove the file (or package into a directory of its own)"
                )


def write_package(
    source: Path | str,
    target: Path | str | None = None,
    *,
    name: str | None = None,
    version: str = "1",
) -> str:
    """Make a package of one's own model and return its digest.

    `source` is a directory in Hugging Face's BERT layout: `config.json`, `tokenizer.json`, one or more `*.safetensors`,
    and, if there, sentence-transformers' `modules.json`, `sentence_bert_config.json` and `1_Pooling/config.json`.
    With `target` (new, empty, or a package to be replaced) the needed files are copied there; without it only
    `model.json` is written, into `source` itself. `name` is the name callers use; the source directory's by default.
    The same source gives the same digest. Raises PackageError with a message that says what to do.
    """
    from nightlatch_server.model_package import writer as packaging  # noqa: PLC0415  # it uses this module's checks: a circle otherwise

    return packaging.write(Path(source), Path(target) if target is not None else None, name=name, version=version)


# -- files ----------------------------------------------------------------------------------------------------


@contextmanager
def _package_directory(directory: Path) -> Iterator[int]:
    try:
        fd = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise PackageError(
            f"no model package in {directory}: {error.strerror}; give a directory with model.json"
        ) from error
    try:
        yield fd
    finally:
        os.close(fd)


@contextmanager
def _regular_file(directory: int, name: str) -> Iterator[tuple[FileIO, int]]:
    """Open a file of the package: no link is followed, and nothing but a regular file is opened for long."""
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    except OSError as error:
        raise PackageError(f"{name}: {_open_problem(directory, name, error)}") from error
    with os.fdopen(fd, "rb", buffering=0) as file:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise PackageError(f"{name} is not a regular file; a package holds plain files only")
        yield file, status.st_size


def _open_problem(directory: int, name: str, error: OSError) -> str:
    try:
        is_link = stat.S_ISLNK(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode)
    except OSError:
        is_link = False
    if is_link:
        return "is a symbolic link; put the file itself there (cp -L)"
    return f"can't be read ({error.strerror}); `nightlatch package DIR` makes a package of your own model"


def _check_size(name: str, spec: FileSpec, size: int) -> None:
    if size != spec.size:
        raise PackageError(f"{name} has {size} bytes, model.json says {spec.size}; copy or make the package again")
    if name.endswith(".json") and size > TOKENIZER_LIMIT:
        raise PackageError(f"{name} has {size} bytes; {TOKENIZER_LIMIT} at most")


def _check_hash(name: str, spec: FileSpec, found: str) -> None:
    if not hmac.compare_digest(found, spec.sha256):
        raise PackageError(f"{name} has SHA-256 {found}, model.json says {spec.sha256}; copy or make the package again")


def _hash_file(directory: int, name: str, spec: FileSpec) -> str:
    with _regular_file(directory, name) as (file, size):
        _check_size(name, spec, size)
        prefix = file.read(8)
        if name.endswith(".safetensors"):
            weights.header_length(prefix, size, name)
        sha = hashlib.sha256(prefix)
        while chunk := file.read(_CHUNK):
            sha.update(chunk)
    return sha.hexdigest()


def _read_file(directory: int, name: str, spec: FileSpec) -> memoryview:
    with _regular_file(directory, name) as (file, size):
        _check_size(name, spec, size)
        # Anonymous memory: page-aligned for the tensors that will be views of it, and given back whole when dropped.
        buffer = memoryview(mmap.mmap(-1, max(size, 1)))[:size]
        sha = hashlib.sha256()
        at = 0
        while at < size and (count := file.readinto(buffer[at : at + _CHUNK])):
            sha.update(buffer[at : at + count])
            at += count
    if at != size:
        raise PackageError(f"{name} became shorter while it was read; copy or make the package again")
    _check_hash(name, spec, sha.hexdigest())
    return buffer
