"""Nothing lost at zero: held calls are answered by the fresh process, and going to sleep loses none either."""

import asyncio
import ssl

import httpx

CLIENTS = 4
CALLS_EACH = 50


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
    assert [(answer.status_code, answer.text) for answer in answers if answer.status_code != 200] == []
    assert len(answers) == CLIENTS * CALLS_EACH
    assert {answer.http_version for answer in answers} == {"HTTP/2" if http2 else "HTTP/1.1"}
    assert up.probe.model_servers() == 1
    await up.asleep("one")
    after = up.printed.count("default/one Waking → Awake") + up.printed.count("default/one Asleep → Awake")
    assert after - before == 1
