"""The programs of docs/how-to/get-tokens.md run as they are there; only nothing is sent."""

import re
import ssl
from pathlib import Path
from typing import Any

import httpx
import pytest

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "get-tokens.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def test_the_programs_run_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[httpx.Request] = []

    def send(_, request: httpx.Request, **options) -> httpx.Response:
        sent.append(request)
        return httpx.Response(200, request=request)

    monkeypatch.setattr(httpx.Client, "send", send)
    # The files of the page are nowhere.
    system = ssl.create_default_context()
    monkeypatch.setattr("ssl.create_default_context", lambda *_, **__: system)
    names: dict[str, Any] = {}
    for block in BLOCKS:
        exec(compile(block, PAGE.name, "exec"), names)  # noqa: S102 - text of this repository
    assert len(BLOCKS) == 3
    assert str(sent[0].url) == "https://minilm.search.svc/v1/embeddings"
    assert type(names["client"].auth).__name__ == "HttpxAuth"
    assert names["session"].auth._tokens is names["tokens"]
    assert str(names["ai"].base_url) == "https://minilm.search.svc/v1/"


def test_every_error_is_one_that_the_package_raises() -> None:
    import nightlatch_client

    named = set(re.findall(r"`(\w+Error)`", PAGE.read_text()))
    assert named
    assert named <= set(nightlatch_client.__all__)
