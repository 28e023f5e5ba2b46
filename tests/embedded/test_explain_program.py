"""`nightlatch explain` on a store without gateways: the gate's real program, and what cannot be said."""

import asyncio
import base64
import secrets
import subprocess
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from click.testing import CliRunner, Result

import nightlatch_gate
from nightlatch.api import names
from nightlatch.api.meta import NamespacedName
from nightlatch.api.operations import operations_for
from nightlatch.api_keys.api_key import digest, mint
from nightlatch.cli.explain import command
from nightlatch.cli.explanation import FLAWS
from nightlatch.embedded.errors import UserError
from nightlatch.store.files.store import FilesStore
from nightlatch.wire.issuer_document import DeniedTokens, IssuerDocument, IssuerKey, encode_issuer
from nightlatch.wire.revocations import Revocations, encode_revocations
from nightlatch.wire.route_document import DOCUMENT_JSON, FORMAT, KeyGrant, RouteDocument, TrustedIssuer, encode
from tests.attack.tokens import Signer, claims
from tests.unit.gatekeeper.test_documents import CA, secret

MINTED = mint(secrets.token_bytes)
KEY, KEY_ID, SHA256 = MINTED.text, MINTED.key_id, digest(MINTED.text)
ENDPOINT, CORP = NamespacedName("search", "minilm"), NamespacedName("ids", "corp")
BOT = NamespacedName("search", "bot")
ISS = "https://id.example"
SIGNER = Signer("EdDSA", "k1")
DOCUMENT = RouteDocument(
    endpoint=ENDPOINT,
    uid="u",
    sequence=7,
    hosts=("minilm.search.localhost",),
    operations=operations_for(None, "minilm"),
    upstream_identity="spiffe://nightlatch.local/ns/search/ie/minilm",
    keys=(KeyGrant(client=BOT, key_id=KEY_ID, sha256=SHA256, permissions=("infer",)),),
    accept=(("apiKey",), ("jwt",)),
    issuers=(TrustedIssuer(CORP, ISS),),
    server_certificate="-----BEGIN CERTIFICATE-----",
    server_private_key="-----BEGIN PRIVATE KEY-----",
    upstream_ca=CA,
)
ISSUER = IssuerDocument(
    issuer=CORP,
    iss=ISS,
    audiences=("minilm",),
    algorithms=("EdDSA",),
    keys=(IssuerKey("OKP", {"x": SIGNER.jwk["x"]}, "k1", "EdDSA", "Ed25519"),),
    source="s",
    fetched_at=1,
    valid_until=None,
    max_lifetime=3600.0,
    clock_skew=30.0,
    permissions_claim=("scope",),
    permissions={"ml:infer": ("infer",)},
    identity_claim=("sub",),
)


def of_gateway(name: str, role: str, data: dict[str, bytes]) -> dict[str, Any]:
    """A Secret in the gateways' namespace."""
    made, encoded = secret(DOCUMENT), {entry: base64.b64encode(value).decode() for entry, value in data.items()}
    metadata = {**made["metadata"], "name": name, "labels": {names.LABEL_ROLE: role}}
    return {**made, "metadata": metadata, "data": encoded}


def endpoint() -> dict[str, Any]:
    return {
        "apiVersion": "nightlatch.dev/v1alpha1",
        "kind": "InferenceEndpoint",
        "metadata": {"namespace": ENDPOINT.namespace, "name": ENDPOINT.name},
        "spec": {"model": {"source": {"path": "/models"}}, "access": {"apiKey": {}}},
    }


@pytest.fixture
def explained(tmp_path: Path) -> Any:
    """Runs the verb on a store with these Secrets of gateways, and with this credential as standard input."""

    def run(*words: str, credential: str = "", held: tuple[dict[str, Any], ...]) -> Result:
        store = FilesStore(tmp_path / "state")

        async def fill() -> None:
            for each in (endpoint(), *held):
                await store.create(each)

        asyncio.run(fill())
        place = ["--state-dir", str(tmp_path / "state"), "-n", ENDPOINT.namespace]
        result = CliRunner().invoke(command, [ENDPOINT.name, *words, *place], input=credential)
        assert not credential or credential[20:60] not in result.output
        assert SHA256[:16] not in result.output
        return result

    return run


def issuer_secret(document: IssuerDocument = ISSUER) -> dict[str, Any]:
    return of_gateway(names.issuer_document(CORP), names.ROLE_ISSUER_DOCUMENT, encode_issuer(document))


def revocations(**revoked: Any) -> dict[str, Any]:
    return of_gateway(
        names.REVOCATIONS_SECRET, names.ROLE_REVOCATIONS, encode_revocations(Revocations(sequence=1, **revoked))
    )


def test_keys_and_tokens_are_judged_by_what_the_gateways_read(explained: Any) -> None:
    good = explained("--api-key-file", "-", credential=KEY + "\n", held=(secret(DOCUMENT), issuer_secret()))
    assert good.exit_code == 0, good.output
    assert "ALLOWED by apiKey" in good.output
    assert "the caller is search/bot, by API key, and may do here: infer" in good.output


