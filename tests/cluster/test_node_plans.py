"""What the bundled node decides before it touches anything: no root needed."""

import io
import tarfile
from ipaddress import IPv4Network
from pathlib import Path

import pytest

from tools.node.artifacts import programs
from tools.node.artifacts.go_build import Program, fingerprint
from tools.node.artifacts.image_archive import binary_archive
from tools.node.artifacts.toolchain import parse_version
from tools.node.bundled.cgroups import hierarchies
from tools.node.bundled.components import Layout, apiserver, controller_manager, write_configuration
from tools.node.bundled.network import SLOTS, AddressPlan, free_plans
from tools.node.paths import State, is_hidden
from tools.node.processes import ProcessIdentity, identify, is_running, kill, parse_stat

HYBRID = """\
tmpfs /sys/fs/cgroup tmpfs rw 0 0
cgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0
cgroup2 /sys/fs/cgroup/unified cgroup2 rw 0 0
"""


def test_sixteen_nodes_share_a_machine_without_sharing_an_address() -> None:
    plans = [AddressPlan(slot) for slot in range(SLOTS)]
    networks = [network for plan in plans for network in (plan.link, plan.pods, plan.services)]

    overlaps = [(a, b) for i, a in enumerate(networks) for b in networks[i + 1 :] if a.overlaps(b)]
    assert overlaps == []


def test_a_slot_whose_addresses_the_machine_routes_is_passed_over() -> None:
    taken = [IPv4Network("10.211.0.0/24"), IPv4Network("10.212.16.0/28")]

    assert free_plans(taken)[0].slot == 2
    assert free_plans([IPv4Network("10.0.0.0/8")]) == []


def test_both_layouts_of_cgroups_are_read() -> None:
    assert hierarchies(HYBRID) == {
        Path("/sys/fs/cgroup/memory"): "cgroup",
        Path("/sys/fs/cgroup/unified"): "cgroup2",
    }
    assert hierarchies("cgroup2 /sys/fs/cgroup cgroup2 rw 0 0\n") == {Path("/sys/fs/cgroup"): "cgroup2"}


def test_a_process_is_known_by_pid_and_start_time_whatever_its_name() -> None:
    fields = " ".join(["S", "1", *["0"] * 17, "4711", "0"])

    assert parse_stat(f"42 (a) b) {fields}") == ("S", 4711)


def test_a_reused_pid_is_never_killed() -> None:
    with_our_pid = identify(1)
    assert with_our_pid
    stranger = ProcessIdentity(with_our_pid.pid, with_our_pid.started + 1)

    kill(stranger, timeout=0)

    assert is_running(with_our_pid)


@pytest.mark.parametrize(
    ("text", "version"),
    [("go version go1.26.8 linux/amd64", (1, 26, 8)), ("go version go1.27 linux/arm64", (1, 27, 0)), ("", ())],
)
def test_versions_of_go_are_compared_as_numbers(text: str, version: tuple[int, ...]) -> None:
    assert parse_version(text) == version


def test_a_program_is_built_anew_when_a_source_a_pin_or_a_flag_changes(tmp_path: Path) -> None:
    for name in ("main.go", "go.mod", "go.sum", "README"):
        (tmp_path / name).write_text(name, encoding="utf-8")
    first = fingerprint(Program("p", tmp_path))
    assert fingerprint(Program("p", tmp_path, linker_flags="")) != first
    (tmp_path / "README").write_text("prose", encoding="utf-8")
    assert fingerprint(Program("p", tmp_path)) == first

    for name in ("main.go", "go.sum"):
        before = fingerprint(Program("p", tmp_path))
        (tmp_path / name).write_text("changed", encoding="utf-8")
        assert fingerprint(Program("p", tmp_path)) != before


def test_every_program_has_its_modules_pinned() -> None:
    for program in (programs.HYPERKUBE, *programs.TOOLS.values()):
        assert (program.directory / "go.sum").stat().st_size > 0, program.name


def test_an_image_archive_is_the_same_bytes_each_time_and_holds_one_file(tmp_path: Path) -> None:
    binary = tmp_path / "hello"
    binary.write_bytes(b"\x7fELF")
    first = binary_archive("nightlatch.test/hello:1", binary)
    with tarfile.open(fileobj=io.BytesIO(first)) as image:
        blobs = [image.extractfile(name) for name in image.getnames() if name.startswith("blobs/")]
        layer = next(blob for blob in blobs if blob and b"ELF" in blob.read())
        layer.seek(0)
        with tarfile.open(fileobj=layer) as files:
            assert [(entry.name, entry.mode) for entry in files] == [("hello", 0o755)]

    assert binary_archive("nightlatch.test/hello:1", binary) == first


def test_every_placeholder_of_the_templates_is_filled(tmp_path: Path) -> None:
    layout = Layout(State(tmp_path), AddressPlan(3), tmp_path / "programs", "nightlatch-0")

    write_configuration(layout)

    written = [path.read_text(encoding="utf-8") for path in tmp_path.rglob("*") if path.is_file()]
    assert not any("$" in text for text in written)
    assert any("10.211.48.0/20" in text for text in written)


def test_components_agree_on_the_addresses_of_services(tmp_path: Path) -> None:
    layout = Layout(State(tmp_path), AddressPlan(1), tmp_path, "nightlatch-0")

    flag = "--service-cluster-ip-range=10.212.16.0/20"
    assert flag in apiserver(layout).arguments
    assert flag in controller_manager(layout).arguments


@pytest.mark.parametrize(("path", "hidden"), [("/run/x", True), ("/var/lib", True), ("/var/tmp/x", False)])
def test_directories_that_the_node_replaces_are_known(path: str, hidden: bool) -> None:
    assert is_hidden(Path(path)) is hidden
