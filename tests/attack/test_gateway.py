"""Every row of the tables, from outside: a real Envoy with the gate before an endpoint that is awake and one asleep."""

from collections.abc import Iterator

import pytest

from tests.attack import proof
from tests.attack.row import CLOSED, Arrival, Protocol, Row, things_that_differ
from tests.attack.tables import api_keys, http, operations, rules, tokens
from tests.attack.world import ASLEEP, WARM, GatewayWorld

ROWS = [*api_keys.ROWS, *operations.ROWS, *http.ROWS, *tokens.ROWS, *rules.ROWS]
ARRIVALS = [*operations.ARRIVALS, *http.ARRIVALS]


def tries(rows: list[Row] | list[Arrival]) -> list[object]:
    """Each row over each protocol that it is for."""
    return [pytest.param(row, protocol, id=f"{row}-{protocol}") for row in rows for protocol in row.over]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, gate: None) -> Iterator[GatewayWorld]:
    world = GatewayWorld(tmp_path_factory.mktemp("gateway"))
    yield world
    world.stop()


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_a_row_and_its_twin_differ_in_one_thing(row: Row):
    assert things_that_differ(row.call, row.twin) == row.differs


@pytest.mark.parametrize(("row", "protocol"), tries(ROWS))
def test_an_endpoint_that_is_awake_refuses(world: GatewayWorld, row: Row, protocol: Protocol):
    proof.refused(world, world.wire(WARM), row, protocol)


# Envoy ends a connection that it cannot read a second later, whatever the endpoint does: once is enough for those.
@pytest.mark.parametrize(("row", "protocol"), tries([row for row in ROWS if row.error != CLOSED]))
def test_an_endpoint_that_is_asleep_refuses_and_is_not_woken(world: GatewayWorld, row: Row, protocol: Protocol):
    proof.refused(world, world.wire(ASLEEP), row, protocol)


@pytest.mark.parametrize(("row", "protocol"), tries(ARRIVALS))
def test_the_model_server_learns_nothing_from_what_a_caller_claims(
    world: GatewayWorld, row: Arrival, protocol: Protocol
):
    proof.arrives(world, world.wire(WARM), row, protocol)
