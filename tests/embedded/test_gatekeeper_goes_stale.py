"""A gateway that hears nothing from its store goes on with what it has, up to a bound; then it denies."""

import asyncio
import contextlib

import pytest

from tests.embedded.envoy_fixture import free_port
from tests.embedded.gatekeeper_lab import PATIENCE, Lab, eventually, infer, warm

# Above the time between two bookmarks of an idle store, 5 s.
MAX_STALENESS = 8.0


@pytest.fixture
async def lab(tmp_path):
    # A gatekeeper without its store announces no port, so that its readiness is asked on one that is known.
    metrics = {"host": "127.0.0.1", "port": free_port()}
    async with warm(Lab(tmp_path, max_staleness=MAX_STALENESS, metrics=metrics)) as lab:
        yield lab


@contextlib.contextmanager
def store_away(lab: Lab):
    """Nobody can read the store: its lock cannot be had."""
    lock = lab.store_directory / "lock"
    away = lock.rename(lock.with_name("lock.away"))
    try:
        yield
    finally:
        away.rename(lock)


async def status(client) -> int:
    return (await infer(client)).status_code


# What a stale gateway answers: the gate by itself, or an Envoy whose gatekeeper came back without anything to say.
DENIED = (503, 404)


async def until_status(client, *wanted: int) -> list[int]:
    """Call until it is answered so; all the statuses on the way."""
    seen: list[int] = []
    async with asyncio.timeout(PATIENCE):
        while not seen or seen[-1] not in wanted:
            seen.append(await status(client))
            await asyncio.sleep(0.1)
    return seen


async def test_a_gatekeeper_that_comes_back_without_the_store_lets_envoy_go_on_no_longer_than_that(lab) -> None:
    gateway = lab.gateways[0]
    async with lab.client() as client:
        assert await status(client) == 200
        with store_away(lab):
            gateway.kill(gateway.gatekeeper)
            gateway.start_gatekeeper()
            seen = await until_status(client, *DENIED)
            assert set(seen[:-1]) == {200}
            assert gateway.readiness() == 503
        await gateway.ready()
        seen = await until_status(client, 200)
        assert set(seen[:-1]) <= {404, 503}


async def test_a_gatekeeper_that_is_restarted_again_and_again_does_not_put_the_end_off(lab) -> None:
    gateway, loop = lab.gateways[0], asyncio.get_running_loop()
    async with lab.client() as client:
        assert await status(client) == 200
        # Once it has written down when it last heard of the store.
        await eventually((gateway.folder / "last-heard.json").exists, "it remembers")
        with store_away(lab):
            gone, seen = loop.time(), [200]
            while seen[-1] == 200 and loop.time() < gone + 2 * MAX_STALENESS:
                gateway.kill(gateway.gatekeeper)
                gateway.start_gatekeeper()
                restarted = loop.time()
                while seen[-1] == 200 and loop.time() < restarted + MAX_STALENESS / 2:
                    seen.append(await status(client))
                    await asyncio.sleep(0.1)
            # Each process needs a moment to start, in which Envoy goes on.
            assert seen[-1] in DENIED
            assert loop.time() - gone < MAX_STALENESS + MAX_STALENESS / 2


async def test_calls_go_on_without_the_store_then_are_denied_until_it_is_back(lab) -> None:
    loop = asyncio.get_running_loop()
    async with lab.client() as client:
        assert await status(client) == 200
        with store_away(lab):
            gone = loop.time()
            seen = await until_status(client, 503)
            lasted = loop.time() - gone
            assert set(seen[:-1]) == {200}
            # The time counts from the last bookmark, up to 5 s earlier.
            assert lasted > MAX_STALENESS - 5.0
            assert "without news" in (await infer(client)).text
            # The gate denies by itself, up to a tick before its gatekeeper does.
            says = "\nnightlatch_gateway_stale 1.0\n"
            await eventually(lambda: says in lab.gateways[0].metrics(), "it says so")
            # So a Service sends its callers to other gateways.
            assert lab.gateways[0].readiness() == 503
        await lab.gateways[0].ready()
        seen = await until_status(client, 200)
        assert set(seen[:-1]) <= {503}


async def test_an_envoy_without_any_gatekeeper_denies_by_itself(lab) -> None:
    gateway, loop = lab.gateways[0], asyncio.get_running_loop()
    async with lab.client() as client:
        assert await status(client) == 200
        gateway.kill(gateway.gatekeeper)
        gone = loop.time()
        seen = await until_status(client, 503)
        assert set(seen[:-1]) == {200}
        assert loop.time() - gone < MAX_STALENESS + 1.0
        assert "without news" in (await infer(client)).text
        gateway.start_gatekeeper()
        seen = await until_status(client, 200)
        assert set(seen[:-1]) <= {503}
