"""Verify and read a model package.

The digest of a package is `sha256:` and the SHA-256 of the bytes of model.json. model.json has the SHA-256 of every
other file, so one digest pins the whole package. Formats that can run code when loaded, links, and names that leave the
directory are refused.
"""

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
from nightlatch_server.model_package.manifest import MANIFEST_LIMIT, MANIFEST_NAME, FileSpec, Manifest, PackageError
from nightlatch_server.model_package.safety import refuse_unsafe_files

TOKENIZER_LIMIT = 64 << 20
_CHUNK = 4 << 20
_AGAIN = "copy the package again, or create it again"


@dataclass(frozen=True, slots=True)
class Package:
    """A verified package. `files` holds the bytes that were hashed, in private memory."""

    manifest: Manifest
    digest: str
    files: Mapping[str, memoryview]


def digest(raw_manifest: bytes) -> str:
    """`sha256:` and the hex digest of the bytes of model.json."""
    return "sha256:" + hashlib.sha256(raw_manifest).hexdigest()


def read_manifest(directory: Path, expect_digest: str | None = None) -> tuple[Manifest, str]:
    """The manifest and the digest of the package. Opens no other file. Raises PackageError."""
    with _package_directory(directory) as fd, _regular_file(fd, MANIFEST_NAME) as (file, size):
        if size > MANIFEST_LIMIT:
            raise PackageError(f"model.json has {size} bytes, {MANIFEST_LIMIT} at most")
        raw = file.read(MANIFEST_LIMIT + 1)
    found = digest(raw)
    if expect_digest is not None and not hmac.compare_digest(found, expect_digest):
        raise PackageError(
            f"the package in {directory} has digest {found}, expected {expect_digest}: "
            "put the expected package there, or set the digest to this one if the change is intended"
        )
    return manifests.parse(raw), found


def verify(directory: Path, expect_digest: str | None = None) -> str:
    """Check the whole package and return its digest. Keeps no file in memory. Raises PackageError."""
    manifest, found = read_manifest(directory, expect_digest)
    refuse_unsafe_files(directory)
    with _package_directory(directory) as fd:
        for name, spec in manifest.files.items():
            _check_hash(name, spec, _hash_file(fd, name, spec))
    return found


def read_package(directory: Path, expect_digest: str | None = None) -> Package:
    """Read each file once, hash it, and only then use it. Raises PackageError."""
    manifest, found = read_manifest(directory, expect_digest)
    refuse_unsafe_files(directory)
    with _package_directory(directory) as fd:
        files = {name: _read_file(fd, name, spec) for name, spec in manifest.files.items()}
    return Package(manifest, found, files)


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
    """Open a regular file of the package without following a link, and give its size. Raises PackageError."""
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    except OSError as error:
        raise PackageError(f"{name}: {_open_problem(directory, name, error)}") from error
    with os.fdopen(fd, "rb", buffering=0) as file:
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode):
            raise PackageError(f"{name} is not a regular file; a package contains regular files only")
        yield file, status.st_size


def _open_problem(directory: int, name: str, error: OSError) -> str:
    try:
        is_link = stat.S_ISLNK(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode)
    except OSError:
        is_link = False
    if is_link:
        return "is a symbolic link; put a copy of the file there (cp -L)"
    return f"cannot be read ({error.strerror}); `nightlatch package DIR` creates a package of your own model"


def _check_size(name: str, spec: FileSpec, size: int) -> None:
    if size != spec.size:
        raise PackageError(f"{name} has {size} bytes, but model.json says {spec.size}; {_AGAIN}")
    if name.endswith(".json") and size > TOKENIZER_LIMIT:
        raise PackageError(f"{name} has {size} bytes, {TOKENIZER_LIMIT} at most")


def _check_hash(name: str, spec: FileSpec, found: str) -> None:
    if not hmac.compare_digest(found, spec.sha256):
        raise PackageError(f"{name} has SHA-256 {found}, but model.json says {spec.sha256}; {_AGAIN}")


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
        # Anonymous memory is page-aligned for the tensors that are views of it, and is freed as a whole.
        buffer = memoryview(mmap.mmap(-1, max(size, 1)))[:size]
        sha = hashlib.sha256()
        at = 0
        while at < size and (count := file.readinto(buffer[at : at + _CHUNK])):
            sha.update(buffer[at : at + count])
            at += count
    if at != size:
        raise PackageError(f"{name} became shorter while it was read; {_AGAIN}")
    _check_hash(name, spec, sha.hexdigest())
    return buffer
