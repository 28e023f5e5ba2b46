"""How long it takes until a leaked token is refused: by `denied`, by `issuedBefore`, and with the key that signed it.

Everything is real: `nightlatch up` with two gateways, its store, its controller, gatekeepers and Envoys. All endpoints
name one TokenIssuer, are asleep and stay so. The token may infer only, and asks for metadata on kept-alive connections,
one to each endpoint of each gateway: 403 as long as the token is good, 401 from then on. Neither wakes anything.
"""

import argparse
import asyncio
import contextlib
import copy
import json
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from cpu import machine
from revocation import BOT, NAMESPACE, PATIENCE_S, Round, Route, measured_round, opened, row, until_good
from table import markdown

from nightlatch.api.meta import API_VERSION, TOKEN_ISSUER
from nightlatch.store.files.store import FilesStore
from nightlatch_server.model_package.writer import write_package
from tests.attack.tokens import Signer, claims
from tests.embedded.running import Up
from tests.unit.model_server import tiny_model

ISSUER, ISS, AUDIENCE = "corp", "https://id.example", "minilm"
# Older than the ten seconds in which an unknown key may be on its way.
AGE_S = 60
LIFETIME_S = 12 * 3600
Edit = Callable[[dict[str, Any]], None]


@dataclass(frozen=True, slots=True)
class Leak:
    """The token that leaked, its key, and another key of the issuer."""

    token: str
    stays: Signer

    def ways(self) -> dict[str, Edit]:
        """How access is taken away, as changes of the issuer's spec."""
        past = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - AGE_S / 2))

        def denied(spec: dict[str, Any]) -> None:
            spec["denied"] = {"jti": ["leaked"]}

        def issued_before(spec: dict[str, Any]) -> None:
            spec["denied"] = {"issuedBefore": [{"sub": "mallory", "time": past}]}

        def key_removed(spec: dict[str, Any]) -> None:
            spec["keys"] = {"inline": {"keys": [self.stays.jwk]}}

        return {"denied.jti": denied, "denied.issuedBefore": issued_before, "the key removed": key_removed}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--endpoints", type=int, default=32, help="default: %(default)s")
    parser.add_argument("--gateways", type=int, default=2, help="default: %(default)s")
    parser.add_argument("--rounds", type=int, default=20, help="of each way; default: %(default)s")
    parser.add_argument("--quick", action="store_true", help="a smoke run: its numbers mean nothing")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    asyncio.run(run(*((2, 2, 1) if options.quick else (options.endpoints, options.gateways, options.rounds))))


async def run(endpoints: int, gateways: int, rounds: int) -> None:
    """Take access away in each way by turns, and print how long each took."""
    print(f"machine: {machine()}")
    found: list[Round] = []
    with tempfile.TemporaryDirectory(prefix="nl-bench-") as folder:
        names = [f"e{index}" for index in range(endpoints)]
        async with _running(Path(folder), names, gateways) as (up, store, routes, leak, spec):
            for how, edit in list(leak.ways().items()) * rounds:
                changed = copy.deepcopy(spec)
                edit(changed)
                found.append(await measured_round(how, leak.token, routes, _write(store, changed)))
                await _write(store, spec)
                await until_good(leak.token, routes)
            if up.probe.model_servers():
                raise RuntimeError("an endpoint woke")
    print(_table(found, endpoints, gateways))


@contextlib.asynccontextmanager
async def _running(
    folder: Path, names: Sequence[str], gateways: int
) -> AsyncIterator[tuple[Up, FilesStore, list[Route], Leak, dict[str, Any]]]:
    """`up` with these endpoints, all of them asleep, and a token that every gateway takes on every one."""
    package = folder / "tiny"
    write_package(tiny_model.write(folder / "source"), package, name="tiny")
    leaked, stays = Signer("ES256", "leaked"), Signer("ES256", "stays")
    now = int(time.time())
    claimed = claims(ISS, AUDIENCE, sub="mallory", jti="leaked", scope="ml:infer", iat=now - AGE_S)
    leak = Leak(leaked.sign({**claimed, "exp": now + LIFETIME_S}), stays)
    spec = {
        "issuer": ISS,
        "audiences": [AUDIENCE],
        "keys": {"inline": {"keys": [stays.jwk, leaked.jwk]}},
        "permissionsFrom": {"map": {"ml:infer": ["infer"]}},
    }
    up = Up(folder, _manifest(names, package), gateways=gateways).start()
    try:
        await up.started()
        store = FilesStore(up.state)
        metadata = {"name": ISSUER, "namespace": NAMESPACE}
        await store.create({"apiVersion": API_VERSION, "kind": TOKEN_ISSUER.kind, "metadata": metadata, "spec": spec})
        await up.until("the CA", (up.files(BOT) / "ca.crt").exists, PATIENCE_S)
        for name in names:
            await up.until(f"{name} to be Ready", lambda name=name: up.is_ready(name), PATIENCE_S)
        async with asyncio.timeout(PATIENCE_S):
            routes = [await opened(up, gateway, name) for gateway in range(gateways) for name in names]
        await until_good(leak.token, routes)
        yield up, store, routes, leak, spec
    finally:
        if up.process is not None and up.process.poll() is None:
            up.stop()


def _manifest(names: Sequence[str], package: Path) -> str:
    """The endpoints, and a client whose files have the CA."""
    spec = {"model": {"source": {"path": str(package)}}, "access": {"jwt": {"issuers": [{"name": ISSUER}]}}}
    objects: list[dict[str, Any]] = [
        {"kind": "InferenceEndpoint", "metadata": {"name": name}, "spec": spec} for name in names
    ]
    objects.append({"kind": "InferenceClient", "metadata": {"name": BOT}, "spec": {"endpoints": [], "apiKey": {}}})
    return "---\n".join(json.dumps({"apiVersion": API_VERSION, **each}) + "\n" for each in objects)


async def _write(store: FilesStore, spec: dict[str, Any]) -> None:
    found = await store.get(TOKEN_ISSUER, NAMESPACE, ISSUER)
    await store.replace({**found, "spec": spec})


def _table(found: Sequence[Round], endpoints: int, gateways: int) -> str:
    ways = list(dict.fromkeys(each.how for each in found))
    rows = [
        row(f"{how}: refused by every gateway on every endpoint", [each.last for each in found if each.how == how])
        for how in ways
    ]
    every = [one for each in found for one in each.seconds.values()]
    rows.append(row("all: first refusal, each gateway and endpoint by itself", every))
    rows.append(row("all: of that, the write to the store", [each.wrote for each in found]))
    loads = [each.load for each in found]
    what = f"{endpoints} endpoints on {gateways} gateways, ms from the beginning of the write"
    header = [what, "times", "p50", "p99", "worst"]
    return f"load average over the rounds: {min(loads):.1f} to {max(loads):.1f}\n\n{markdown(header, rows)}"


if __name__ == "__main__":
    main()
