"""Callers of a gateway whose tokens come from `nightlatch_client`: tasks and threads, httpx and requests."""

import asyncio
import base64
import json
import ssl
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import requests
from requests.adapters import HTTPAdapter

from nightlatch_client import HttpxAuth, Tokens
from nightlatch_client.requests_auth import RequestsAuth
from tests.embedded.tokened_up import HEALTH, TokenedUp

_EVERY_S = 0.05


def claims(token: str) -> dict[str, Any]:
    """What a token says, whoever signed it."""
    body = token.split(".")[1]
    found: dict[str, Any] = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
    return found


class _ByName(HTTPAdapter):
    """Connects to loopback, and expects the certificate of another name there."""

    def __init__(self, name: str, context: ssl.SSLContext) -> None:
        self._options = {"server_hostname": name, "assert_hostname": name, "ssl_context": context}
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options, **self._options)


class Callers:
    """answers: how often each came, by status or by the name of an exception. used: the tokens that were presented."""

    def __init__(self, world: TokenedUp, tokens: Tokens) -> None:
        self.answers: Counter[int | str] = Counter()
        self.used: set[str] = set()
        self._tokens = tokens
        self._host = world.up.host("tokens")
        self._context = ssl.create_default_context(cafile=world.up.files("bot") / "ca.crt")
        self._url = f"https://127.0.0.1:{world.up.ports[0]}{HEALTH}"
        self._ended = threading.Event()

    async def call_for(self, seconds: float) -> None:
        """Two tasks, a thread with httpx and a thread with requests call without a pause that anybody would notice."""
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.to_thread(self._by_httpx))
            group.create_task(asyncio.to_thread(self._by_requests))
            for _ in range(2):
                group.create_task(self._by_asyncio())
            await asyncio.sleep(seconds)
            self._ended.set()

    def _note(self, answer: Any, request: Any) -> None:
        self.answers[answer.status_code] += 1
        self.used.add(request.headers["authorization"])

    @property
    def _options(self) -> dict[str, Any]:
        return {"headers": {"host": self._host}, "extensions": {"sni_hostname": self._host.partition(":")[0]}}

    async def _by_asyncio(self) -> None:
        async with httpx.AsyncClient(auth=HttpxAuth(self._tokens), verify=self._context, timeout=30) as http:
            while not self._ended.is_set():
                try:
                    answer = await http.get(self._url, **self._options)
                    self._note(answer, answer.request)
                except Exception as error:  # noqa: BLE001 - counted
                    self.answers[repr(error)] += 1
                await asyncio.sleep(_EVERY_S)

    def _by_httpx(self) -> None:
        with httpx.Client(auth=HttpxAuth(self._tokens), verify=self._context, timeout=30) as http:
            while not self._ended.is_set():
                try:
                    answer = http.get(self._url, **self._options)
                    self._note(answer, answer.request)
                except Exception as error:  # noqa: BLE001 - counted
                    self.answers[repr(error)] += 1
                time.sleep(_EVERY_S)

    def _by_requests(self) -> None:
        with requests.Session() as http:
            http.mount("https://", _ByName(self._host.partition(":")[0], self._context))
            http.auth = RequestsAuth(self._tokens)
            while not self._ended.is_set():
                try:
                    answer = http.get(self._url, headers={"host": self._host}, timeout=30)
                    self._note(answer, answer.request)
                except Exception as error:  # noqa: BLE001 - counted
                    self.answers[repr(error)] += 1
                time.sleep(_EVERY_S)


def files_of(presented: Any, folder: Path) -> tuple[Path, Path]:
    """A certificate and its key, as files."""
    chain, key = folder / "caller.crt", folder / "caller.key"
    chain.write_text(presented.chain)
    key.write_text(presented.key)
    return chain, key
