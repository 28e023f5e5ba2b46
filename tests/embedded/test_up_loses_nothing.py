"""Nothing lost at zero: held calls are answered by the fresh process, and going to sleep loses none either."""

import asyncio
import ssl

import httpx

from tests.embedded.running import manifest

CLIENTS = 4
CALLS_EACH = 50
CYCLES = 5
DRAINING, ASLEEP = "→ Draining", "→ Asleep"


class Loopback(httpx.AsyncHTTPTransport):
    """Dials 127.0.0.1 under the endpoint's name."""

    async def handle_async_request(self, request):
        request.extensions["sni_hostname"] = request.url.host
        request.url = request.url.copy_with(host="127.0.0.1")
        return await super().handle_async_request(request)


def client(up, name, bot, *, http2):
    context = ssl.create_default_context(cafile=up.files(bot) / "ca.crt")
    limits = httpx.Limits(max_connections=1 if http2 else CALLS_EACH)
    return httpx.AsyncClient(
        transport=Loopback(verify=context, http2=http2, limits=limits),
        base_url=f"https://{up.host(name)}:{up.ports[0]}",
        headers={"Authorization": f"Bearer {up.key(bot)}"},
        timeout=120,
    )


async def burst(up, *, http2):
    """200 calls by 4 clients at once, to a sleeping endpoint."""
    await up.ready("one")
    await up.asleep("one")
    bots = ["one-bot", *(f"one-bot-{index}" for index in range(1, CLIENTS))]
    for bot in bots:
        await up.until(f"{bot}'s key", (up.files(bot) / "api-key").exists)
    clients = [client(up, "one", bot, http2=http2) for bot in bots]
    body = {"model": "one", "input": ["A cat sleeps."]}
    calls = [each.post("/v1/embeddings", json=body) for each in clients for _ in range(CALLS_EACH)]
    answers = await asyncio.gather(*calls)
    await asyncio.gather(*(each.aclose() for each in clients))
    return answers


async def test_200_calls_over_http1_are_all_answered_by_one_wake(shared):
    await answered_by_one_wake(shared, http2=False)


async def test_200_calls_over_http2_are_all_answered_by_one_wake(shared):
    await answered_by_one_wake(shared, http2=True)


async def answered_by_one_wake(up, *, http2):
    before = up.printed.count("default/one Waking → Awake") + up.printed.count("default/one Asleep → Awake")
    answers = await burst(up, http2=http2)
    assert [answer.status_code for answer in answers] == [200] * (CLIENTS * CALLS_EACH), answers[0].text
    assert {answer.http_version for answer in answers} == {"HTTP/2" if http2 else "HTTP/1.1"}
    assert up.observer.model_servers() == 1
    await up.asleep("one")
    after = up.printed.count("default/one Waking → Awake") + up.printed.count("default/one Asleep → Awake")
    assert after - before == 1


async def test_five_sleeps_lose_nothing_with_two_gateways(start, tiny):
    """On both gateways, calls meet an endpoint that sleeps, that wakes, that is awake, and that drains."""
    up = await start(manifest("one", model=tiny, idle_after="1s"), gateways=2).ready("one")
    statuses: list[int] = []
    for cycle in range(CYCLES):
        drained, slept = up.printed.count(DRAINING), up.printed.count(ASLEEP)
        statuses += await both_gateways(up)
        if cycle % 2 == 0:
            await once_more(up, DRAINING, drained)
            statuses += await both_gateways(up)
        await once_more(up, ASLEEP, slept)
    assert statuses == [200] * len(statuses)
    assert up.printed.count(ASLEEP) >= CYCLES


async def once_more(up, line, before):
    """Wait until `up` has said it more often than `before`."""
    await up.until(line, lambda: up.printed.count(line) > before)


async def both_gateways(up):
    replies = await asyncio.gather(*(calls(up, gateway, count=4) for gateway in range(2) for _ in range(2)))
    return [status for each in replies for status in each]


async def calls(up, gateway, count):
    connection = await up.connect("one", gateway)
    raw = up.embedding("one", up.key("one-bot"))
    statuses = [(await connection.send(raw)).status for _ in range(count)]
    await connection.close()
    return statuses
