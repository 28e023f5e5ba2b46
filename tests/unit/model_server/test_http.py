"""HTTP/1.1 as it comes on the wire: kept alive, pipelined, chunked, too large, malformed, cut off."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from nightlatch_server.transport.http.limits import Limits
from nightlatch_server.transport.http.listener import Listener, bind
from nightlatch_server.transport.http.message import Request, Response

LIMITS = Limits(body=1000, url=200, headers=2000, header_count=20, receive_timeout=0.2, linger=0.05)


class Echo:
    """Answers with method, path and body; waits on `gate` for the path /slow, breaks for /broken."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.seen: list[str] = []
        self.cancelled: list[str] = []

    async def __call__(self, request: Request) -> Response:
        self.seen.append(request.path)
        if request.path == "/broken":
            raise RuntimeError("secret detail")
        if request.path == "/slow":
            try:
                await self.gate.wait()
            except asyncio.CancelledError:
                self.cancelled.append(request.path)
                raise
        return Response(200, f"{request.method} {request.path} ".encode() + request.body, b"text/plain")


class Client:
    """A raw connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, text: str | bytes) -> None:
        self.writer.write(text.encode("latin-1") if isinstance(text, str) else text)

    async def response(self, *, body: bool = True) -> tuple[int, dict[str, str], bytes]:
        head = (await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 10)).decode("latin-1").split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        size = int(headers.get("content-length", "0")) if body else 0
        return int(head[0].split()[1]), headers, await self.reader.readexactly(size)

    async def ends(self) -> bool:
        """Whether the server closes with nothing more to say."""
        return await asyncio.wait_for(self.reader.read(), 10) == b""


class Site:
    """A listener with `Echo` behind it."""

    def __init__(self, listener: Listener, echo: Echo) -> None:
        self.listener, self.echo = listener, echo

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.listener.port)
        yield Client(reader, writer)
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    echo = Echo()
    listener = Listener(bind("127.0.0.1", 0), echo, limits=LIMITS)
    await listener.serve(None)
    sweep = asyncio.create_task(listener.sweep(every=0.05))
    yield Site(listener, echo)
    sweep.cancel()
    echo.gate.set()
    await listener.drain(quiet=0, timeout=1)


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # the condition belongs to the code under test
            await asyncio.sleep(0.005)


GET = "GET {} HTTP/1.1\r\nHost: x\r\n\r\n"
POST = "POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n"


async def test_a_connection_is_kept_alive(site: Site) -> None:
    async with site.client() as client:
        for i in range(3):
            client.send(GET.format(f"/{i}"))
            status, headers, body = await client.response()
            assert (status, body) == (200, f"GET /{i} ".encode())
            assert "connection" not in headers
            assert headers["date"].endswith("gmt")


async def test_pipelined_requests_are_answered_in_order(site: Site) -> None:
    async with site.client() as client:
        client.send(GET.format("/slow") + POST.format(3) + "abc" + "".join(GET.format(f"/{i}") for i in range(20)))
        await until(lambda: site.echo.seen == ["/slow"])
        site.echo.gate.set()
        bodies = [(await client.response())[2] for _ in range(22)]
        assert bodies == [b"GET /slow ", b"POST /p abc", *(f"GET /{i} ".encode() for i in range(20))]


async def test_a_request_may_come_byte_by_byte(site: Site) -> None:
    async with site.client() as client:
        for byte in (POST.format(3) + "abc").encode():
            client.send(bytes([byte]))
            await client.writer.drain()
            await asyncio.sleep(0)
        assert (await client.response())[2] == b"POST /p abc"


async def test_a_chunked_body_with_extensions_and_trailers_is_put_together(site: Site) -> None:
    async with site.client() as client:
        client.send("POST /p HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
        client.send("3;x=y\r\nabc\r\n2\r\nde\r\n0\r\nTrailer: t\r\n\r\n" + GET.format("/next"))
        assert (await client.response())[2] == b"POST /p abcde"
        assert (await client.response())[2] == b"GET /next "


async def test_expect_continue_is_met_before_the_body_comes(site: Site) -> None:
    async with site.client() as client:
        client.send("POST /p HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        assert (await client.response(body=False))[0] == 100
        client.send("abc")
        assert (await client.response())[2] == b"POST /p abc"


async def test_continue_is_not_said_ahead_of_an_earlier_answer(site: Site) -> None:
    async with site.client() as client:
        client.send(GET.format("/slow"))
        client.send("POST /p HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
        await until(lambda: site.echo.seen == ["/slow"])
        site.echo.gate.set()
        assert (await client.response())[0] == 200
        assert (await client.response(body=False))[0] == 100
        client.send("abc")
        assert (await client.response())[2] == b"POST /p abc"


@pytest.mark.parametrize(
    "request_text", ["GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "GET / HTTP/1.0\r\n\r\n"]
)
async def test_the_connection_ends_when_the_caller_wants_it(site: Site, request_text: str) -> None:
    async with site.client() as client:
        client.send(request_text)
        status, headers, _ = await client.response()
        assert (status, headers["connection"]) == (200, "close")
        assert await client.ends()


async def test_head_has_the_length_but_no_body(site: Site) -> None:
    async with site.client() as client:
        client.send("HEAD / HTTP/1.1\r\nHost: x\r\n\r\n" + GET.format("/next"))
        assert (await client.response(body=False))[1]["content-length"] == "7"
        assert (await client.response())[2] == b"GET /next "


@pytest.mark.parametrize(
    ("text", "status"),
    [
        ("nonsense\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\n\r\n", 400),
        ("GET http://x/ HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        ("OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        ("CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", 400),
        ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
        ("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: x\r\nBad Name: y\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nHost: x\r\nA: b\r\n folded\r\n\r\n", 400),
        ("GET /" + "a" * 300 + " HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        ("GET / HTTP/1.1\r\nHost: x\r\n" + "A: b\r\n" * 30 + "\r\n", 431),
        ("GET / HTTP/1.1\r\nHost: x\r\nA: " + "b" * 3000 + "\r\n\r\n", 431),
        ("GET / HTTP/1.1\r\nHost: x\r\nA: " + "b" * 3000, 431),
        ("GET / HTTP/1.1\r\nHost: x\r\nExpect: miracles\r\n\r\n", 417),
        (POST.format(1001), 413),
        (POST.format("9" * 40), 400),
        ("POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n" + "a" * 1001 + "\r\n0\r\n\r\n", 413),
    ],
)
async def test_what_is_wrong_or_too_much_gets_its_status_and_no_handler_sees_it(
    site: Site, text: str, status: int
) -> None:
    async with site.client() as client:
        client.send(GET.format("/before") + text + GET.format("/smuggled"))
        assert (await client.response())[2] == b"GET /before "
        found, headers, body = await client.response()
        assert (found, headers["connection"]) == (status, "close")
        assert b'{"error":' in body
        assert await client.ends()
    assert site.echo.seen == ["/before"]


async def test_the_caller_of_a_body_that_is_too_large_gets_to_see_why(site: Site) -> None:
    async with site.client() as client:
        client.send(POST.format(1 << 20))
        client.send(b"x" * (1 << 20))
        assert (await client.response())[0] == 413


async def test_a_request_that_trickles_in_is_408(site: Site) -> None:
    async with site.client() as client:
        client.send("POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\na")
        assert (await client.response())[0] == 408
        assert await client.ends()


async def test_an_idle_connection_is_left_open(site: Site) -> None:
    async with site.client() as client:
        client.send(GET.format("/a"))
        await client.response()
        await asyncio.sleep(LIMITS.receive_timeout * 2)
        client.send(GET.format("/b"))
        assert (await client.response())[2] == b"GET /b "


async def test_a_handler_that_breaks_is_500_without_its_details(site: Site) -> None:
    async with site.client() as client:
        client.send(GET.format("/broken") + GET.format("/next"))
        status, _, body = await client.response()
        assert status == 500
        assert b"secret" not in body
        assert (await client.response())[0] == 200


async def test_a_caller_that_hangs_up_cancels_its_request(site: Site) -> None:
    async with site.client() as client:
        client.send(GET.format("/slow"))
        await until(lambda: site.echo.seen == ["/slow"])
    await until(lambda: site.echo.cancelled == ["/slow"])
    assert not site.listener.connections


async def test_draining_finishes_what_is_in_progress_and_closes_what_is_idle(site: Site) -> None:
    async with site.client() as busy, site.client() as idle:
        idle.send(GET.format("/idle"))
        await idle.response()
        busy.send(GET.format("/slow"))
        await until(lambda: "/slow" in site.echo.seen)
        draining = asyncio.create_task(site.listener.drain(quiet=0.0, timeout=10))
        assert await idle.ends()
        assert not draining.done()
        site.echo.gate.set()
        status, headers, _ = await busy.response()
        assert (status, headers["connection"]) == (200, "close")
        assert await draining


async def test_draining_answers_a_request_that_comes_within_the_quiet_time(site: Site) -> None:
    async with site.client() as client:
        client.send(GET.format("/first"))
        await client.response()
        draining = asyncio.create_task(site.listener.drain(quiet=5.0, timeout=10))
        await until(lambda: site.listener.closing)
        client.send(GET.format("/late"))
        status, headers, _ = await client.response()
        assert (status, headers["connection"]) == (200, "close")
        assert await draining


async def test_draining_gives_up_at_its_deadline(site: Site) -> None:
    async with site.client() as client:
        client.send(GET.format("/slow"))
        await until(lambda: "/slow" in site.echo.seen)
        assert not await site.listener.drain(quiet=0.0, timeout=0.1)


async def test_no_connection_is_lost_while_the_accepting_server_is_replaced(site: Site) -> None:
    async def ask(i: int) -> bytes:
        async with site.client() as client:
            client.send(GET.format(f"/{i}"))
            return (await client.response())[2]

    async def replace() -> None:
        for _ in range(20):
            await site.listener.serve(None)
            await asyncio.sleep(0.001)

    asking: Awaitable[list[bytes]] = asyncio.gather(*(ask(i) for i in range(300)))
    _, bodies = await asyncio.gather(replace(), asking)
    assert bodies == [f"GET /{i} ".encode() for i in range(300)]
