"""In which format a document is written, what that holds back, and what the envelope says was taken away."""

from dataclasses import replace
from datetime import timedelta

import pytest

from nightlatch import api_keys
from nightlatch.api.conditions import EndpointCondition, Reason
from nightlatch.planning.endpoint.conditions import ConditionInput, endpoint_verdicts
from nightlatch.planning.endpoint.document import decide_document
from nightlatch.planning.endpoint.format import format_to_write, too_old_gateways
from nightlatch.planning.endpoint.plan import owner_of
from nightlatch.planning.inputs import Observed
from nightlatch.scaling.runtime import EndpointRuntime
from nightlatch.wire import route_document as routing
from tests.unit.planning.scene import ISSUING_CA, NOW, SETTINGS, client, endpoint, found, held, issued


@pytest.mark.parametrize(
    ("written", "reads", "newest", "wanted"),
    [
        # Every gateway reports: the oldest of them decides, up and down.
        (1, {"a": 2, "b": 2}, 2, 2),
        (2, {"a": 2, "b": 1}, 2, 1),
        (2, {"a": 3, "b": 3}, 2, 2),
        (None, {"a": 2}, 2, 2),
        (2, {"a": 3, "b": 3}, 3, 3),
        (3, {"a": 2, "b": 3}, 3, 2),
        # The operator was rolled back: what it does not know itself it does not write.
        (3, {"a": 3}, 2, 2),
        # A silent gateway blocks an upgrade and forces no downgrade.
        (1, {"a": 2, "b": None}, 2, 1),
        (2, {"a": 2, "b": None}, 2, 2),
        (2, {"a": None}, 3, 2),
        (2, {"a": 1, "b": None}, 2, 1),
        (None, {"a": 2, "b": None}, 2, 1),
        # No gateway is known yet.
        (None, {}, 2, 1),
        (2, {}, 3, 2),
        # A gateway from before formats is the oldest there is.
        (2, {"a": 0}, 2, 1),
    ],
)
def test_the_oldest_gateway_decides_and_a_silent_one_blocks_upgrades(written, reads, newest, wanted):
    assert format_to_write(written, reads, newest) == wanted


def test_gateways_that_are_not_known_to_read_a_format_are_named():
    assert too_old_gateways(3, {"b": 2, "a": None, "c": 3}) == ("a", "b")


HELD = held()
SERVER_TLS = issued(endpoint()).server_tls
OTHER_KEY = api_keys.mint(lambda size: b"o" * size)


def observed(document=None, clients=(HELD,), formats=None, settings=SETTINGS):
    runtime = EndpointRuntime(formats={"gw-0": 2, "gw-1": 2} if formats is None else formats)
    return Observed(settings, ISSUING_CA, document=document, clients=clients, runtime=runtime)


def decide(before, subject=None, at=NOW, **options):
    subject = subject or endpoint()
    return decide_document(subject, before, owner_of(subject), SERVER_TLS, at, **options)


def stored(decision):
    return found(decision.put.target, decision.put.data)


def format_of(decision):
    return routing.read_envelope(decision.put.data).format


def test_a_document_is_written_again_when_the_gateways_read_more_or_less():
    old = decide(observed(formats={"gw-0": 2, "gw-1": 1}))
    assert format_of(old) == 1
    assert decide(observed(stored(old), formats={"gw-0": 2, "gw-1": None})).put is None
    new = decide(observed(stored(old)))
    assert (format_of(new), new.current.sequence) == (2, old.current.sequence + 1)
    assert decide(observed(stored(new))).put is None
    assert format_of(decide(observed(stored(new), formats={"gw-0": 2, "gw-1": 1}))) == 1


def test_an_operator_of_the_next_release_writes_its_format_once_every_gateway_reads_it():
    settings = replace(SETTINGS, document_format=3)
    assert format_of(decide(observed(settings=settings))) == 2
    assert format_of(decide(observed(settings=settings, formats={"gw-0": 3, "gw-1": 3}))) == 3


def test_a_document_of_the_next_release_is_replaced_after_a_rollback_and_its_sequence_is_not_reused():
    later = decide(observed())
    secret = found(later.put.target, routing.encode(replace(later.current, sequence=2**50), routing.FORMAT + 1))
    again = decide(observed(secret))
    assert (format_of(again), again.current.sequence) == (2, 2**50 + 1)
    assert again.current.takes_away_since == again.current.sequence


def test_the_envelope_says_since_when_nothing_was_taken_away():
    first = decide(observed())
    assert first.current.takes_away_since == first.current.sequence
    more = decide(observed(stored(first), clients=(HELD, held(client(name="more"), key=OTHER_KEY))))
    assert more.current.sequence > first.current.sequence
    assert more.current.takes_away_since == first.current.sequence
    less = decide(observed(stored(more)), at=NOW + timedelta(seconds=5))
    assert less.current.takes_away_since == less.current.sequence


def test_what_an_old_gateway_cannot_read_is_held_back_and_revocations_are_not():
    first = decide(observed())

    def needs(document):
        return 3 if document.request_timeout != first.current.request_timeout else 2

    longer = endpoint(requestTimeout="90s")
    seen = observed(stored(first))
    blocked = decide(seen, longer, needed_format=needs)
    assert (blocked.put, blocked.needs, blocked.current) == (None, 3, first.current)
    narrowed = decide(observed(stored(first), clients=()), longer, needed_format=needs)
    assert (narrowed.current.keys, narrowed.needs, format_of(narrowed)) == ((), 3, 2)
    verdicts = dict(endpoint_verdicts(ConditionInput(longer, seen, (), blocked, document_taken=False)))
    programmed = verdicts[EndpointCondition.PROGRAMMED]
    assert (programmed.status, programmed.reason) == ("False", Reason.GATEWAY_TOO_OLD)
    assert "gw-0, gw-1" in programmed.message
    upgraded = observed(stored(first), formats={"gw-0": 3, "gw-1": 3}, settings=replace(SETTINGS, document_format=3))
    assert decide(upgraded, longer, needed_format=needs).needs == 0
    assert format_of(decide(upgraded, longer, needed_format=needs)) == 3
