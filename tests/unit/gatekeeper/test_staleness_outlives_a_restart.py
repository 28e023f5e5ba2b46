"""How long a gateway may go on without its store does not begin anew with each process, nor end with the last one."""

import asyncio
import json
import time

import pytest

from nightlatch.api.meta import NamespacedName
from nightlatch.gatekeeper.gate_state import GateState, next_gate_state
from nightlatch.gatekeeper.process.last_heard import keep, path_beside, remaining_staleness
from nightlatch.wire.revocations import Revocations


@pytest.mark.parametrize(
    ("content", "remaining"),
    [
        ('{"unix_seconds": 1000}', 100),  # heard 3,500 seconds ago
        ('{"unix_seconds": 4500}', 3600),  # now
        ('{"unix_seconds": 800}', 0),
        ('{"unix_seconds": 9000}', 3600),  # the clock was put back
        ('{"unix_seconds": null}', 3600),
        ("[]", 3600),
        ("{", 3600),
        (None, 3600),
    ],
)
def test_a_restart_waits_no_longer_than_the_process_before_it_would_have(tmp_path, content, remaining) -> None:
    path = path_beside(tmp_path / "ads.sock")
    if content is not None:
        path.write_text(content)
    assert remaining_staleness(path, 3600, 4500) == remaining


async def test_what_was_heard_is_kept_for_the_next_process(tmp_path) -> None:
    path = path_beside(tmp_path / "ads.sock")
    heard = [100.0]
    keeping = asyncio.create_task(keep(path, lambda: heard[0], 0.4))
    for heard[0] in (100.0, 200.0):
        end = time.monotonic() + 10
        while not path.exists() or json.loads(path.read_text()) != {"unix_seconds": heard[0]}:
            assert time.monotonic() < end
            await asyncio.sleep(0.01)
    keeping.cancel()


def test_the_gate_is_told_until_when_it_may_go_on_and_rarely() -> None:
    state, pushes = GateState(), []
    for second in range(3600):
        after = next_gate_state(state, Revocations(), 10_000.0 + second, 3600.0)
        if after is not state:
            pushes.append(second)
        state = after
    assert pushes == [0, 900, 1800, 2700]
    assert state.valid_until == 10_000 + 2700 + 3600
    # A store that is silent moves nothing.
    assert next_gate_state(state, Revocations(), 10_000.0 + 2800, 3600.0) is state


def test_a_revocation_is_a_push_at_once() -> None:
    state = next_gate_state(GateState(), Revocations(), 0.0, 3600.0)
    revoked = Revocations(1, frozenset({NamespacedName("search", "bot")}))
    assert next_gate_state(state, revoked, 1.0, 3600.0) == GateState(revoked, 3600)
