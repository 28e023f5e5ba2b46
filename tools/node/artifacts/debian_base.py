"""Builds a base image from Debian's packages: the replacement for `python:3.13-slim` without a registry."""

import hashlib
import json
import os
import platform
import shutil
import subprocess
from pathlib import Path

from tools.node.artifacts.image_archive import archive
from tools.node.errors import NodeError
from tools.node.locks import exclusive
from tools.node.paths import cache_directory
from tools.node.progress import Progress

REFERENCE = "nightlatch.test/base:trixie"
SUITE = "trixie"
# There is no apt and no compiler: images are built by copying files into this base.
# grpc and torch need libstdc++; python:3.13-slim has it as well.
PACKAGES = ("ca-certificates", "libstdc++6", "python3", "python3-venv")
LEFT_OUT = ("/usr/share/man/*", "/usr/share/locale/*", "/usr/share/doc/*")
KEPT = ("/usr/share/doc/*/copyright",)
# Builds with the same packages give the same bytes.
EPOCH = "1767225600"
# The version of the archive's format: a new number gives a new image.
FORMAT = 2


def command(target: Path) -> list[str]:
    """Return the command that writes the root file system as a tar."""
    excludes = [f"--dpkgopt=path-exclude={path}" for path in LEFT_OUT]
    includes = [f"--dpkgopt=path-include={path}" for path in KEPT]
    include = f"--include={','.join(PACKAGES)}"
    return ["mmdebstrap", "--quiet", "--variant=essential", include, *excludes, *includes, SUITE, str(target)]


def image(progress: Progress) -> Path:
    """Return the path of an OCI archive of the base; build it unless the cache has it for these inputs.

    Raises NodeError without root or mmdebstrap.
    """
    inputs = json.dumps([command(Path("base.tar")), EPOCH, FORMAT, platform.machine()])
    directory = cache_directory() / "node" / f"base-{hashlib.sha256(inputs.encode()).hexdigest()[:16]}"
    finished = directory / "base.oci.tar"
    if finished.exists():
        return finished
    directory.mkdir(parents=True, exist_ok=True)
    with exclusive(directory / "lock", progress):
        if not finished.exists():
            _make(finished, progress)
    return finished


def _make(finished: Path, progress: Progress) -> None:
    if os.geteuid() != 0 or not shutil.which("mmdebstrap"):
        raise NodeError("The base image needs root and mmdebstrap: apt-get install --no-install-recommends mmdebstrap")
    progress.step(f"Making a Debian {SUITE} base with {', '.join(PACKAGES)} (once; a minute or two)")
    layer, partial = finished.with_name("layer.tar"), finished.with_suffix(".partial")
    done = subprocess.run(
        command(layer), check=False, capture_output=True, text=True, env=os.environ | {"SOURCE_DATE_EPOCH": EPOCH}
    )
    if done.returncode:
        raise NodeError(f"mmdebstrap failed:\n{done.stderr.strip()}")
    partial.write_bytes(archive(REFERENCE, layer.read_bytes(), {"Cmd": ["python3"], "Env": ["LANG=C.UTF-8"]}))
    layer.unlink()
    partial.rename(finished)
    progress.step(f"Made the base: {finished.stat().st_size / 2**20:.0f} MiB")
