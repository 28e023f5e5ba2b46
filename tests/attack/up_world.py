"""An `up` with more clients than one, the words of its rows, and what shows whom a call reached."""

import asyncio
import json
from pathlib import Path
from typing import Any

from tests.attack import proof
from tests.attack.row import Protocol, Row
from tests.attack.tables import api_keys, http, operations, rules, tokens
from tests.attack.tokens import Signer, defects
from tests.attack.traces import found_in
from tests.attack.wire import Wire
from tests.attack.world import keys_from
from tests.embedded.running import Up, manifest

KEY_ROWS = [row for row in [*api_keys.ROWS, *operations.ROWS, *http.ROWS] if row.embedded]
# Those that need an issuer and rules as well.
ROWS = [*KEY_ROWS, *(row for row in [*tokens.ROWS, *rules.ROWS] if row.embedded)]
CLIENTS = {"reader": ["metadata"], "writer": ["infer"]}
# Rules give these more.
RULED = {"ruled": ["metadata"], "paired": ["metadata"]}
ISS = {"corp": "https://id.example/realms/ml", "partner": "https://partner.example"}
# By their kid, which is the same.
SIGNERS = {name: Signer("RS256") for name in ISS}
ACCESS = {
    "apiKey": {},
    "jwt": {"issuers": [{"name": name} for name in ISS]},
    "accept": [["apiKey", "jwt"], ["apiKey"], ["jwt"]],
    "rules": [
        {"permissions": ["infer"], "when": {"clients": ["default/one-ruled"]}},
        {"permissions": ["infer"], "when": {"clients": ["default/one-paired"], "claims": {"groups": ["ml"]}}},
    ],
}
DENIED = {
    "jti": ["leaked"],
    "sub": ["mallory"],
    "sid": ["stolen"],
    "issuedBefore": [{"sub": "trudy", "time": "2999-01-01T00:00:00Z"}],
}


def two_endpoints(model: Path, logs: Path) -> str:
    """The manifest: `one` and `two`, each with a client NAME-bot, and clients of `one` that may do less."""
    text = manifest("one", "two", model=model, idle_after="10m", access_logs=logs)
    one, *others = [json.loads(each) for each in text.split("---\n")]
    one["spec"]["access"] = ACCESS
    text = "---\n".join(json.dumps(each) + "\n" for each in (one, *others, *map(_issuer, ISS)))
    for name, permissions in {**CLIENTS, **RULED}.items():
        spec = {"endpoints": [{"name": "one", "permissions": permissions}], "apiKey": {}}
        client = {"kind": "InferenceClient", "metadata": {"name": f"one-{name}"}, "spec": spec}
        text += "---\n" + json.dumps({"apiVersion": "nightlatch.dev/v1alpha1", **client}) + "\n"
    return text


def _issuer(name: str) -> dict[str, Any]:
    spec = {
        "issuer": ISS[name],
        "audiences": ["minilm"],
        "algorithms": ["RS256", "ES256"],
        "keys": {"inline": {"keys": [SIGNERS[name].jwk]}},
        "permissionsFrom": {"map": {"ml:infer": ["infer"], "ml:read": ["metadata"]}},
        "clockSkew": "10m",
        "denied": DENIED if name == "corp" else {},
    }
    named = {"kind": "TokenIssuer", "metadata": {"name": name}}
    return {"apiVersion": "nightlatch.dev/v1alpha1", **named, "spec": spec}


async def ready(up: Up) -> None:
    """Every client has its key."""
    await up.started()
    await up.ready("one", "two")
    for name in (*CLIENTS, *RULED):
        await up.until(f"the key of one-{name}", (up.files(f"one-{name}") / "api-key").exists)


class UpWorld:
    """An `up` with this manifest.

    log: what the model server of `one` was sent.
    """

    def __init__(self, up: Up, log: Path) -> None:
        self.up = up
        self._log = log
        self._taken = 0
        self.keys = {"bot": up.key("one-bot"), "stranger": up.key("two-bot")}
        self.keys |= {name: up.key(f"one-{name}") for name in (*CLIENTS, *RULED)}
        self.tokens = defects(SIGNERS["corp"], SIGNERS["partner"], ISS["corp"], ISS["partner"], "minilm")
        words = {
            **self.tokens,
            "issuer": "default/corp",
            **self.keys,
            **keys_from(self.keys["bot"]),
            **{f"{name}_client": f"default/one-{name}" for name in ("bot", *CLIENTS, *RULED)},
            "host": up.host("one"),
            "other_host": up.host("two"),
            "nobody_host": up.host("nobody"),
            "model": "one",
        }
        self.wire = Wire(up.ports[0], words)

    async def refuse(self, row: Row, protocol: Protocol) -> None:
        answer = await asyncio.to_thread(self.wire.send, row.call, protocol)
        proof.answers_as_told(answer, row, protocol, self.wire)

    @property
    def reached(self) -> int:
        """How many calls the model server of `one` answered that came by the gateway."""
        return self._log.read_text().count("x-nightlatch-client") if self._log.exists() else 0

    async def take(self, number: int) -> list[dict[str, Any]]:
        """The lines of the audit log since the last time. Envoy writes them within a second."""
        path = self.up.probe.layout.gateway(0).audit_log

        def lines() -> list[str]:
            return path.read_text().splitlines()[self._taken :] if path.exists() else []

        await self.up.until(f"{number} lines of the audit log", lambda: len(lines()) >= number, 10)
        # Time for a line too many.
        await asyncio.sleep(1.0)
        found = lines()
        self._taken += len(found)
        return [json.loads(line) for line in found]

    async def proves(self, tried: list[tuple[Row, Protocol]]) -> None:
        """The audit log has one line of each of these calls, and no secret."""
        lines = await self.take(len(tried))
        assert len(lines) == len(tried)
        for line, (row, protocol) in zip(lines, tried, strict=True):
            assert line["decision"] == "deny"
            proof.audited_as_told(line, row, protocol, self.wire)
        assert not found_in(json.dumps(lines).encode(), self.keys.values())
        proof.no_token(json.dumps(lines), self.tokens.values())
