"""Builds the gate with cargo, once for each state of its inputs: `python -m tools.gate COMMAND`.

It uses only the standard library, because `make` runs it before it installs anything.
"""

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections import deque
from pathlib import Path

from tools.gate_fuzz import fuzz
from tools.node.errors import NodeError
from tools.node.locks import exclusive
from tools.node.paths import REPOSITORY, cache_directory
from tools.node.progress import Progress

GATE = REPOSITORY / "gate"
# Where the module `nightlatch_gate` of an editable install looks for the library.
INSTALLED = GATE / "python" / "nightlatch_gate" / "libnightlatch_gate.so"
# The program that explains decisions. It is always beside the library.
PROGRAM = "nightlatch-explain"
INPUTS = (".cargo/config.toml", "Cargo.toml", "Cargo.lock", "src")
NEEDED = (1, 85)
DENY_VERSION = "0.20.2"
DENY_CHECKS = ("bans", "licenses", "sources")
HOW_TO_GET = (
    "on Debian 13 run `apt-get install cargo rustfmt rust-clippy gcc libc6-dev`, elsewhere install Rust with rustup, "
    "and a C compiler with your system's package manager"
)


def require_toolchain() -> str:
    """Return one line for each tool that decides what the library is. Raises NodeError if cargo or cc is missing."""
    missing = [name for name in ("cargo", "cc") if not shutil.which(name)]
    if missing:
        raise NodeError(
            "The gate, Nightlatch's module for Envoy, is compiled with cargo 1.85 or newer and a C compiler, and "
            f"PATH lacks {' and '.join(missing)}: {HOW_TO_GET}."
        )
    # RUSTUP_TOOLCHAIN or a rust-toolchain.toml decides by folder.
    cargo = _output(["cargo", "--version"])
    if parse_version(cargo) < NEEDED:
        raise NodeError(f"The gate needs cargo 1.85 or newer, and this is {cargo or 'unusable'}: {HOW_TO_GET}.")
    return cargo + _output(["rustc", "-vV"])


def parse_version(text: str) -> tuple[int, ...]:
    """Read `cargo 1.85.1 (d73d2caf9 2024-12-31)` as (1, 85); () if there is no version."""
    found = re.match(r"cargo (\d+)\.(\d+)", text)
    return tuple(int(part) for part in found.groups()) if found else ()


