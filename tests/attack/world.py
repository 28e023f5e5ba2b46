"""Where rows are tried: a gateway, callers with keys in every state, and what shows whom a call reached."""

import base64
import json
import secrets
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from nightlatch.api.meta import NamespacedName
from nightlatch.api_keys import mint
from nightlatch.api_keys.api_key import checksum
from nightlatch.routing.ir import AuditLog, DeniedTokensIR, GateIR, IssuerIR, Serving
from nightlatch.wire.route_document import ClientRule, TrustedIssuer
from tests.attack.tokens import SKEW, Signer, defects
from tests.attack.wire import Wire
from tests.embedded.envoy_fixture import Caller, Gateway

WARM = NamespacedName("search", "minilm")
ASLEEP = NamespacedName("search", "sleepy")
OTHER = NamespacedName("search", "other")
# Younger than the others, and claims their hosts beside its own.
THIEF = NamespacedName("search", "thief")
# Two issuers, whose RSA keys have the same kid.
CORP = NamespacedName("ids", "corp")
PARTNER = NamespacedName("ids", "partner")
ISS = {CORP: "https://id.example/realms/ml", PARTNER: "https://partner.example"}
# The claims of the group that a rule names.
ML = ((("groups",), ("ml",)),)
# Whose names rows say.
CLIENTS = ("bot", "reader", "writer", "ruled", "paired")
_HOUR = 3600
_PATIENCE = 5.0


def host_of(endpoint: NamespacedName) -> str:
    return f"{endpoint.name}.{endpoint.namespace}.localhost"


def keys_from(good: str) -> dict[str, str]:
    """What a stranger makes of a good key, or makes up."""
    prefix, key_id, secret, _ = good.split("_")
    other = mint(secrets.token_bytes).text
    guessed = f"{prefix}_{key_id}_{other.split('_')[2]}"
    return {
        "unknown": other,
        "wrong_secret": f"{guessed}_{checksum(guessed)}",
        "mistyped": _typo(good, 30),
        "bad_checksum": _typo(good, -1),
        "cut_short": good[:-1],
        "prolonged": good + "0",
        "upper_case": good.upper(),
        "secret_alone": secret,
        "basic": base64.b64encode(f"nightlatch:{good}".encode()).decode(),
        "half": good[:33],
        "escaped_underscores": good.replace("_", "%5F"),
        "escaped_in_lower_case": good.replace("_", "%5f"),
        "escaped_prefix": f"%6e%6C_{good[3:]}",
        "escaped": "".join(f"%{ord(each):02x}" for each in good),
        "escaped_twice": f"%256e%256C%255f{good[3:]}",
    }


def _typo(key: str, index: int) -> str:
    letters = list(key)
    letters[index] = "a" if letters[index] != "a" else "b"
    return "".join(letters)


def issuer(name: NamespacedName, *signers: Signer) -> IssuerIR:
    """An issuer of tokens for `minilm`."""
    return IssuerIR(
        str(name),
        ISS[name],
        ("minilm",),
        ("RS256", "ES256"),
        tuple(each.jwk for each in signers),
        {"ml:infer": ("infer",), "ml:read": ("metadata",)},
        clock_skew=SKEW,
    )


