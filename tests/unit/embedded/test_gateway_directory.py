"""The gateways of one machine: each is a member from the start, and has an address once it announced one."""

import asyncio
import contextlib
import json

import pytest

from nightlatch.embedded.gateway_directory import FileGatewayDirectory


@pytest.fixture
async def reported(tmp_path):
    """`next()` gives the next set of members of two gateways, a and b, whose folders are there."""
    paths = {name: tmp_path / name / "announce.json" for name in "ab"}
    for path in paths.values():
        path.parent.mkdir()
    async with contextlib.aclosing(FileGatewayDirectory(paths).members()) as members, asyncio.timeout(30):
        yield members


def announce(tmp_path, name, content):
    temporary = tmp_path / name / ".new"
    temporary.write_text(content)
    temporary.replace(tmp_path / name / "announce.json")


def at(port):
    return json.dumps({"report": {"host": "127.0.0.1", "port": port}, "pid": 7})


async def test_a_gateway_that_has_not_announced_itself_counts(reported):
    assert await anext(reported) == {"a": None, "b": None}


async def test_a_gateway_that_comes_back_elsewhere_is_found_there(reported, tmp_path):
    await anext(reported)
    announce(tmp_path, "a", at(1))
    assert await anext(reported) == {"a": ("127.0.0.1", 1), "b": None}
    (tmp_path / "a" / "announce.json").unlink()
    assert await anext(reported) == {"a": None, "b": None}
    announce(tmp_path, "a", at(2))
    assert await anext(reported) == {"a": ("127.0.0.1", 2), "b": None}


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"report": {"host": "x", "port": "no"}}', '{"report": null}'])
async def test_an_announcement_that_makes_no_sense_is_no_address(tmp_path, reported, content):
    announce(tmp_path, "b", content)
    announce(tmp_path, "a", at(1))
    assert await anext(reported) == {"a": ("127.0.0.1", 1), "b": None}
