"""The verbs for a person at a keyboard, against a running `up`."""

import asyncio
import json
import os
import subprocess
import sys

import pytest
import yaml

from tests.embedded.command import nightlatch


async def test_get_shows_what_kubectl_would(shared):
    await shared.ready("one", "two")
    shown = nightlatch("get", "--state-dir", shared.state).stdout
    assert "NAME   URL" in shown
    assert f"https://one.default.localhost:{shared.ports[0]}" in shown
    assert "one-bot" in shown


async def test_get_one_as_yaml_and_json(shared):
    await shared.ready("one")
    found = yaml.safe_load(nightlatch("get", "ie", "one", "-o", "yaml", "--state-dir", shared.state).stdout)
    assert found["status"]["url"].startswith("https://one.default.localhost")
    listed = json.loads(nightlatch("get", "ic", "-o", "json", "--state-dir", shared.state).stdout)
    assert "one-bot" in [item["metadata"]["name"] for item in listed["items"]]


async def test_get_never_prints_a_secret(shared):
    await shared.ready("one")
    shown = nightlatch("get", "secrets", "-A", "-o", "yaml", "--state-dir", shared.state).stdout
    assert "bytes>" in shown
    assert shared.key("one-bot") not in shown


async def test_call_wakes_and_shows_similarity(shared):
    await shared.ready("one")
    texts = ["A cat sleeps on the sofa.", "A kitten naps on the couch.", "Stocks fell."]
    arguments = [part for text in texts for part in ("--text", text)]
    called = nightlatch("call", "one", *arguments, "--state-dir", shared.state)
    assert called.returncode == 0, called.stderr
    related, unrelated = [float(line.rsplit(" ", 1)[1]) for line in called.stdout.splitlines() if "similarity" in line]
    assert related > unrelated + 0.3


async def test_logs_shows_what_the_model_server_wrote(shared):
    await shared.ready("one")
    assert nightlatch("call", "one", "--text", "x", "--state-dir", shared.state).returncode == 0
    logs = nightlatch("logs", "one", "--state-dir", shared.state)
    assert logs.returncode == 0, logs.stderr
    assert logs.stdout.strip()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("get", "ie", "none"), "no InferenceEndpoint none in namespace default"),
        (("delete", "ie", "none"), "no InferenceEndpoint none in namespace default"),
        (("call", "none", "--text", "x"), "no InferenceEndpoint none in namespace default"),
        (("call", "one", "--text", "x", "--client", "none"), "no InferenceClient default/none"),
        (("logs", "none"), "no log of an endpoint none in namespace default"),
    ],
)
async def test_what_is_not_there_is_named(shared, arguments, said):
    await shared.ready("one")
    ended = nightlatch(*arguments, "--state-dir", shared.state)
    assert ended.returncode == 1
    assert ended.stderr.startswith(f"error: {said}")


def run(command):
    environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=environment)


async def test_the_curl_and_openai_snippets_work_as_printed(shared):
    await shared.ready("one", "two")
    await shared.until("the snippets", lambda: "with Python" in shared.printed)
    printed = shared.printed
    curl = printed[printed.index("curl --resolve") : printed.index("with Python")].strip()
    answer = await asyncio.to_thread(run, ["bash", "-c", curl])
    assert len(json.loads(answer.stdout)["data"][0]["embedding"]) == 384, answer.stderr
    program = printed[printed.index("import pathlib") :]
    program = program[: program.index('"numbers")') + len('"numbers")')]
    ran = await asyncio.to_thread(run, [sys.executable, "-c", program])
    assert ran.stdout.strip() == "384 numbers", ran.stderr


def test_call_without_a_running_up_says_so(tmp_path):
    (tmp_path / "objects").mkdir()
    ended = nightlatch("call", "one", "--text", "x", "--state-dir", tmp_path)
    assert ended.returncode == 1
    assert "`nightlatch up` is not running" in ended.stderr


def test_package_of_something_else_says_what_is_needed(tmp_path):
    ended = nightlatch("package", tmp_path)
    assert ended.returncode == 1
    assert ended.stderr.startswith("error: ")
    assert "config.json" in ended.stderr
