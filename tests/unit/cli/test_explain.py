"""What `explain` asks the gate's program, and the sentences that it makes of the answer."""

import json
import os
from pathlib import Path

import orjson
import pytest

import nightlatch_gate
from nightlatch.api.client import KeyStatus
from nightlatch.api.meta import NamespacedName
from nightlatch.api.operations import operations_for
from nightlatch.cli import explain_program
from nightlatch.cli.explain_question import Presented, QuestionError, question, request_for
from nightlatch.cli.explanation import FLAWS, Facts, Known, facts, text
from nightlatch.embedded.errors import UserError
from nightlatch.wire.route_document import RouteDocument

ENDPOINT, BOT = NamespacedName("search", "minilm"), NamespacedName("search", "bot")
TABLE = operations_for(None, "minilm")
NOW = 1_700_000_000.0
SECRET = "nl_000000000000_secretsecretsecretsecretsecretsecretsecretsec_000000"


def told(**changes: object) -> Facts:
    """What the program tells of a call without a credential."""
    return {
        "endpoint": str(ENDPOINT),
        "sequence": "7",
        "accept": ["apiKey", "jwt+mtls"],
        "permission": "infer",
        "decision": "deny",
        "error": "unauthenticated",
        "code": "unauthenticated",
        "status": 401,
        "otherKinds": [],
        "credentials": [],
        **changes,
    }


def failed(mechanism: str, flaw: str, **more: object) -> Facts:
    return {"mechanism": mechanism, "result": "failed", "flaw": flaw, **more}


def said(answer: Facts, known: Known | None = None) -> str:
    return text(facts(answer, "POST /v1/embeddings", known or Known(), NOW), "a cluster", NOW)


@pytest.mark.parametrize(
    ("operation", "expected"),
    [
        ("infer", "POST /v2/models/minilm/infer"),
        ("metadata", "GET /v2"),
        ("health", "GET /v2/health/live"),
        ("metrics", "GET /metrics"),
        ("DELETE /v2/models/x", "DELETE /v2/models/x"),
    ],
)
def test_an_operation_is_a_permission_or_a_request(operation: str, expected: str) -> None:
    assert str(request_for(operation, TABLE)) == expected


def test_an_operation_whose_paths_all_have_a_variable_gets_a_value() -> None:
    only = tuple(each for each in TABLE if each.path.endswith("/versions/{version}/infer"))
    assert str(request_for("infer", only)) == "POST /v2/models/minilm/versions/1/infer"


@pytest.mark.parametrize("operation", ["sing", "", "get /v2", "POST v2", "POST /a b", "GET /v2\nx"])
def test_what_is_no_operation_is_refused(operation: str) -> None:
    with pytest.raises(QuestionError, match="POST /v1/embeddings"):
        request_for(operation, TABLE)


def test_the_question_has_the_policy_and_the_credentials_and_no_private_key() -> None:
    document = RouteDocument(ENDPOINT, "u", 7, ("minilm.example",), TABLE, "", server_private_key="PRIVATE")
    asked = question(document, b'{"format":1}', request_for("infer", TABLE), Presented(SECRET, "a.b.c", "note"))
    read = orjson.loads(asked)
    assert read["gate"] == {"format": 1}
    assert (read["policy"]["endpoint"], read["policy"]["accept"]) == ("search/minilm", [["apiKey"]])
    assert read["call"] == {
        "method": "POST",
        "path": "/v2/models/minilm/infer",
        "authorization": ["Bearer a.b.c"],
        "api_key": [SECRET],
        "certificate": "note",
    }
    assert b"PRIVATE" not in asked
    assert SECRET not in repr(Presented(SECRET))


def test_a_caller_without_a_credential_learns_what_to_send() -> None:
    shown = said(told())
    assert "DENIED: the caller gets 401 unauthenticated" in shown
    assert "no credential that counts was sent" in shown
    assert "send what the endpoint takes: an API key, or a token with a certificate" in shown
    assert "not looked at: rate limits" in shown


