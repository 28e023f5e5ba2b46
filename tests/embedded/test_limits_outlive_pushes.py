"""One call a minute is one call a minute, whatever is pushed to Envoy meanwhile."""

import asyncio
import os
import time
from dataclasses import replace

from nightlatch.wire.route_document import RateTier
from tests.embedded.envoy_fixture import Caller
from tests.embedded.gatekeeper_lab import Lab, Leader, infer, warm

ONCE_A_MINUTE = RateTier(requests=1, per_seconds=60.0, burst=1)


async def test_one_call_a_minute_over_a_sleep_a_wake_other_clients_an_edit_and_a_restart(tmp_path) -> None:
    lab = Lab(tmp_path)
    limited = Caller("limited", os.urandom, "infer", tier="slow")
    document = lab.document(keys=(lab.caller.grant, limited.grant), rate_tiers={"slow": ONCE_A_MINUTE})
    async with warm(lab), lab.client(caller=limited) as client:
        leader = Leader(lab)
        answers: list[int] = []

        async def call() -> None:
            answers.append((await infer(client)).status_code)

        async def put(changed) -> None:
            await lab.put(changed)
            await leader.until("gateway-0", lambda said: said.applied == changed.sequence, "applied")

        async def phase(state, epoch, name) -> None:
            leader.tell(state, epoch)
            await leader.until("gateway-0", lambda said: (said.phase, said.epoch) == (name, epoch), name)

        await put(replace(document, sequence=2))
        start = time.monotonic()
        await call()
        await call()
        # Another client goes, and comes back.
        await put(replace(document, sequence=3, keys=(limited.grant,)))
        await call()
        await put(replace(document, sequence=4))
        await call()
        # An edit, also one of the endpoint's limits.
        await put(replace(document, sequence=5, request_timeout=50.0))
        await call()
        await put(replace(document, sequence=6, rate_tiers={"slow": RateTier(1, 60.0, 2)}))
        await call()
        await put(replace(document, sequence=7))
        await call()
        # A sleep and a wake.
        await leader.until("gateway-0", lambda said: said.in_flight == 0, "the load is known")
        await phase("Draining", 7, "Holding")
        await call()
        await phase("Asleep", 7, "Cold")
        lab.no_replica()
        await call()
        leader.tell("Waking", 8)
        lab.replica(number=2, ready=True)
        await leader.until("gateway-0", lambda said: said.phase == "Warm", "warm again")
        await call()
        # A gatekeeper that starts again.
        gateway = lab.gateways[0]
        gateway.kill(gateway.gatekeeper)
        gateway.announce.unlink()
        await call()
        gateway.start_gatekeeper()
        await gateway.ready()
        await leader.until("gateway-0", lambda said: said.applied == 7, "current again")
        await call()
        assert time.monotonic() - start < 55
        assert answers == [200] + [429] * (len(answers) - 1)
        await asyncio.sleep(start + 61 - time.monotonic())
        await call()
        assert answers[-1] == 200
        await leader.stop()
