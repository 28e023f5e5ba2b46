"""The programs of docs/how-to/use-a-rotating-key.md run as they are, and follow their key as a kubelet changes it.

A kubelet shows a Secret as links to a directory that it replaces at once: `api-key -> ..data/api-key`.
"""

import asyncio
import contextlib
import os
import re
import shutil
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from tests.embedded.running import ENVIRONMENT, ROOT, Up, manifest

PAGE = (ROOT / "docs" / "how-to" / "use-a-rotating-key.md").read_text()
PROGRAMS = {
    "shell": ("sh", "embed()", "caller.sh", ["sh"]),
    "Python": ("python", "httpx.Auth", "caller.py", [sys.executable]),
    "openai": ("python", "OpenAI(", "caller.py", [sys.executable]),
    "Go": ("go", "package main", "caller.go", ["go", "run"]),
}


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("logs")


@pytest.fixture(scope="module")
async def up(lasting: Callable[..., Up], tiny: Path, logs: Path) -> Up:
    up = lasting(manifest("one", model=tiny, idle_after="10m", clients=2, access_logs=logs))
    await up.started()
    await up.ready("one")
    await up.until("the other client's key", (up.files("one-bot-1") / "api-key").exists)
    return up


class Mounted:
    """A Secret as a kubelet mounts it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._number = 0

    def show(self, secret: Path) -> None:
        """What is in this directory, from now on."""
        self._number += 1
        version = self.folder / f"..version-{self._number}"
        shutil.copytree(secret, version)
        link = self.folder / "..data_tmp"
        link.symlink_to(version.name)
        link.replace(self.folder / "..data")
        for file in version.iterdir():
            name = self.folder / file.name
            if not name.is_symlink():
                name.symlink_to(f"..data/{file.name}")


@contextlib.asynccontextmanager
async def proxy() -> AsyncIterator[str]:
    """A proxy that takes every host for this machine: not every system resolves names under localhost."""
    async with await asyncio.start_server(_tunnel, "127.0.0.1", 0) as server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def _tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    port = re.match(r"CONNECT [^:]+:(\d+) ", head)
    assert port
    there, back = await asyncio.open_connection("127.0.0.1", int(port[1]))
    writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
    await asyncio.gather(_copy(reader, back), _copy(there, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


def program(language: str, mark: str) -> str:
    """The block of the page in this language that has this text in it."""
    (found,) = [block for block in re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL) if mark in block]
    return found


def callers(logs: Path) -> list[str]:
    """Who called the model server, call by call."""
    log = logs / "one.log"
    return re.findall(r"default/one-bot(?:-1)?", log.read_text()) if log.exists() else []


@pytest.mark.parametrize("name", PROGRAMS)
async def test_a_documented_program_uses_the_key_that_is_mounted_now(up: Up, logs: Path, tmp_path: Path, name: str):
    language, mark, file, command = PROGRAMS[name]
    if not shutil.which(command[0]):
        pytest.skip(f"there is no {command[0]}")
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    mounted = Mounted(credentials)
    mounted.show(up.files("one-bot"))
    text = program(language, mark).replace("/credentials", str(credentials)).replace("minilm", "one")
    (tmp_path / file).write_text(text)
    before = len(callers(logs))
    async with proxy() as address:
        environment = {**os.environ, **ENVIRONMENT, "HTTPS_PROXY": address, "https_proxy": address}
        process = await asyncio.create_subprocess_exec(
            *command,
            str(tmp_path / file),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env=environment,
        )
        for secret in ("one-bot", "one-bot-1"):
            mounted.show(up.files(secret))
            process.stdin.write(b"A cat sleeps.\n")
            assert await asyncio.wait_for(process.stdout.readline(), 120)
        process.stdin.close()
        assert await process.wait() == 0
    await up.until("both lines", lambda: len(callers(logs)) >= before + 2)
    assert callers(logs)[before:] == ["default/one-bot", "default/one-bot-1"]
