"""`rotate`, `revoke` and `inspect` against a running `up`, as a person types them."""

import asyncio
import json

import pytest

from nightlatch.api.meta import INFERENCE_CLIENT
from nightlatch.store.files.store import FilesStore
from tests.embedded.command import nightlatch
from tests.embedded.running import manifest


@pytest.fixture(scope="module")
def up(lasting, tiny):
    return lasting(manifest("one", model=tiny, idle_after="10m", clients=2), gateways=2)


@pytest.fixture
async def ready(up):
    return await up.ready("one")


async def verb(up, *arguments):
    return await asyncio.to_thread(nightlatch, *arguments, "--state-dir", up.state)


async def keys(up, name="one-bot"):
    """Id and state of each key, as the status has them."""
    found = await FilesStore(up.state, read_only=True).get(INFERENCE_CLIENT, "default", name)
    return [(key["id"], key["state"]) for key in found["status"].get("keys", [])]


async def spec(up, name="one-bot"):
    return (await FilesStore(up.state, read_only=True).get(INFERENCE_CLIENT, "default", name))["spec"]


def key_id(up, name="one-bot"):
    return up.key(name).split("_")[1]


def edit(up, name, change):
    """Change a client in the manifest."""
    documents = [json.loads(text) for text in up.manifest.read_text().split("---\n")]
    (client,) = [each for each in documents if each["metadata"]["name"] == name]
    change(client["spec"])
    up.manifest.write_text("---\n".join(json.dumps(each) + "\n" for each in documents))


async def test_rotate_returns_when_the_new_key_is_current_and_revoke_when_every_gateway_refuses_the_old(ready):
    old = key_id(ready)
    rotated = await verb(ready, "rotate", "ic/one-bot", "--wait")
    assert rotated.returncode == 0, rotated.stderr
    assert "it is made now" in rotated.stdout
    (new, state), (previous, previous_state), *_ = await keys(ready)
    assert f"{new} is Current" in rotated.stdout
    assert (state, previous, previous_state) == ("Current", old, "Previous")

    too_soon = await verb(ready, "rotate", "ic/one-bot", "--wait", "--timeout", "5s")
    assert too_soon.returncode == 1
    assert f"when the overlap ends and {old} is refused" in too_soon.stderr

    revoked = await verb(ready, "revoke", "ic/one-bot", "--key", old, "--wait")
    assert revoked.returncode == 0, revoked.stderr
    assert f"callers with {new} notice nothing" in revoked.stdout
    assert f"every gateway refuses {old}" in revoked.stdout
    assert (await spec(ready))["apiKey"]["revokedKeyIds"] == [old]
    await ready.until("the file of the new key", lambda: key_id(ready) == new)


async def test_an_edit_of_the_manifest_does_not_undo_a_revocation(ready):
    old = key_id(ready, "one-bot-1")
    assert (await verb(ready, "revoke", "ic/one-bot-1", "--key", old, "--wait")).returncode == 0
    edit(ready, "one-bot-1", lambda client: client.update(rateLimit={"requests": 100, "per": "1m"}))

    async def followed():
        return "rateLimit" in await spec(ready, "one-bot-1")

    await ready.until("the edit", followed)
    assert (await spec(ready, "one-bot-1"))["apiKey"]["revokedKeyIds"] == [old]
    await ready.until("a successor", lambda: key_id(ready, "one-bot-1") != old)


async def test_inspect_shows_keys_endpoints_and_gateways_and_never_a_key(ready):
    key = ready.key("one-bot")

    async def everywhere():
        return "2 of 2 have the newest configuration" in (await verb(ready, "inspect", "ic/one-bot")).stdout

    await ready.until("both gateways have the newest configuration", everywhere)
    table = await verb(ready, "inspect", "ic/one-bot")
    assert table.returncode == 0, table.stderr
    assert key.split("_")[1] in table.stdout
    facts = json.loads((await verb(ready, "inspect", "ic/one-bot", "-o", "json")).stdout)
    assert (key.split("_")[1], "Current") in [(each["id"], each["state"]) for each in facts["keys"]]
    of_endpoint = await verb(ready, "inspect", "ie/one")
    assert "default/one-bot" in of_endpoint.stdout
    assert "server-tls" in of_endpoint.stdout
    listed = json.loads((await verb(ready, "inspect", "ie/one", "-o", "json")).stdout)
    assert [each["name"] for each in listed["clients"]] == ["one-bot", "one-bot-1"]
    secret = key.split("_")[2]
    assert not any(secret in text for text in (table.stdout, of_endpoint.stdout, json.dumps([facts, listed])))


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (("rotate", "ic/on-bot"), 1, "did you mean ic/one-bot"),
        (("rotate", "ie/one"), 2, "InferenceEndpoint one has no API keys"),
        (("rotate", "one-bot"), 2, "write ic/NAME"),
        (("revoke", "ic/one-bot"), 2, "nothing was revoked"),
        (("revoke", "ic/one-bot", "--key", "TYPOTYPOTYPO"), 1, "has no key TYPOTYPOTYPO; nothing was revoked"),
        (("revoke", "ic/none", "--key", "TYPOTYPOTYPO"), 1, "no InferenceClient none in namespace default"),
        (("inspect", "ie/none"), 1, "no InferenceEndpoint none in namespace default"),
        (("inspect", "secret/one-bot-key"), 2, "has no credentials to show"),
    ],
)
async def test_a_mistake_is_named_before_anything_is_written(ready, arguments, status, said):
    before = await spec(ready)
    ended = await verb(ready, *arguments)
    assert ended.returncode == status
    assert said in ended.stderr
    assert "Traceback" not in ended.stderr
    assert await spec(ready) == before


async def test_the_key_of_another_client_is_told_apart(ready):
    other = key_id(ready, "one-bot-1")
    ended = await verb(ready, "revoke", "ic/one-bot", "--key", other)
    assert ended.returncode == 1
    assert f"{other} is a key of InferenceClient default/one-bot-1" in ended.stderr


async def test_a_suspended_client_and_one_whose_keys_have_expired_are_told(ready):
    edit(ready, "one-bot-1", lambda client: client.update(suspend=True))
    await ready.until("the edit", lambda: holds(ready, "suspend"))
    refused = await verb(ready, "rotate", "ic/one-bot-1")
    assert refused.returncode == 1
    assert "is suspended" in refused.stderr
    assert "suspended: every credential is refused" in (await verb(ready, "inspect", "ic/one-bot-1")).stdout

    def past(client):
        client.pop("suspend")
        client["apiKey"]["expiresAt"] = "2020-01-01T00:00:00Z"

    edit(ready, "one-bot-1", past)

    async def expired():
        facts = json.loads((await verb(ready, "inspect", "ic/one-bot-1", "-o", "json")).stdout)
        return "KeyExpired" in [each["reason"] for each in facts["conditions"]]

    await ready.until("the condition", expired)
    refused = await verb(ready, "rotate", "ic/one-bot-1")
    assert refused.returncode == 1
    assert "spec.apiKey.expiresAt of InferenceClient default/one-bot-1 has passed" in refused.stderr


async def holds(up, field):
    return bool((await spec(up, "one-bot-1")).get(field))
