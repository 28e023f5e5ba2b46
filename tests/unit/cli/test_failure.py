"""Errors are one line and a hint, never a traceback."""

from pathlib import Path

import pytest

from nightlatch.api.meta import NamespacedName
from nightlatch.cli import main
from nightlatch.cli.call import choose_client
from nightlatch.cli.failure import report
from nightlatch.embedded.errors import UserError


def run(*arguments):
    with pytest.raises(SystemExit) as ended:
        main(list(arguments))
    return ended.value.code


def test_a_user_error_shows_message_and_hint(capsys):
    assert report(UserError("it broke", "mend it", code=2)) == 2
    assert capsys.readouterr().err == "error: it broke\n  mend it\n"


def test_an_unexpected_error_names_a_log_with_the_traceback(capsys):
    with pytest.raises(ZeroDivisionError) as raised:
        _ = 1 / 0
    assert report(raised.value) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ZeroDivisionError: division by zero\n")
    path = Path(said.rsplit(" ", 1)[1].strip())
    assert "Traceback" in path.read_text()
    path.unlink()


def test_an_unknown_verb_is_a_usage_error(capsys):
    assert run("fly") == 2
    assert "fly" in capsys.readouterr().err


def test_help_lists_every_verb(capsys):
    assert run("--help") == 0
    shown = capsys.readouterr().out
    assert all(verb in shown for verb in ("up", "get", "call", "logs", "delete", "package", "demo"))


def test_a_missing_state_directory_says_what_to_do(tmp_path, capsys):
    assert run("get", "--state-dir", str(tmp_path / "none")) == 1
    assert "start `nightlatch up FILE` first" in capsys.readouterr().err


def test_an_unknown_kind_says_what_to_write(tmp_path, capsys):
    (tmp_path / "objects").mkdir()
    assert run("get", "pods", "--state-dir", str(tmp_path)) == 2
    assert "write ie (InferenceEndpoint)" in capsys.readouterr().err


def client(namespace, name, *endpoints):
    return {"metadata": {"namespace": namespace, "name": name}, "spec": {"endpoints": list(endpoints)}}


def test_a_call_uses_the_first_client_that_may_infer():
    clients = [
        client("a", "reader", {"name": "minilm", "permissions": ["metadata"]}),
        client("b", "elsewhere", {"name": "minilm"}),
        client("b", "guest", {"name": "minilm", "namespace": "a"}),
    ]
    assert choose_client(clients, NamespacedName("a", "minilm"), None) == NamespacedName("b", "guest")


def test_a_call_without_any_client_says_what_to_add():
    with pytest.raises(UserError, match="no InferenceClient may call a/minilm"):
        choose_client([], NamespacedName("a", "minilm"), None)
