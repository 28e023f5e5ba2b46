"""What a model server's end says, and how one is run."""

import json
from pathlib import Path

import pytest

from nightlatch.api.endpoint import EnvVar, ModelSource, Runtime
from nightlatch.api.meta import NamespacedName
from nightlatch.planning.workload import Workload
from nightlatch.workloads.processes.files import EndpointFiles
from nightlatch.workloads.processes.model_process import LONGEST_MESSAGE, cause_of_end, launch

KEY = NamespacedName("search", "minilm")


def workload(digest=None, **runtime):
    source = ModelSource(path="/models/minilm")
    return Workload(KEY, "1", "minilm", source, digest, Runtime(**runtime), "tls", "spiffe://nightlatch.test/gateway")


def line(level, message):
    return json.dumps({"level": level, "message": message})


@pytest.mark.parametrize(
    ("log", "ended", "cause"),
    [
        ("", "", ""),
        (line("error", "from the log"), "from the server itself\n", "from the server itself"),
        ("\n".join([line("error", "first"), line("critical", "last"), line("info", "bye")]), "", "last"),
        ("\n".join([line("info", "loading"), "Killed by something\n\n"]), "", "Killed by something"),
        ("Traceback:\n  File x\nModuleNotFoundError: No module named 'torch'\n", "", "ModuleNotFoundError: No module"),
        ("[1, 2]\n", "", "[1, 2]"),
    ],
)
def test_the_cause_is_the_most_telling_line(tmp_path, log, ended, cause):
    files = EndpointFiles(tmp_path).replica(1)
    files.log.write_text(log)
    if ended:
        files.ended.write_text(ended)
    found = cause_of_end(files)
    assert found.startswith(cause)
    assert bool(found) is bool(cause)


def test_a_cause_is_one_line_of_bounded_length(tmp_path):
    files = EndpointFiles(tmp_path).replica(1)
    files.ended.write_text("a\nb " * 1000)
    found = cause_of_end(files)
    assert len(found) == LONGEST_MESSAGE
    assert "\n" not in found


def test_no_log_at_all_is_no_cause(tmp_path):
    assert cause_of_end(EndpointFiles(tmp_path).replica(1)) == ""


def test_the_command_names_model_identity_and_certificate():
    plain = launch(workload(), Path("/state/tls"))
    command = plain.command(EndpointFiles(Path("/state")).replica(3))
    assert command[1:3] == ("-m", "nightlatch_server")
    options = dict(zip(command[3::2], command[4::2], strict=True))
    assert options["--model-dir"] == "/models/minilm"
    assert options["--admit"] == "spiffe://nightlatch.test/gateway"
    assert options["--tls-key"] == "/state/tls/tls.key"
    assert options["--announce"] == "/state/replica-3.announce"
    assert "--expect-digest" not in options


def test_what_changes_the_command_is_another_launch():
    plain = launch(workload(), Path("/state/tls"))
    assert launch(workload(), Path("/state/tls")) == plain
    assert launch(workload(digest="sha256:" + "0" * 64), Path("/state/tls")) != plain
    assert launch(workload(args=("--threads", "1")), Path("/state/tls")) != plain
    assert launch(workload(env=(EnvVar(name="A", value="b"),)), Path("/state/tls")) != plain


def test_a_user_cannot_take_the_servers_own_environment():
    found = launch(workload(env=(EnvVar(name="PYTHONUNBUFFERED", value=""),)), Path("/state/tls"))
    assert found.environment["PYTHONUNBUFFERED"] == "1"
