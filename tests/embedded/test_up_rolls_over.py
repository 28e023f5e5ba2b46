"""A new CA takes the place of the one before under load, and no call fails: `nightlatch up` with two gateways."""

import asyncio
import contextlib
import json
import socket
import ssl
import threading
from http.client import HTTPResponse
from pathlib import Path

from nightlatch.pki.material import read_certificates, root_key_id
from nightlatch.planning.installation.places import generation_shown
from tests.embedded.command import nightlatch
from tests.unit.pki.test_brought_ca import DAY, authority, brought

CALLERS_TAKE = 4


def manifest(model: Path) -> str:
    shared = {"apiVersion": "nightlatch.dev/v1alpha1"}
    endpoint = {
        "kind": "InferenceEndpoint",
        "metadata": {"name": "one"},
        "spec": {
            "model": {"source": {"path": str(model)}},
            "scaling": {"minReplicas": 1},
            "access": {"mtls": {}, "apiKey": {}},
        },
    }
    client = {
        "kind": "InferenceClient",
        "metadata": {"name": "bot"},
        "spec": {"endpoints": [{"name": "one"}], "certificate": {}, "apiKey": {}},
    }
    return "---\n".join(json.dumps({**shared, **each}) + "\n" for each in (endpoint, client))


class Load:
    """Calls to each gateway, with a certificate on new connections and with one on a connection that stays.

    failures: what was not answered with 200. A caller reads its files for each new connection.
    """

    def __init__(self, up) -> None:
        self._up = up
        self._stop = threading.Event()
        self.calls = 0
        self.failures: list[str] = []
        self._threads = [
            threading.Thread(target=self._call, args=(port, keep)) for port in up.ports for keep in (False, True)
        ]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _call(self, port: int, keep: bool) -> None:
        while not self._stop.is_set():
            try:
                with connected(self._up, port) as tls:
                    for _ in range(50 if keep else 1):
                        self._ask(tls)
                        if self._stop.wait(0.02):
                            return
            except OSError as error:
                self.failures.append(repr(error))

    def _ask(self, tls: ssl.SSLSocket) -> None:
        self.calls += 1
        host = self._up.host("one")
        tls.sendall(f"GET /v2/models/one HTTP/1.1\r\nhost: {host}\r\n\r\n".encode())
        response = HTTPResponse(tls)
        response.begin()
        response.read()
        if response.status != 200:
            self.failures.append(str(response.status))


@contextlib.contextmanager
def connected(up, port: int):
    with (
        socket.create_connection(("127.0.0.1", port), 10) as plain,
        context(up.files("bot")).wrap_socket(plain, server_hostname=up.host("one")) as tls,
    ):
        yield tls


def context(files: Path) -> ssl.SSLContext:
    """The files are replaced one after another, so the pair is read until it fits."""
    while True:
        found = ssl.create_default_context(cafile=str(files / "ca.crt"))
        with contextlib.suppress(ssl.SSLError):
            found.load_cert_chain(files / "tls.crt", files / "tls.key")
            return found


async def verb(up, *arguments):
    return await asyncio.to_thread(nightlatch, *arguments, "--state-dir", up.state)


def shown(up) -> str:
    return generation_shown((up.files("bot") / "tls.crt").read_bytes())


def trusted(up) -> int:
    return len(read_certificates((up.files("bot") / "ca.crt").read_bytes()))


async def awake(up) -> None:
    async def is_awake():
        return (await up.view("one")).state == "Awake"

    await up.started()
    await up.until("one to be Ready", lambda: up.is_ready("one"))
    await up.until("the certificate", (up.files("bot") / "tls.key").exists)
    await up.until("a replica", is_awake)


async def rolled_over(up, before: str) -> None:
    """Wait for every step, each after the one before."""
    await up.until("both CAs to be trusted", lambda: trusted(up) == 2)
    assert shown(up) == before, "a certificate of a CA that not everybody trusts"
    await up.until("a certificate of the new CA", lambda: shown(up) != before, 120)
    await up.until("the old CA to be gone", lambda: trusted(up) == 1, 120)


async def test_a_new_ca_takes_over_under_load_and_no_call_fails(start, tiny, times):
    up = start(manifest(tiny), gateways=2, arguments=["--callers-take", f"{CALLERS_TAKE}s"])
    await awake(up)
    with Load(up) as load:
        for _ in range(times(1, soak=3)):
            before = shown(up)
            answer = await verb(up, "rollover", "ca")
            assert answer.returncode == 0, answer.stderr
            await rolled_over(up, before)
        told = await verb(up, "rollover", "ca", "--show")
    print(f"{load.calls} calls, {len(load.failures)} failed")
    assert load.failures == []
    assert load.calls > 100
    assert "no roll-over is under way" in told.stdout


async def test_a_ca_that_is_brought_is_replaced_by_another_under_load_and_no_call_fails(start, tiny, tmp_path):
    first, second = (authority(name, ends=3650 * DAY) for name in ("root", "other root"))
    bring(tmp_path, first)
    up = start(manifest(tiny), gateways=2, arguments=["--callers-take", f"{CALLERS_TAKE}s", "--ca", str(tmp_path)])
    await awake(up)
    before = shown(up)
    assert before == root_key_id(first[0])
    with Load(up) as load:
        bring(tmp_path, second)
        await rolled_over(up, before)
        assert shown(up) == root_key_id(second[0])
    print(f"{load.calls} calls, {len(load.failures)} failed")
    assert load.failures == []
    assert load.calls > 100


def bring(directory: Path, root) -> None:
    """An intermediate under this root, as somebody would copy it there: one file after another."""
    for name, content in brought(authority("issuing", root, ends=900 * DAY), root).items():
        (directory / name).write_bytes(content)