class GatewayWorld:
    """A real Envoy with the gate. Three endpoints: one is awake, one is asleep, and one is somebody else's.

    The hold admits each call at once: what it is asked about would have woken the endpoint.
    """

    def __init__(self, folder: Path) -> None:
        now = int(time.time())
        self.callers = {
            "bot": Caller("bot", secrets.token_bytes, "infer", "metadata"),
            "reader": Caller("reader", secrets.token_bytes, "metadata"),
            "writer": Caller("writer", secrets.token_bytes, "infer"),
            "early": Caller("bot", secrets.token_bytes, "infer", "metadata", not_before=now + _HOUR),
            "expired": Caller("bot", secrets.token_bytes, "infer", "metadata", not_after=now - 1),
            "previous_in_overlap": Caller("bot", secrets.token_bytes, "infer", "metadata", not_after=now + _HOUR),
            "previous_after_overlap": Caller("bot", secrets.token_bytes, "infer", "metadata", not_after=now - 10),
            "revoked": Caller("bot", secrets.token_bytes, "infer", "metadata"),
            "suspended": Caller("suspended", secrets.token_bytes, "infer"),
        }
        self.callers |= {
            name: Caller(name, secrets.token_bytes, "metadata") for name in ("ruled", "paired", "namesake")
        }
        self.callers["ruled_before"] = Caller("ruled", secrets.token_bytes, "metadata", not_after=now - 1)
        namesake = self.callers["namesake"]
        namesake.grant = replace(namesake.grant, client=NamespacedName("ml", "ruled"))
        self.stranger = Caller("stranger", secrets.token_bytes, "infer", "metadata")
        self.thief = Caller("thief", secrets.token_bytes, "infer", "metadata")
        self.keys = {name: each.key for name, each in {**self.callers, "stranger": self.stranger}.items()}
        self.keys["thief"] = self.thief.key
        corp, partner = Signer("RS256"), Signer("RS256")
        self.tokens = defects(corp, partner, ISS[CORP], ISS[PARTNER], "minilm")
        self._issuers = (issuer(CORP, corp, Signer("ES256")), issuer(PARTNER, partner))
        self._taken = 0
        self._audit = folder / "audit.log"
        audit = AuditLog(str(self._audit), 100_000, 100)
        self._gateway = Gateway(folder, "--file-flush-interval-msec", "10", audit=audit)
        self._models = {key: self._gateway.model_server(key) for key in (WARM, ASLEEP, OTHER, THIEF)}
        # What any of them received, in the order of time.
        self.received: list[dict[str, Any]] = []
        for model in self._models.values():
            model.received = self.received
        self._put()

    def _put(self) -> None:
        gateway = self._gateway
        ours = tuple(each.grant for each in self.callers.values())
        claimed = (host_of(THIEF), host_of(WARM), host_of(ASLEEP))
        taken = {
            "accept": (("apiKey", "jwt"), ("apiKey",), ("jwt",)),
            "issuers": tuple(TrustedIssuer(name, iss) for name, iss in ISS.items()),
            "client_rules": (
                ClientRule("rules[0]", ("infer",), (self.callers["ruled"].grant.client,)),
                ClientRule("rules[1]", ("infer",), (self.callers["paired"].grant.client,), claims=ML),
            ),
        }
        documents = [
            *(gateway.document(key, keys=ours, created=1, **taken) for key in (WARM, ASLEEP)),
            gateway.document(OTHER, keys=(self.stranger.grant,), created=1),
            gateway.document(THIEF, keys=(self.thief.grant,), created=2, hosts=claimed),
        ]
        serving = {key: Serving(hold=key == ASLEEP, addresses=(model.address,)) for key, model in self._models.items()}
        gateway.put(documents, serving)
        revoked = self.callers["revoked"].grant.key_id
        gateway.put_gate(
            GateIR(
                revoked_clients=(str(self.callers["suspended"].grant.client),),
                revoked_keys=(revoked,),
                issuers=self._issuers,
                denied_tokens=(
                    DeniedTokensIR(
                        str(CORP), ("leaked",), ("mallory",), ("stolen",), {"trudy": int(time.time()) + _HOUR}
                    ),
                ),
            )
        )

    def stop(self) -> None:
        self._gateway.stop()

    def wire(self, endpoint: NamespacedName) -> Wire:
        """How this endpoint is called, and the words of its rows."""
        bot = self.callers["bot"]
        words = {
            **self.tokens,
            **self.keys,
            **keys_from(bot.key),
            **{f"{name}_client": str(self.callers[name].grant.client) for name in CLIENTS},
            "issuer": str(CORP),
            "digest": bot.grant.sha256,
            "host": host_of(endpoint),
            "other_host": host_of(OTHER),
            "thief_host": host_of(THIEF),
            "nobody_host": "nobody.search.localhost",
            "model": endpoint.name,
        }
        return Wire(self._gateway.port, words)

    @property
    def woken(self) -> int:
        """How many calls could have woken an endpoint."""
        return self._gateway.authorization.checks

    def take(self, number: int) -> list[dict[str, Any]]:
        """All lines of the audit log since the last time: those of calls that are over, and `number` are expected."""
        end = time.monotonic() + _PATIENCE
        while len(found := self._lines()[self._taken :]) < number and time.monotonic() < end:
            time.sleep(0.002)
        self._taken += len(found)
        return [json.loads(line) for line in found]

    def _lines(self) -> list[str]:
        return self._audit.read_text().split("\n")[:-1] if self._audit.exists() else []
