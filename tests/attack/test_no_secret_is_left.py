"""No key and no digest of one is in any log, object, metric, process list or page of Envoy's, whatever an `up` did.

Keys lie in the Secrets of their clients and the files made of them; digests lie in route documents, which are Secrets.
"""

import asyncio
import http.client
import json
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from nightlatch.api_keys import mint
from tests.attack.row import Call
from tests.attack.traces import found_in, traces
from tests.attack.up_world import ROWS, UpWorld, ready, two_endpoints
from tests.embedded.attacks import admin
from tests.embedded.command import nightlatch
from tests.embedded.running import Up

# What may be asked of Envoy, and what must not be answered.
PAGES = ("/config_dump?include_eds", "/init_dump", "/logging", "/stats", "/stats/prometheus", "/clusters", "/listeners")


class Traced:
    """An `up`, every key that it ever gave out, and all that can be read of it."""

    def __init__(self, up: Up, logs: Path) -> None:
        self.up = up
        self.logs = logs
        self.keys: set[str] = set()

    def note_keys(self) -> None:
        self.keys |= {path.read_text().strip() for path in self.up.probe.layout.clients.glob("*/api-key")}

    def places(self) -> Iterator[tuple[str, bytes]]:
        """Where something could be found, and all that is there."""
        yield from self._files()
        yield from self._processes()
        for index in range(2):
            files = self.up.probe.layout.gateway(index)
            for page in PAGES:
                yield f"Envoy {index}{page}", admin(files.admin, page)
            listen = json.loads(files.announce.read_bytes())["metrics"]
            connection = http.client.HTTPConnection(listen["host"], listen["port"], timeout=10)
            connection.request("GET", "/metrics")
            yield f"metrics of gateway {index}", connection.getresponse().read()
        for verb in (("get", "-A"), ("get", "-A", "-o", "yaml"), ("logs", "one")):
            done = nightlatch(*verb, "--state-dir", self.up.state)
            yield f"nightlatch {' '.join(verb)}", f"{done.stdout}{done.stderr}".encode()

    def _files(self) -> Iterator[tuple[str, bytes]]:
        """All files but those of Secrets, with their names; sockets have no content."""
        layout = self.up.probe.layout
        secret = {*layout.clients.rglob("*"), *(layout.root / "objects" / "secrets").rglob("*")}
        for folder in (self.up.directory, self.logs):
            for path in folder.rglob("*"):
                if path.is_file() and path not in secret:
                    yield str(path), str(path).encode() + b"\n" + path.read_bytes()

    def _processes(self) -> Iterator[tuple[str, bytes]]:
        """Everything that `ps` shows of every process of this machine, environment included."""
        for process in psutil.process_iter():
            try:
                told = [*process.cmdline(), *(f"{name}={value}" for name, value in process.environ().items())]
            except psutil.Error:
                continue
            yield f"process {process.pid}", "\n".join(told).encode()

    def found(self, *keys: str) -> dict[str, list[str]]:
        """What of the keys is where."""
        return {place: found for place, content in self.places() if (found := found_in(content, keys))}


@pytest.fixture(scope="module")
async def lived(lasting: Callable[..., Up], tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Traced:
    """An `up` that started, woke, refused, changed its keys, lost a gateway, revoked and deleted."""
    logs = tmp_path_factory.mktemp("logs")
    up = lasting(two_endpoints(tiny, logs), gateways=2)
    await ready(up)
    traced = Traced(up, logs)
    traced.note_keys()
    world = UpWorld(up, logs / "one.log")
    for row in ROWS:
        for protocol in row.over:
            await asyncio.to_thread(world.wire.send, row.call, protocol)
            if protocol != "grpc":
                await asyncio.to_thread(world.wire.send, row.twin, protocol)
    await _edit(up, _rotate)
    await _within(5, lambda: up.key("one-bot") != world.keys["bot"])
    traced.note_keys()
    up.child("gatekeeper-1").kill()
    up.child("envoy-1").kill()
    await _edit(up, _revoke)
    deleted = Call().with_(("x-api-key", "{writer}"))

    async def is_refused() -> bool:
        return (await asyncio.to_thread(world.wire.send, deleted, "http1")).status == 401

    await up.until("a deleted client is refused", is_refused)
    await up.until("gateway 1 again", lambda: up.listens("one", 1))
    traced.note_keys()
    return traced


async def _edit(up: Up, change: Callable[[dict[str, Any]], bool]) -> None:
    """Rewrite the manifest; `change` changes an object and says whether it stays."""
    objects = list(yaml.safe_load_all(up.manifest.read_text()))
    up.manifest.write_text(yaml.safe_dump_all([each for each in objects if change(each)]))
    await asyncio.sleep(2)


def _rotate(each: dict[str, Any]) -> bool:
    if each["kind"] == "InferenceClient":
        each["metadata"]["annotations"] = {"nightlatch.dev/rotate": "1"}
    return True


def _revoke(each: dict[str, Any]) -> bool:
    """One client loses its endpoint, one is deleted, and so is an endpoint."""
    if each["metadata"]["name"] == "one-reader":
        each["spec"]["endpoints"] = []
    return each["metadata"]["name"] not in ("one-writer", "two")


async def _within(seconds: float, condition: Callable[[], bool]) -> None:
    """Wait for a condition that need not come true."""
    for _ in range(int(seconds * 10)):
        if condition():
            return
        await asyncio.sleep(0.1)


async def test_nothing_of_any_key_is_left_anywhere(lived: Traced):
    assert len(lived.keys) >= 4
    assert await asyncio.to_thread(lived.found, *lived.keys) == {}


async def test_each_form_is_found_in_each_place(lived: Traced):
    """The proof that the search above finds what there is: content by content, and planted for real."""
    planted = mint(secrets.token_bytes).text
    for place, content in await asyncio.to_thread(lambda: list(lived.places())):
        for what, form in traces(planted).items():
            assert any(each.startswith(f"{what} of ") for each in found_in(content + form + content, [planted])), place


@pytest.mark.parametrize("what", traces(mint(secrets.token_bytes).text))
async def test_what_is_planted_in_a_log_is_found(lived: Traced, what: str):
    planted = mint(secrets.token_bytes).text
    with lived.up.probe.layout.gateway(0).envoy_log.open("ab") as log:
        log.write(b"a message with " + traces(planted)[what] + b" in it\n")
    found = dict(lived._files())[str(lived.up.probe.layout.gateway(0).envoy_log)]
    assert any(each.startswith(f"{what} of ") for each in found_in(found, [planted]))


async def test_what_is_planted_in_an_annotation_and_in_a_process_list_is_found(lived: Traced):
    planted = mint(secrets.token_bytes).text
    digest = traces(planted)["the digest in hex"].decode()

    def annotate(each: dict[str, Any]) -> bool:
        each["metadata"].setdefault("annotations", {})["example.com/planted"] = digest
        return True

    await _edit(lived.up, annotate)
    process = await asyncio.create_subprocess_exec("sleep", "600", env={"PLANTED": planted})
    found = await asyncio.to_thread(lived.found, planted)
    process.kill()
    await process.wait()
    assert f"process {process.pid}" in found
    assert any("objects" in place for place in found), found
    assert "nightlatch get -A -o yaml" in found


async def test_envoy_tells_nobody_its_configuration(lived: Traced):
    socket = lived.up.probe.layout.gateway(0).admin
    for page in ("/config_dump", "/init_dump", "/logging?level=trace", "/tap"):
        assert b"not allowed" in await asyncio.to_thread(admin, socket, page)