def test_an_allowed_call_names_the_caller() -> None:
    good = {"mechanism": "apiKey", "result": "good", "flaw": None, "client": "search/bot", "keyId": "k"}
    answer = told(
        decision="allow",
        status=None,
        code=None,
        client="search/bot",
        method="apiKey",
        permissions="infer,metadata",
        rule="apiKey",
        credentials=[good],
    )
    shown = said(answer)
    assert "ALLOWED by apiKey" in shown
    assert "the caller is search/bot, by API key, and may do here: infer, metadata" in shown
    assert "API key k: good, of search/bot" in shown


def test_a_key_that_the_gate_does_not_know_is_looked_up_in_the_clients_by_its_id() -> None:
    answer = told(credentials=[failed("apiKey", "key_unknown", keyId="000000000000", idIsRevoked=False)])
    status = KeyStatus(id="000000000000", state="Current", created_at="2026-01-01T00:00:00Z")
    known = Known(keys={"000000000000": (BOT, status)})
    assert "no client that you may see has one with this id" in said(answer)
    assert "is client search/bot's and is Current, but is not good for this endpoint" in said(answer, known)
    ended = Known(keys={"000000000000": (BOT, status.model_copy(update={"state": "Revoked"}))})
    assert "of client search/bot, was revoked or has ended" in said(answer, ended)
    revoked = told(credentials=[failed("apiKey", "key_unknown", keyId="000000000000", idIsRevoked=True)])
    assert "the key 000000000000 was revoked" in said(revoked)


def test_a_token_is_judged_by_each_issuer_with_its_iss_and_quoted_safely() -> None:
    issuers = [
        {"name": "ids/a", "result": "failed", "flaw": "token_expired"},
        {"name": "ids/b", "result": "failed", "flaw": "token_audience"},
    ]
    token = failed(
        "jwt",
        "token_expired",
        iss="https://id.example\x1b[2J",
        aud=["other"],
        issued=int(NOW) - 400,
        expires=int(NOW) - 180,
        issuers=issuers,
    )
    shown = said(told(credentials=[token]))
    assert "issuer ids/a: it expired 3m ago (2023-11-14T22:10:20Z)" in shown
    assert 'issuer ids/b: its audience "other" is not accepted' in shown
    assert "\x1b" not in shown
    assert "what to do: get a new token" in shown


def test_a_failed_handshake_is_no_answer_whatever_the_gate_would_say() -> None:
    shown = facts(told(decision="allow", rule="mtls"), "GET /v2", Known(handshake_fault="it is of nobody's CA"), NOW)
    assert (shown["decision"], shown["status"]) == ("deny", None)
    assert "the connection ends in the TLS handshake" in text(shown, "a cluster", NOW)
    assert "certificate: it is of nobody's CA" in text(shown, "a cluster", NOW)


def test_a_permission_that_is_missing_is_named() -> None:
    answer = told(error="insufficient_scope", code="insufficient_scope", status=403, permissions="health")
    assert "does not have the permission infer" in said(answer | {"client": "search/bot", "method": "apiKey"})
    assert "the endpoint has no such operation" in said(answer | {"permission": None})


@pytest.mark.parametrize("flaw", [*FLAWS, "of_a_newer_gate"])
def test_every_reason_makes_a_sentence_with_whatever_is_known(flaw: str) -> None:
    mechanism = "jwt" if flaw.startswith(("token", "issuer")) else "mtls" if "cert" in flaw else "apiKey"
    shown = facts(told(credentials=[failed(mechanism, flaw)]), "GET /v2", Known(), NOW)
    (credential,) = shown["credentials"]
    assert credential["reason"]
    assert "{" not in credential["reason"] + credential["advice"]
    json.dumps(shown)


def test_a_program_that_is_missing_or_says_nothing_is_told_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nightlatch_gate, "program", lambda: tmp_path / "nowhere")
    with pytest.raises(UserError, match="the gate's program is missing") as refusal:
        explain_program.program()
    assert "make gate" in refusal.value.hint
    script = tmp_path / "fails"
    script.write_text("#!/bin/sh\necho the reason >&2\nexit 2\n")
    script.chmod(0o755)
    with pytest.raises(UserError, match="cannot explain this: the reason"):
        explain_program.answer(script, b"")
    os.truncate(script, 0)
    with pytest.raises(UserError, match="cannot be run"):
        explain_program.answer(script, b"")
