"""The build of the gate: from the cache while nothing changed, one sentence where a tool is missing, one wheel."""

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tools import gate
from tools.node.errors import NodeError
from tools.node.progress import Progress


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the crate, with a cache of its own that has the library of this state already."""
    copy = tmp_path / "gate"
    shutil.copytree(gate.GATE, copy, ignore=shutil.ignore_patterns("target", "*.so", gate.PROGRAM))
    monkeypatch.setattr(gate, "INSTALLED", copy / gate.INSTALLED.relative_to(gate.GATE))
    monkeypatch.setattr(gate, "GATE", copy)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(gate, "require_toolchain", lambda: "cargo 1.85.0")
    monkeypatch.setattr(gate, "_build", _built)
    return copy


def _built(directory: Path, _progress: Progress) -> None:
    (directory / gate.INSTALLED.name).write_bytes(b"built")
    program = directory / gate.PROGRAM
    program.write_bytes(b"program")
    program.chmod(0o755)


@pytest.mark.parametrize("missing", [("cargo",), ("cc",), ("cargo", "cc")])
def test_a_missing_tool_is_named_in_one_sentence_that_says_how_to_get_it(
    missing: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None if name in missing else f"/usr/bin/{name}")
    with pytest.raises(NodeError) as refusal:
        gate.require_toolchain()
    sentence = str(refusal.value)
    assert f"PATH lacks {' and '.join(missing)}:" in sentence
    assert "apt-get install cargo" in sentence
    assert len(re.findall(r"\.(?:\s|$)", sentence)) == 1


def test_an_old_cargo_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")
    monkeypatch.setattr(gate, "_output", lambda _command: "cargo 1.84.1 (66221abde 2024-11-19)\n")
    with pytest.raises(NodeError, match=r"cargo 1\.85 or newer, and this is cargo 1\.84\.1"):
        gate.require_toolchain()


def test_the_library_is_built_again_only_if_an_input_changed(checkout: Path) -> None:
    first = gate.built(Progress())
    first.write_bytes(b"kept")
    assert gate.install(Progress()).read_bytes() == b"kept"
    source = checkout / "src" / "decide.rs"
    source.write_text(source.read_text() + "\n// changed\n")
    assert gate.built(Progress()) != first
    assert gate.install(Progress()).read_bytes() == b"built"
    program = gate.INSTALLED.with_name(gate.PROGRAM)
    assert program.read_bytes() == b"program"
    assert program.stat().st_mode & 0o111


def test_a_build_that_was_cut_off_is_made_whole(checkout: Path) -> None:
    library = gate.built(Progress())
    library.with_name(gate.PROGRAM).unlink()
    assert gate.built(Progress()).with_name(gate.PROGRAM).read_bytes() == b"program"


def test_the_wheel_holds_library_and_program_and_is_for_this_platform_and_any_python(
    checkout: Path, tmp_path: Path
) -> None:
    gate.wheel(tmp_path, Progress())
    (wheel,) = tmp_path.glob("*.whl")
    assert re.fullmatch(r"nightlatch_gate-[\d.]+-py3-none-(?!any)\w+\.whl", wheel.name)
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
        mode = archive.getinfo(f"nightlatch_gate/{gate.PROGRAM}").external_attr >> 16
    assert mode & 0o111, "installers keep the mode"
    printed = "gate.ABI, gate.path().read_text(), gate.program().read_text(), gate.directory()"
    found = f"import nightlatch_gate as gate; print({printed})"
    done = subprocess.run(
        [sys.executable, "-c", found], check=True, capture_output=True, text=True, cwd=tmp_path / "installed"
    )
    assert done.stdout.split() == ["v0.2.0", "built", "program", str(tmp_path / "installed" / "nightlatch_gate")]
