"""Every mistake gets one clear line that says where and what to do; nothing starts."""

import json

import pytest

from tests.embedded.command import nightlatch
from tests.embedded.running import manifest


def edited(tiny, change):
    """A good manifest with one change to the endpoint's spec."""
    documents = [json.loads(each) for each in manifest("one", model=tiny).split("---\n")]
    change(documents[0]["spec"])
    return "---\n".join(json.dumps(each) + "\n" for each in documents)


MISTAKES = {
    "unknown field": (lambda spec: spec["scaling"].update(idelAfter="5m"), ["spec.scaling", "idelAfter"]),
    "two sources": (
        lambda spec: spec["model"]["source"].update(uri="https://models.example/minilm"),
        ["spec.model.source", "exactly one"],
    ),
    "no source": (lambda spec: spec["model"].update(source={}), ["spec.model.source", "exactly one"]),
    "bad duration": (
        lambda spec: spec["scaling"].update(idleAfter="5 minutes"),
        ["spec.scaling.idleAfter", "such as 45s or 1h30m"],
    ),
    "no mechanism": (lambda spec: spec.update(access={}), ["spec.access", "at least one"]),
    "bad digest": (lambda spec: spec["model"].update(digest="sha256:12"), ["spec.model.digest"]),
    "wrong type": (
        lambda spec: spec["scaling"].update(maxReplicas="two"),
        ["spec.scaling.maxReplicas", "must be a whole number"],
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_a_manifest_is_named_by_file_document_and_field(tmp_path, tiny, mistake):
    change, said = MISTAKES[mistake]
    file = tmp_path / "app.yaml"
    file.write_text(edited(tiny, change))
    ended = nightlatch("up", file, "--state-dir", tmp_path / "state", "--port", "0")
    assert ended.returncode == 2, ended.stderr
    assert ended.stderr.startswith(f"error: {file}, document 1 (InferenceEndpoint one): ")
    for word in said:
        assert word in ended.stderr
    assert "Traceback" not in ended.stderr
    assert not list((tmp_path / "state" / "processes").iterdir())


def test_a_file_that_is_not_there(tmp_path):
    ended = nightlatch("up", tmp_path / "none.yaml", "--state-dir", tmp_path / "state")
    assert ended.returncode == 2
    assert ended.stderr.startswith(f"error: no such file: {tmp_path / 'none.yaml'}")


def test_a_file_in_the_way_of_the_state_directory(tmp_path, tiny):
    (tmp_path / "app.yaml").write_text(manifest("one", model=tiny))
    (tmp_path / "state").write_text("")
    ended = nightlatch("up", tmp_path / "app.yaml", "--state-dir", tmp_path / "state", "--port", "0")
    assert ended.returncode == 1
    assert f"error: cannot use {tmp_path / 'state'} as the state directory: File exists" in ended.stderr


@pytest.fixture(scope="module")
def up(lasting, tiny, tmp_path_factory):
    """Of three endpoints only `two` can start."""
    documents = [json.loads(each) for each in manifest("one", "two", "three", model=tiny).split("---\n")]
    models = {each["metadata"]["name"]: each["spec"].get("model") for each in documents}
    models["one"]["source"]["path"] = str(tmp_path_factory.mktemp("empty") / "nowhere")
    models["three"]["digest"] = "sha256:" + "0" * 64
    return lasting("---\n".join(json.dumps(each) + "\n" for each in documents))


async def test_a_model_that_is_missing_is_said_and_its_neighbour_works(up):
    await up.ready("two")
    await told_and_refused(up, "one", "/nowhere")
    connection = await up.connect("two")
    assert (await connection.send(up.embedding("two", up.key("two-bot")))).status == 200


async def test_a_digest_that_does_not_match_is_said_to_the_caller_at_once(up):
    await told_and_refused(up, "three", "digest")


async def told_and_refused(up, name, word):
    """The caller gets 503 with a reason; the person at the keyboard the details."""
    await up.until("the key", (up.files(f"{name}-bot") / "api-key").exists)
    await up.started()
    await up.until("the listener", lambda: up.listens(name))
    connection = await up.connect(name)
    reply = await connection.send(up.embedding(name, up.key(f"{name}-bot")))
    assert reply.status == 503, reply
    assert "retry-after" in reply.headers
    await up.until("the reason", lambda: word in up.printed)
