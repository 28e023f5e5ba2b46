"""Builds base images from Debian's packages: `python:3.13-slim` and `rust:1-slim-trixie` without a registry."""

import hashlib
import json
import os
import platform
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tools.node.artifacts.image_archive import archive
from tools.node.errors import NodeError
from tools.node.locks import exclusive
from tools.node.paths import cache_directory
from tools.node.progress import Progress

SUITE = "trixie"
LEFT_OUT = ("/usr/share/man/*", "/usr/share/locale/*", "/usr/share/doc/*")
KEPT = ("/usr/share/doc/*/copyright",)
# Builds with the same packages give the same bytes.
EPOCH = "1767225600"
# The version of the archive's format: a new number gives a new image.
FORMAT = 2


@dataclass(frozen=True)
class Base:
    """A base image: its name, what it starts by default, and the packages beside Debian's essential ones."""

    name: str
    program: str
    packages: tuple[str, ...]

    @property
    def reference(self) -> str:
        """The image's name in its archive."""
        return f"nightlatch.test/{self.name}:{SUITE}"

    @property
    def fingerprint(self) -> str:
        """16 hex digits over everything that decides the image."""
        inputs = json.dumps([command(self, Path("base.tar")), EPOCH, FORMAT, platform.machine()])
        return hashlib.sha256(inputs.encode()).hexdigest()[:16]


# There is no apt and no compiler: images are built by copying files into this base.
# grpc and torch need libstdc++; python:3.13-slim has it as well.
PYTHON = Base("base", "python3", ("ca-certificates", "libstdc++6", "python3", "python3-venv"))
# No image has this one below it: the gate is compiled in it.
RUST = Base("rust", "sh", ("ca-certificates", "cargo", "gcc", "libc6-dev"))
BASES = (PYTHON, RUST)


def command(base: Base, target: Path) -> list[str]:
    """Return the command that writes the root file system as a tar."""
    excludes = [f"--dpkgopt=path-exclude={path}" for path in LEFT_OUT]
    includes = [f"--dpkgopt=path-include={path}" for path in KEPT]
    include = f"--include={','.join(base.packages)}"
    return ["mmdebstrap", "--quiet", "--variant=essential", include, *excludes, *includes, SUITE, str(target)]


def image(base: Base, progress: Progress) -> Path:
    """Return the path of an OCI archive of the base; build it unless the cache has it for these inputs.

    Raises NodeError without root or mmdebstrap.
    """
    directory = cache_directory() / "node" / f"{base.name}-{base.fingerprint}"
    finished = directory / "base.oci.tar"
    if finished.exists():
        return finished
    directory.mkdir(parents=True, exist_ok=True)
    with exclusive(directory / "lock", progress):
        if not finished.exists():
            _make(base, finished, progress)
    return finished


def _make(base: Base, finished: Path, progress: Progress) -> None:
    if os.geteuid() != 0 or not shutil.which("mmdebstrap"):
        raise NodeError("The base image needs root and mmdebstrap: apt-get install --no-install-recommends mmdebstrap")
    progress.step(f"Making a Debian {SUITE} base with {', '.join(base.packages)} (once; a minute or two)")
    layer, partial = finished.with_name("layer.tar"), finished.with_suffix(".partial")
    done = subprocess.run(
        command(base, layer), check=False, capture_output=True, text=True, env=os.environ | {"SOURCE_DATE_EPOCH": EPOCH}
    )
    if done.returncode:
        raise NodeError(f"mmdebstrap failed:\n{done.stderr.strip()}")
    settings = {"Cmd": [base.program], "Env": ["LANG=C.UTF-8"]}
    partial.write_bytes(archive(base.reference, layer.read_bytes(), settings))
    layer.unlink()
    partial.rename(finished)
    progress.step(f"Made the base: {finished.stat().st_size / 2**20:.0f} MiB")
