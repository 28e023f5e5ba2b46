"""Tools that read status see no unhealthy moment: in wakes and sleeps, in edits, and while calls are answered."""

import asyncio
import contextlib
import time

import pytest

from nightlatch.api.meta import INFERENCE_ENDPOINT, NamespacedName
from nightlatch.informer import WatchEvent
from nightlatch.store.files.store import FilesStore
from nightlatch_server.model_package.reader import read_manifest
from tests.embedded.command import nightlatch
from tests.embedded.running import manifest
from tests.status_tools import Version, check_history

ASLEEP = "→ Asleep"


@pytest.fixture
async def up(start, tiny):
    up = await start(manifest("one", model=tiny, idle_after="1s"), gateways=2).ready("one")

    async def everywhere():
        return (await status(up))["gateways"]["applied"] == 2

    await up.until("both gateways", everywhere)
    return up


async def status(up):
    return (await up.probe.endpoint(NamespacedName("default", "one")))["status"]


@contextlib.asynccontextmanager
async def recorded(up):
    """Every version of the endpoint that can be seen, from now on."""
    store = FilesStore(up.state, read_only=True)
    listing = await store.list(INFERENCE_ENDPOINT)
    history = [Version(time.monotonic(), obj) for obj in listing.items]

    async def follow():
        async for event in store.watch(INFERENCE_ENDPOINT, since=listing.resource_version):
            match event:
                case WatchEvent(object=found):
                    history.append(Version(time.monotonic(), found))

    task = asyncio.create_task(follow())
    try:
        yield history
    finally:
        task.cancel()
        await asyncio.wait({task})


async def call(up, gateway=0):
    connection = await up.connect("one", gateway)
    reply = await connection.send(up.embedding("one", up.key("one-bot")))
    await connection.close()
    return reply.status


def edit(up, timeout):
    """Another requestTimeout, which every gateway has to apply."""
    text = up.manifest.read_text()
    up.manifest.write_text(text.replace('"access"', f'"requestTimeout": "{timeout}s", "access"', 1))


async def test_wakes_sleeps_and_edits_are_never_a_failure(up, tiny, times):
    original = up.manifest.read_text()
    async with recorded(up) as history:
        for cycle in range(times(3, soak=20)):
            slept = up.printed.count(ASLEEP)
            assert await call(up, cycle % 2) == 200
            up.manifest.write_text(original)
            edit(up, 30 + cycle)
            edited = history[0].generation + 1 + cycle
            await up.until("the edit", lambda generation=edited: applied(history, generation))
            assert await call(up, cycle % 2) == 200
            await up.until(ASLEEP, lambda before=slept: up.printed.count(ASLEEP) > before)
    assert {version.object["status"]["state"] for version in history} == {"Asleep", "Waking", "Awake", "Draining"}
    print(f"an edit was not seen for {check_history(history):.2f} s at most, over {len(history)} versions")

    newest = history[-1].object["status"]
    assert newest["gateways"] == {"members": 2, "applied": 2, "disconnected": 0}
    manifest_, digest = read_manifest(tiny, None)
    assert newest["model"]["digest"] == digest
    assert newest["model"]["signature"]["inputs"] == [spec.as_json() for spec in manifest_.inputs]
    assert newest["model"]["signature"]["outputs"] == [spec.as_json() for spec in manifest_.outputs]


def applied(history, generation):
    newest = history[-1]
    return newest.ready["observedGeneration"] == newest.generation == generation


async def test_ready_is_about_an_edit_only_once_every_gateway_has_applied_it(up):
    async with recorded(up) as history:
        generation = history[0].generation
        gatekeeper = up.child("gatekeeper-1")
        gatekeeper.suspend()
        try:
            edit(up, 30)
            await up.until("the edit to be seen", lambda: history[-1].observed == generation + 1)
            await up.until("one gateway", lambda: history[-1].object["status"]["gateways"]["applied"] == 1)
            assert history[-1].ready["status"] == "True"
            assert history[-1].ready["observedGeneration"] == generation
        finally:
            gatekeeper.resume()
        await up.until("the edit", lambda: applied(history, generation + 1))
    for version in history:
        if version.ready["observedGeneration"] > generation:
            assert version.object["status"]["gateways"]["applied"] == 2


async def test_the_column_shows_when_the_server_certificate_ends(start, tiny):
    short = '"tls": {"duration": "2h", "renewBefore": "1h"}, "access"'
    up = await start(manifest("one", model=tiny).replace('"access"', short, 1)).ready("one")
    ends = {each["role"]: each["notAfter"] for each in (await status(up))["certificates"]}
    assert ends["server-tls"] < ends["upstream-tls"]
    printed = nightlatch("get", "ie", "one", "-o", "wide", "--state-dir", up.state).stdout
    header, row = (line.split() for line in printed.splitlines())
    assert row[header.index("CERTEXPIRY")] == ends["server-tls"]
