"""An API server that answers what a test scripts: for faults that a real one cannot be made to show."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import orjson
from aiohttp import web
from kubernetes.aio.client import ApiClient, Configuration

from nightlatch.kube.client import ApiServer

Answer = Callable[[web.Request], Any]


def pod(name: str, version: int, namespace: str = "search") -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": namespace, "resourceVersion": str(version)}}


def listing(version: int, *items: dict[str, Any]) -> web.Response:
    return web.json_response({"metadata": {"resourceVersion": str(version)}, "items": list(items)})


def status(code: int, reason: str = "", message: str = "", **details: Any) -> web.Response:
    body = {"kind": "Status", "code": code, "reason": reason, "message": message, "details": details}
    return web.json_response(body, status=code)


def event(kind: str, obj: dict[str, Any]) -> bytes:
    return orjson.dumps({"type": kind, "object": obj}) + b"\n"


class Watch:
    """One watch request, as the test feeds it."""

    def __init__(self, since: str) -> None:
        self.since = since
        self._lines: asyncio.Queue[bytes | None] = asyncio.Queue()

    def send(self, *lines: bytes) -> None:
        for line in lines:
            self._lines.put_nowait(line)

    def end(self) -> None:
        """As a server ends a watch whose time is over."""
        self._lines.put_nowait(None)

    async def answer(self, request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while line := await self._lines.get():
            await response.write(line)
        return response


class StandInApi:
    """`lists` are answered in turn, the last one for ever; `watches` are those opened so far."""

    def __init__(self, *lists: Answer) -> None:
        self.lists = list(lists)
        self.watches: list[Watch] = []
        self.requests: list[web.Request] = []

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        if request.query.get("watch"):
            self.watches.append(Watch(request.query["resourceVersion"]))
            return await self.watches[-1].answer(request)
        answer = self.lists.pop(0) if len(self.lists) > 1 else self.lists[0]
        found: web.StreamResponse = answer(request)
        return found

    @contextlib.asynccontextmanager
    async def serving(self, **options: Any) -> AsyncIterator[ApiServer]:
        """A connection to it, with `options` for the ApiServer."""
        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", self._answer)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        configuration = Configuration(host=f"http://127.0.0.1:{runner.addresses[0][1]}")
        try:
            async with ApiServer(ApiClient(configuration), **options) as api:
                yield api
        finally:
            for watch in self.watches:
                watch.end()
            await runner.cleanup()
