"""What each refusal has to prove."""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from nightlatch.wire.error_body import CallerError, error_body, plain
from tests.attack.row import CLOSED, Arrival, Protocol, Row, spoken
from tests.attack.traces import found_in
from tests.attack.wire import Answer, Wire
from tests.attack.world import GatewayWorld

# The model server gets another request id with each call.
_OF_EACH_CALL = ("x-request-id",)


def refused(world: GatewayWorld, wire: Wire, row: Row, protocol: Protocol) -> None:
    """The row's call is refused as it says, and its twin reaches the model server on the same way."""
    received, woken = len(world.received), world.woken
    answer = wire.send(row.call, protocol)
    by_the_call = world.received[received:], world.woken - woken
    twin = wire.send(row.twin, protocol, row.calls)
    reached = len(world.received) - received
    lines = world.take(row.audited + row.calls + row.admitted)

    answers_as_told(answer, row, protocol, wire)
    assert by_the_call == ([], 0), "the refused call reached a model server, or could have woken it"
    assert (twin.status, reached) == (200, row.calls), f"the twin was not let through: {twin}"
    denied, allowed = ([each for each in lines if each["decision"] == said] for said in ("deny", "allow"))
    assert len(denied) == row.audited, denied
    assert len(allowed) == row.calls + row.admitted, allowed
    for line in denied:
        audited_as_told(line, row, protocol, wire)
    nothing_secret(json.dumps(lines), world.keys.values())
    no_token(json.dumps(lines), world.tokens.values())


def answers_as_told(answer: Answer, row: Row, protocol: Protocol, wire: Wire) -> None:
    """The uniform answer, and nothing more."""
    error = row.error
    if not isinstance(error, CallerError):
        assert (answer.status, error) == (None, CLOSED), answer
        return
    sentence = error.say(row.detail)
    if protocol == "grpc":
        assert (answer.status, answer.grpc, answer.body) == (200, (str(error.grpc_status), sentence), b"")
        return
    assert answer.status == (row.status or error.status), answer
    assert answer.headers.get("www-authenticate") == error.www_authenticate
    if row.call.method == "HEAD":
        return
    path = spoken(row.call.path, wire.words)
    told = error_body(path, error, sentence)
    # Which API is meant by what is no path of any is not said; and Envoy does not know the path that it cannot read.
    known = row.decided and path.startswith(("/v1/", "/v2/"))
    assert json.loads(answer.body) in ([told] if known else [told, plain(error.code, sentence)])
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["server"] == "nightlatch"


def audited_as_told(line: dict[str, Any], row: Row, protocol: Protocol, wire: Wire) -> None:
    """Who was refused, what for, and by which endpoint."""
    assert isinstance(row.error, CallerError)
    client = None if row.client is None else spoken(row.client, wire.words)
    # gRPC says in a header what HTTP says by its status.
    status = 200 if protocol == "grpc" else row.status or row.error.status
    assert (line["code"], line["status"], line.get("client")) == (row.error.code, status, client)
    assert ("credential" in line) == (row.client is not None)
    assert line["host"] == spoken(row.call.server_name, wire.words)


def arrives(world: GatewayWorld, wire: Wire, row: Arrival, protocol: Protocol) -> None:
    """The model server cannot tell the row's call from the plain one."""
    seen = []
    for call in (row.call, row.plain):
        before = len(world.received)
        assert wire.send(call, protocol).status == 200
        (received,) = world.received[before:]
        seen.append(received)
        for name in _OF_EACH_CALL:
            del received["headers"][name]
    assert seen[0] == seen[1]
    assert not found_in(json.dumps(seen).encode(), world.keys.values())
    lines = world.take(2)
    assert [line["decision"] for line in lines] == ["allow", "allow"]
    nothing_secret(json.dumps(lines), world.keys.values())


def no_token(text: str, tokens: Iterable[str]) -> None:
    """Neither a token nor what it says or is signed with."""
    segments = {segment for token in tokens for segment in token.split(".")[1:]}
    assert not [segment for segment in segments if len(segment) > 16 and segment in text]


def nothing_secret(text: str, keys: Sequence[str]) -> None:
    assert not found_in(text.encode(), keys)