def fingerprint(toolchain: str) -> str:
    """Return 16 hex digits over everything that decides the library: sources, crates, compiler, flags, processor."""
    digest = hashlib.sha256(toolchain.encode())
    digest.update(f"\0{os.environ.get('RUSTFLAGS', '')}\0{os.uname().machine}".encode())
    for path in sorted(file for name in INPUTS for file in _files(GATE / name)):
        digest.update(f"\0{path.relative_to(GATE)}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def built(progress: Progress) -> Path:
    """Return the path of the library; build it unless the cache has it for these inputs. Raises NodeError."""
    directory = cache_directory() / "gate" / fingerprint(require_toolchain())
    library = directory / INSTALLED.name
    if _is_whole(directory):
        return library
    directory.mkdir(parents=True, exist_ok=True)
    with exclusive(directory / "lock", progress):
        if not _is_whole(directory):
            _build(directory, progress)
    return library


def install(progress: Progress) -> Path:
    """Put library and program where the checkout's module `nightlatch_gate` looks for them, unless they are there."""
    library = built(progress)
    for made in (library, library.with_name(PROGRAM)):
        installed = INSTALLED.with_name(made.name)
        if not installed.exists() or installed.read_bytes() != made.read_bytes():
            # An Envoy that runs keeps the file that it loaded.
            partial = installed.with_name(f"{installed.name}.{os.getpid()}.partial")
            shutil.copy(made, partial)
            partial.replace(installed)
    return INSTALLED


def wheel(directory: Path, progress: Progress) -> None:
    """Build the wheel nightlatch-gate into `directory`, with library and program of the cache. Needs setuptools."""
    environment = os.environ | {"NIGHTLATCH_GATE_LIBRARY": str(built(progress))}
    code = "import sys; from setuptools.build_meta import build_wheel; print(build_wheel(sys.argv[1]))"
    # setuptools would also pack what an earlier build left there.
    shutil.rmtree(GATE / "build", ignore_errors=True)
    subprocess.run([sys.executable, "-c", code, str(directory.absolute())], cwd=GATE, check=True, env=environment)


def check() -> None:
    """Run rustfmt and clippy, as `make check` does. Raises NodeError if one of them is missing."""
    require_toolchain()
    for name in ("fmt", "clippy"):
        if subprocess.run(["cargo", name, "--version"], check=False, capture_output=True, cwd=GATE).returncode:
            raise NodeError(f"cargo {name} is missing: {HOW_TO_GET}.")
    _cargo("fmt", "--check")
    _cargo("clippy", "--quiet", "--locked", "--all-targets", "--", "-D", "warnings")


def test() -> None:
    """Run the gate's own tests, as `make test` does."""
    require_toolchain()
    _cargo("test", "--locked", "--", "--quiet")


def deny(progress: Progress) -> None:
    """Check licenses, sources and duplicates of the crates. cargo-deny is compiled once and kept in the cache.

    Advisories are not checked: their database is a git repository, which cannot be fetched everywhere that CI runs.
    """
    require_toolchain()
    root = cache_directory() / "gate" / f"cargo-deny-{DENY_VERSION}"
    command = root / "bin" / "cargo-deny"
    if not command.exists():
        root.mkdir(parents=True, exist_ok=True)
        with exclusive(root / "lock", progress):
            if not command.exists():
                _install_deny(root, progress)
    _run([str(command), "--locked", "check", *DENY_CHECKS])


def _install_deny(root: Path, progress: Progress) -> None:
    progress.step(f"Compiling cargo-deny {DENY_VERSION} (once; several minutes on two cores; kept in {root})")
    arguments = ["--locked", "--version", DENY_VERSION, "--root", str(root), "--target-dir", str(root / "target")]
    _show(["cargo", "install", "cargo-deny", *arguments], progress)
    shutil.rmtree(root / "target", ignore_errors=True)
    progress.step(f"Compiled cargo-deny {DENY_VERSION}")


def _is_whole(directory: Path) -> bool:
    return all((directory / name).exists() for name in (INSTALLED.name, PROGRAM))


def _build(directory: Path, progress: Progress) -> None:
    progress.step("Building the gate with cargo (once for each state of gate/; half a minute on two cores)")
    # Not a CARGO_TARGET_DIR that checkouts share: cargo would take another checkout's library for this one's.
    target = GATE / "target"
    _show(["cargo", "build", "--release", "--locked", "--target-dir", str(target)], progress)
    suffix = "dylib" if sys.platform == "darwin" else "so"
    for made, name in ((f"libnightlatch_gate.{suffix}", INSTALLED.name), (PROGRAM, PROGRAM)):
        partial = directory / f"{name}.partial"
        shutil.copy(target / "release" / made, partial)
        partial.rename(directory / name)
    size = (directory / INSTALLED.name).stat().st_size
    progress.step(f"Built the gate: {size / 2**10:.0f} KiB, kept in {directory}")


def _show(command: list[str], progress: Progress) -> None:
    """Run cargo with its lines as progress. Raises NodeError with the last of them if it fails."""
    tail: deque[str] = deque(maxlen=40)
    crates = 0
    with subprocess.Popen(command, cwd=GATE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            tail.append(line.rstrip())
            crates += line.lstrip().startswith("Compiling")
            progress.update(f"{crates} crates so far, now {line.strip()}")
    if process.returncode:
        raise NodeError(f"`{' '.join(command[:2])}` failed:\n" + "\n".join(tail))


def _cargo(*arguments: str) -> None:
    _run(["cargo", *arguments])


def _run(command: list[str]) -> None:
    """Run a command in gate/ with its own output. If it fails, this process ends with its exit code."""
    done = subprocess.run(command, cwd=GATE, check=False)
    if done.returncode:
        sys.exit(done.returncode)


def _output(command: list[str]) -> str:
    return subprocess.run(command, check=False, capture_output=True, text=True, cwd=GATE).stdout


def _files(path: Path) -> list[Path]:
    return [file for file in path.rglob("*") if file.is_file()] if path.is_dir() else [path]


def _minutes(text: str) -> float:
    minutes = float(text)
    if not 0 < minutes <= 24 * 60:
        raise argparse.ArgumentTypeError("a number of minutes above 0, and at most 1440 (a day)")
    return minutes


def main() -> None:
    """Run the command. A NodeError becomes one message and exit code 1."""
    parser = argparse.ArgumentParser(prog="python -m tools.gate")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("build", help="build the library if its inputs changed, and put it into the checkout")
    commands.add_parser("check", help="run cargo fmt --check and clippy")
    commands.add_parser("test", help="run cargo test")
    searching = commands.add_parser(
        "fuzz", help="try the property tests with new random values, and count the executions"
    )
    searching.add_argument("--minutes", type=_minutes, default=10.0, help="how long, in all; default: %(default)s")
    commands.add_parser("deny", help="check licenses, sources and duplicates of the crates with cargo-deny")
    commands.add_parser("wheel", help="build the wheel nightlatch-gate").add_argument("directory", type=Path)
    arguments = parser.parse_args()
    progress = Progress()
    try:
        match arguments.command:
            case "build":
                install(progress)
            case "check":
                check()
            case "test":
                test()
            case "fuzz":
                require_toolchain()
                fuzz(GATE, arguments.minutes, progress)
            case "deny":
                deny(progress)
            case "wheel":
                wheel(arguments.directory, progress)
    except NodeError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
