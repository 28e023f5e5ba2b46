"""How long it takes until a leaked token is refused: by `denied`, by `issuedBefore`, and with the key that signed it.

Everything is real: `nightlatch up` with two gateways, its store, its controller, gatekeepers and Envoys. All endpoints
name one TokenIssuer, are asleep and stay so. The token may infer only, and asks for metadata on kept-alive connections,
one to each endpoint of each gateway: 403 as long as the token is good, 401 from then on. Neither wakes anything.
"""

import copy
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from asleep import NAMESPACE, Sizes, client, command_line, raw_object, sleeping
from revocation import Round, measured_round, row
from table import markdown

from nightlatch.api.meta import TOKEN_ISSUER
from nightlatch.store.files.store import FilesStore
from tests.attack.tokens import Signer, claims

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
    command_line(__doc__, run, Sizes(32, 2, 20), Sizes(2, 2, 1), rounds="of each way")


async def run(sizes: Sizes) -> None:
    """Take access away in each way by turns, and print how long each took."""
    found: list[Round] = []
    leak, spec = _leaked()
    access = {f"e{index}": {"jwt": {"issuers": [{"name": ISSUER}]}} for index in range(sizes.endpoints)}
    issuer = raw_object(TOKEN_ISSUER, ISSUER, spec)
    with tempfile.TemporaryDirectory(prefix="nl-bench-") as folder:
        async with sleeping(Path(folder), access, sizes.gateways, issuer, client()) as here:
            await here.until_good(leak.token)
            for how, edit in list(leak.ways().items()) * sizes.rounds:
                changed = copy.deepcopy(spec)
                edit(changed)
                found.append(await measured_round(how, leak.token, here.routes, _write(here.store, changed)))
                await _write(here.store, spec)
                await here.until_good(leak.token)
            here.check_asleep()
    print(_table(found, sizes))


def _leaked() -> tuple[Leak, dict[str, Any]]:
    """A token that may infer, and the spec of the issuer whose key signed it."""
    leaked, stays = Signer("ES256", "leaked"), Signer("ES256", "stays")
    now = int(time.time())
    claimed = claims(ISS, AUDIENCE, sub="mallory", jti="leaked", scope="ml:infer", iat=now - AGE_S)
    spec = {
        "issuer": ISS,
        "audiences": [AUDIENCE],
        "keys": {"inline": {"keys": [stays.jwk, leaked.jwk]}},
        "permissionsFrom": {"map": {"ml:infer": ["infer"]}},
    }
    return Leak(leaked.sign({**claimed, "exp": now + LIFETIME_S}), stays), spec


async def _write(store: FilesStore, spec: dict[str, Any]) -> None:
    found = await store.get(TOKEN_ISSUER, NAMESPACE, ISSUER)
    await store.replace({**found, "spec": spec})


def _table(found: Sequence[Round], sizes: Sizes) -> str:
    ways = list(dict.fromkeys(each.how for each in found))
    rows = [
        row(f"{how}: refused by every gateway on every endpoint", [each.last for each in found if each.how == how])
        for how in ways
    ]
    every = [one for each in found for one in each.seconds.values()]
    rows.append(row("all: first refusal, each gateway and endpoint by itself", every))
    rows.append(row("all: of that, the write to the store", [each.wrote for each in found]))
    loads = [each.load for each in found]
    what = f"{sizes.endpoints} endpoints on {sizes.gateways} gateways, ms from the beginning of the write"
    header = [what, "times", "p50", "p99", "worst"]
    return f"load average over the rounds: {min(loads):.1f} to {max(loads):.1f}\n\n{markdown(header, rows)}"


if __name__ == "__main__":
    main()