@pytest.mark.parametrize(
    ("changes", "denied", "code", "said"),
    [
        ({}, {}, 0, "good, of ids/corp:alice"),
        ({"aud": "other"}, {}, 1, 'its audience "other" is not accepted; the issuer\'s tokens must be for "minilm"'),
        ({"iat": int(time.time()) - 15_500, "exp": int(time.time()) - 15_000}, {}, 1, "it expired 4h"),
        ({"exp": int(time.time()) + 9000}, {}, 1, "at most 60m are allowed"),
        ({"jti": "t1"}, {"jti": ("t1",)}, 1, "it is denied by its `jti`"),
        # Tests begin long after they are collected.
        ({}, {"issued_before": {"": int(time.time()) + 86_400}}, 1, "before the time in `denied.issuedBefore`"),
        ({"scope": "ml:read"}, {}, 1, "the caller does not have the permission infer on this endpoint"),
    ],
)
def test_a_token_has_its_reason(explained: Any, changes: Any, denied: Any, code: int, said: str) -> None:
    token = SIGNER.sign(claims(ISS, "minilm", **changes))
    issuer = issuer_secret(replace(ISSUER, denied=DeniedTokens(**denied)))
    told = explained("--token-file", "-", credential=token, held=(secret(DOCUMENT), issuer))
    assert said in told.output
    assert told.exit_code == code


def test_a_token_whose_issuer_the_gateways_lack_cannot_be_verified(explained: Any) -> None:
    told = explained("--token-file", "-", credential=SIGNER.sign(claims(ISS, "minilm")), held=(secret(DOCUMENT),))
    assert "DENIED: the caller gets 503 verification_unavailable" in told.output
    assert "issuer ids/corp: no gateway has keys of it" in told.output


@pytest.mark.parametrize(
    ("revoked", "said"),
    [
        ({"keys": frozenset({KEY_ID})}, f"the key {KEY_ID} of client search/bot was revoked"),
        ({"clients": frozenset({BOT})}, "the client search/bot is revoked or suspended"),
    ],
    # The key is another one in each process.
    ids=["key", "client"],
)
def test_the_gateways_revocations_count(explained: Any, revoked: Any, said: str) -> None:
    told = explained("--api-key-file", "-", credential=KEY, held=(secret(DOCUMENT), revocations(**revoked)))
    assert (told.exit_code, said in told.output) == (1, True), told.output


def test_a_denied_endpoint_refuses_every_credential(explained: Any) -> None:
    denied = secret(replace(DOCUMENT, denied="PolicyInvalid"))
    told = explained("--api-key-file", "-", credential=KEY, held=(denied,))
    assert "DENIED: the caller gets 503" in told.output
    assert "its configuration is not valid" in told.output


def test_a_damaged_trust_bundle_of_the_model_server_is_no_hindrance(explained: Any) -> None:
    damaged = secret(replace(DOCUMENT, upstream_ca="-----BEGIN CERTIFICATE-----"))
    assert explained("--api-key-file", "-", credential=KEY, held=(damaged,)).exit_code == 0


def test_what_cannot_be_said_has_an_exit_status_of_its_own(explained: Any) -> None:
    envelope = {**orjson.loads(encode(DOCUMENT)[DOCUMENT_JSON]), "format": FORMAT + 1}
    newer = secret(DOCUMENT, document_json=orjson.dumps(envelope))
    told = explained("--api-key-file", "-", credential=KEY, held=(newer,))
    assert isinstance(told.exception, UserError)
    assert (told.exception.code, "is newer than" in told.exception.message) == (2, True)


def test_an_endpoint_that_the_gateways_do_not_know_is_no_verdict(explained: Any) -> None:
    told = explained(held=())
    assert isinstance(told.exception, UserError)
    assert (told.exception.code, "answer 404" in told.exception.message) == (2, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--operation", "sing"], "an operation is one of infer, metadata, health, metrics"),
        (["--token-file", "/nowhere/token"], "cannot read the token"),
        (["--token-file", "-", "--api-key-file", "-"], "only one credential can come from standard input"),
        (["--token-file", "-"], "the file with the token is empty"),
    ],
)
def test_wrong_usage_is_told(explained: Any, words: list[str], said: str) -> None:
    told = explained(*words, held=(secret(DOCUMENT),))
    assert isinstance(told.exception, UserError)
    assert (told.exception.code, said in told.exception.message) == (2, True), told.exception.message


def test_there_is_a_sentence_for_each_reason_that_the_gate_has() -> None:
    listed = subprocess.run([nightlatch_gate.program(), "--flaws"], capture_output=True, text=True, check=True)
    assert set(listed.stdout.split()) == set(FLAWS)


def test_the_program_takes_no_credential_as_an_argument_and_quotes_no_input() -> None:
    program = nightlatch_gate.program()
    refused = subprocess.run([program, "nl_secret"], capture_output=True, text=True, check=False)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "secret" not in refused.stderr
    asked = subprocess.run([program], input='{"call": "nl_secret"}', capture_output=True, text=True, check=False)
    assert (asked.returncode, asked.stdout) == (2, "")
    assert "secret" not in asked.stderr
