"""Threads follow the CPUs that this process really has."""

from pathlib import Path

import pytest

from nightlatch_server.engine import threads


def cgroup(tmp_path: Path, own: str, files: dict[str, str]) -> float | None:
    for name, text in files.items():
        path = tmp_path / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "own").write_text(own)
    return threads.cpu_quota(tmp_path / "root", tmp_path / "own")


def test_version_2_takes_the_tightest_of_the_chain(tmp_path: Path) -> None:
    files = {"pod/app/cpu.max": "max 100000", "pod/cpu.max": "150000 100000", "cpu.max": "400000 100000"}
    assert cgroup(tmp_path, "0::/pod/app\n", files) == 1.5


def test_version_1_is_read_from_the_cpu_controller(tmp_path: Path) -> None:
    files = {"cpu/pod/cpu.cfs_quota_us": "300000", "cpu/pod/cpu.cfs_period_us": "100000", "memory/pod/cpu.max": "1 1"}
    assert cgroup(tmp_path, "4:memory:/pod\n2:cpu,cpuacct:/pod\n0::/\n", files) == 3.0


def test_a_path_that_this_namespace_does_not_see_falls_back_to_the_root(tmp_path: Path) -> None:
    assert cgroup(tmp_path, "0::/kubepods/pod1\n", {"cpu.max": "200000 100000"}) == 2.0


@pytest.mark.parametrize("text", ["max 100000", "", "100000 0", "a b"])
def test_no_limit_or_nonsense_is_no_quota(tmp_path: Path, text: str) -> None:
    assert cgroup(tmp_path, "0::/\n", {"cpu.max": text}) is None


@pytest.mark.parametrize(
    ("quota", "affinity", "expected"), [(None, 8, 8), (1.5, 8, 1), (0.25, 8, 1), (16.0, 4, 4), (3.0, 8, 3)]
)
def test_threads_are_whole_cpus_and_at_least_one(quota: float | None, affinity: int, expected: int) -> None:
    assert threads.intra_op_threads(quota, affinity) == expected


def test_the_environment_keeps_what_is_set() -> None:
    environment = {"OMP_NUM_THREADS": "7"}
    threads.prepare_environment(environment, 2)
    assert environment["OMP_NUM_THREADS"] == "7"
    assert environment["OMP_WAIT_POLICY"] == "passive"
