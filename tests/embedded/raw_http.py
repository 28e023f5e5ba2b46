"""HTTP/1.1 on bare asyncio streams over TLS: fast enough to flood with, blunt enough to send what no client would."""

import asyncio
import contextlib
import json
import ssl
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Reply:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self):
        return json.loads(self.body)


def trust(ca: Path, *, alpn=("http/1.1",)) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(ca))
    context.set_alpn_protocols(list(alpn))
    return context


def request(method, path, host, body=None, headers=()):
    content = b"" if body is None else json.dumps(body).encode()
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", f"Content-Length: {len(content)}"]
    lines += ["Content-Type: application/json"] * (body is not None)
    lines += [f"{name}: {value}" for name, value in headers]
    return "\r\n".join([*lines, "", ""]).encode() + content


class Connection:
    """One kept-alive connection; `await Connection.open(...)`."""

    def __init__(self, reader, writer):
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, port, sni, context, host="127.0.0.1"):
        return cls(*await asyncio.open_connection(host, port, ssl=context, server_hostname=sni))

    async def send(self, raw: bytes) -> Reply:
        self._writer.write(raw)
        return await self.read()

    async def flood(self, raw: bytes, count: int) -> list[int]:
        """The statuses of `count` equal requests, one after the other: Envoy ends a pipeline at the first refusal."""
        return [(await self.send(raw)).status for _ in range(count)]

    async def read(self) -> Reply:
        head = (await self._reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        status = int(head[0].split(" ")[1])
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
        if headers.get("transfer-encoding") == "chunked":
            return Reply(status, headers, await self._chunks())
        return Reply(status, headers, await self._reader.readexactly(int(headers.get("content-length", 0))))

    async def _chunks(self) -> bytes:
        body = b""
        while size := int(await self._reader.readline(), 16):
            body += await self._reader.readexactly(size)
            await self._reader.readexactly(2)
        await self._reader.readline()
        return body

    async def close(self):
        self._writer.close()
        with contextlib.suppress(OSError, ssl.SSLError):
            await self._writer.wait_closed()
