"""Builds Go programs from the module proxy, once for each state of their inputs."""

import hashlib
import json
import platform
import queue
import shutil
import subprocess
import threading
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from tools.node.artifacts import toolchain
from tools.node.errors import NodeError
from tools.node.locks import exclusive
from tools.node.paths import cache_directory
from tools.node.progress import Progress


@dataclass(frozen=True)
class Program:
    """A Go program: the folder of its go.mod, its package, and other names it is started under.

    folders: of modules, with a module's path and the folder in it; they lie beside the binary under their last name.
    """

    name: str
    directory: Path
    package: str = "."
    linker_flags: str = "-s -w"
    applets: tuple[str, ...] = ()
    folders: tuple[tuple[str, str], ...] = ()


def fingerprint(program: Program) -> str:
    """Return 16 hex digits over everything that decides the binary: sources, modules, flags, processor."""
    digest = hashlib.sha256()
    flags: list[object] = [program.package, program.linker_flags, program.applets, platform.machine()]
    # Only where there are some, so that programs without any are not built again.
    flags += [program.folders] if program.folders else []
    digest.update(json.dumps(flags).encode())
    for path in sorted(path for path in program.directory.rglob("*") if path.suffix in {".go", ".mod", ".sum"}):
        digest.update(f"\0{path.relative_to(program.directory)}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def built(program: Program, progress: Progress) -> Path:
    """Return the path of the program's binary; build it unless the cache has it for these inputs."""
    directory = cache_directory() / "node" / f"{program.name}-{fingerprint(program)}"
    binary = directory / program.name
    if binary.exists():
        return binary
    directory.mkdir(parents=True, exist_ok=True)
    with exclusive(directory / "lock", progress):
        if not binary.exists():
            _build(program, binary, progress)
    return binary


def _build(program: Program, binary: Path, progress: Progress) -> None:
    progress.step(f"Building {program.name} from the Go module proxy (once; kept in {binary.parent})")
    go = toolchain.go_command(progress)
    packages = _run(program, [go, "list", "-deps", program.package], progress, "fetching modules")
    partial = binary.with_name(f"{binary.name}.partial")
    command = [go, "build", "-v", "-ldflags", program.linker_flags, "-o", str(partial), program.package]
    _run(program, command, progress, f"compiling up to {len(packages)} packages")
    for applet in program.applets:
        link = binary.with_name(applet)
        link.unlink(missing_ok=True)
        link.symlink_to(binary.name)
    for module, folder in program.folders:
        (found,) = _run(program, [go, "list", "-m", "-f", "{{.Dir}}", module], progress, f"finding {module}")
        shutil.copytree(Path(found.strip()) / folder, binary.with_name(Path(folder).name), dirs_exist_ok=True)
    partial.rename(binary)
    size = binary.stat().st_size / 2**20
    progress.step(f"Built {program.name}: {size:.0f} MiB (`prune` removes Go's caches, up to 8 GB, once all is built)")


def _run(program: Program, command: list[str], progress: Progress, what: str) -> list[str]:
    """Run a Go command, showing its standard error as progress; return the lines of its standard output."""
    with subprocess.Popen(
        command,
        cwd=program.directory,
        env=toolchain.environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        output: list[str] = []
        threading.Thread(target=lambda: output.extend(process.stdout or ()), daemon=True).start()
        threading.Thread(target=_forward, args=(process.stderr, lines), daemon=True).start()
        tail = _show(lines, progress, f"{program.name}: {what}")
    if process.returncode:
        raise NodeError(f"`{' '.join(command[:2])}` failed for {program.name}:\n" + "\n".join(tail))
    return output


def _forward(stream: IO[str], lines: "queue.SimpleQueue[str | None]") -> None:
    for line in stream:
        lines.put(line.rstrip())
    lines.put(None)


def _show(lines: "queue.SimpleQueue[str | None]", progress: Progress, what: str) -> deque[str]:
    """Show each line, and the time once a second while no line comes; return the last lines."""
    tail: deque[str] = deque(maxlen=40)
    count = 0
    while True:
        try:
            line = lines.get(timeout=1)
        except queue.Empty:
            progress.update(f"{what}, {count} done, now {tail[-1] if tail else 'starting'}")
            continue
        if line is None:
            return tail
        count += 1
        tail.append(line)
        progress.update(f"{what}, {count} done, now {line}")
