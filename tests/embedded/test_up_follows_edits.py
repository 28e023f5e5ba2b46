"""The manifests are watched: edits take effect, removals delete, a broken edit changes nothing but the screen."""

import json
import time

import pytest
import yaml

from nightlatch.api.meta import NamespacedName
from tests.embedded.command import nightlatch
from tests.embedded.running import manifest


@pytest.fixture(scope="module")
def up(lasting, tiny):
    return lasting(manifest("one", "two", model=tiny, idle_after="10m"))


@pytest.fixture
async def edited(up, tiny):
    """The manifest as it was at the start, whatever the test before did to it, and `one` awake."""
    up.manifest.write_text(manifest("one", "two", model=tiny, idle_after="10m"))
    await up.ready("one", "two")

    async def answers():
        return await status(up, "one", up.key("one-bot")) == 200

    await up.until("an answer", answers)
    return up


async def status(up, name, key, gateway=0):
    connection = await up.connect(name, gateway)
    reply = await connection.send(up.embedding(name, key))
    await connection.close()
    return reply.status


async def test_an_endpoint_that_a_client_no_longer_names_refuses_its_key_within_a_second(edited):
    key = edited.key("one-bot")
    assert await status(edited, "one", key) == 200
    text = edited.manifest.read_text()
    unnamed = text.replace(
        '{"name": "one-bot"}, "spec": {"endpoints": [{"name": "one"}]',
        '{"name": "one-bot"}, "spec": {"endpoints": []',
    )
    assert unnamed != text
    ca = (edited.files("one-bot") / "ca.crt").read_bytes()
    assert ca

    async def is_refused():
        return await status(edited, "one", key) == 401

    crowded = crowding()
    started = time.monotonic()
    edited.manifest.write_text(unnamed)
    await edited.until("the refusal", is_refused)
    took, crowded = time.monotonic() - started, max(crowded, crowding())
    assert took < 1.5 * crowded, "an edit is noticed in at most half a second, and revoked within one"


def crowding():
    """How many times longer work takes because other programs use the processor too; 1 on a quiet machine."""
    wall, own = time.perf_counter(), time.thread_time()
    while time.thread_time() - own < 0.1:
        pass
    return max(1.0, (time.perf_counter() - wall) / (time.thread_time() - own))


async def test_a_document_that_is_removed_is_an_object_deleted(edited):
    documents = edited.manifest.read_text().split("---\n")
    before = len(edited.printed)
    edited.manifest.write_text("---\n".join(documents[:2]))
    await edited.until("the deletion", lambda: "default/two deleted" in edited.printed[before:])
    listed = nightlatch("get", "ie", "--state-dir", edited.state)
    assert "two" not in listed.stdout
    assert "one" in listed.stdout
    await edited.until("the files of its client to go", lambda: not edited.files("two-bot").exists())
    assert await status(edited, "one", edited.key("one-bot")) == 200


async def test_a_broken_edit_names_file_document_and_field_and_the_last_good_stays(edited):
    good, before = edited.manifest.read_text(), len(edited.printed)
    edited.manifest.write_text(good.replace('"idleAfter": "10m"', '"idleAfter": "ten minutes"', 1))
    await edited.until("the message", lambda: "error:" in edited.printed[before:])
    [line] = [line for line in edited.printed[before:].splitlines() if "error:" in line]
    assert f"{edited.manifest}, document 1 (InferenceEndpoint one): spec.scaling.idleAfter" in line
    assert (await edited.view("one")).ready
    assert await status(edited, "one", edited.key("one-bot")) == 200

    edited.manifest.write_text("kind: [")
    await edited.until("the message", lambda: "is not YAML" in edited.printed[before:])
    assert (await edited.view("two")).ready


async def test_package_makes_a_package_that_its_snippet_serves(edited, minilm_source, tmp_path):
    made = nightlatch("package", minilm_source, "--output", tmp_path / "mine", "--name", "my_model")
    assert made.returncode == 0, made.stderr
    digest = made.stdout.splitlines()[1]
    snippet = yaml.safe_load(made.stdout.split("\n\n", 1)[1])
    assert snippet["spec"]["model"] == {
        "name": "my_model",
        "source": {"path": str(tmp_path / "mine")},
        "digest": digest,
    }
    client = {"endpoints": [{"name": "my-model"}], "apiKey": {}}
    bot = {"apiVersion": snippet["apiVersion"], "kind": "InferenceClient", "metadata": {"name": "my-model-bot"}}
    added = yaml.safe_dump_all([snippet, {**bot, "spec": client}])
    edited.manifest.write_text(edited.manifest.read_text() + "---\n" + added)
    await edited.ready("my-model")
    called = nightlatch("call", "my-model", "--text", "x", "--state-dir", edited.state)
    assert called.returncode == 0, called.stderr


async def test_delete_takes_effect_in_a_running_up(edited):
    before = len(edited.printed)
    deleted = nightlatch("delete", "ie", "two", "--state-dir", edited.state)
    assert deleted.returncode == 0, deleted.stderr
    assert "unless you remove it from" in deleted.stderr
    await edited.until("the deletion", lambda: "default/two deleted" in edited.printed[before:])


async def test_a_client_of_two_endpoints_reads_the_address_of_each_in_its_secret(edited):
    """One address would be that of the wrong endpoint half of the time, so there is none."""
    text = edited.manifest.read_text()
    both = text.replace('{"endpoints": [{"name": "one"}]', '{"endpoints": [{"name": "one"}, {"name": "two"}]')
    assert both != text
    edited.manifest.write_text(both)
    files = edited.files("one-bot")

    def has_both():
        return (files / "endpoints.json").is_file() and len(json.loads((files / "endpoints.json").read_text())) == 2

    await edited.until("both addresses", has_both)
    addresses = json.loads((files / "endpoints.json").read_text())
    key = edited.key("one-bot")
    for name in ("one", "two"):
        assert addresses[f"default/{name}"] == {"url": f"https://{edited.host(name)}:{edited.ports[0]}"}

        async def answers(name=name):
            return await status(edited, name, key) == 200

        await edited.until("an answer", answers)
    assert not (files / "url").exists()


async def test_more_replicas_than_one_are_capped_in_sight_and_calls_are_answered(edited):
    text = edited.manifest.read_text()
    more = text.replace('"scaling": {"idleAfter"', '"scaling": {"maxReplicas": 3, "idleAfter"', 1)
    assert more != text
    edited.manifest.write_text(more)

    async def is_capped():
        seen = (await edited.probe.endpoint(NamespacedName("default", "one")))["status"]["conditions"]
        return ("ReplicasCapped", "True", "MaxReplicasCapped") in [(c["type"], c["status"], c["reason"]) for c in seen]

    await edited.until("the condition", is_capped)
    assert await status(edited, "one", edited.key("one-bot")) == 200
