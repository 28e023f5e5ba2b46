"""Whatever an API server or the way to it does wrong is one kind of error, which says whether to try again."""

import asyncio

import pytest
from aiohttp import web

from nightlatch.kube.client import connect
from nightlatch.kube.errors import ApiServerError
from tests.unit.kube.stand_in_api import StandInApi, event, pod, status


@pytest.fixture(scope="module")
async def served():
    api = StandInApi()
    async with api.serving() as connection:
        yield api, connection


@pytest.fixture
def fault(served):
    """`await fault(answer)`: the error that a request for it ends with."""

    async def fault(answer, method="GET"):
        api, connection = served
        api.lists, api.requests = [answer], []
        with pytest.raises(ApiServerError) as caught:
            await connection.request(method, "/api/v1/pods")
        # Where a connection breaks off, aiohttp may ask again what changes nothing.
        asked_once = len(api.requests) == 1 or (method, caught.value.code) == ("GET", 0)
        assert asked_once, "retried behind the caller's back"
        return caught.value

    return fault


@pytest.mark.parametrize("code", [401, 403, 404, 409, 410, 422])
async def test_what_would_be_refused_again_is_not_transient(fault, code):
    error = await fault(lambda _: status(code, "Reason", "why"))
    assert (error.code, error.reason, str(error), error.transient) == (code, "Reason", "why", False)


@pytest.mark.parametrize("code", [429, 500, 502, 503, 504])
@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "DELETE"])
async def test_what_may_succeed_later_is_transient(fault, code, method):
    assert (await fault(lambda _: status(code, "Reason", "why"), method=method)).transient


async def test_the_fields_that_were_refused_are_named(fault):
    causes = [{"field": "spec.model", "message": "two sources"}, {}]
    error = await fault(lambda _: status(422, "Invalid", "invalid", causes=causes))
    assert error.causes == (("spec.model", "two sources"), ("", ""))


async def test_a_proxy_that_answers_in_html_is_quoted_in_short(fault):
    error = await fault(lambda _: web.Response(status=502, text="<html>" + "x" * 10_000))
    assert error.transient
    assert str(error).startswith("<html>")
    assert len(str(error)) <= 200


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH"])
async def test_a_connection_that_breaks_off_is_no_answer(fault, method):
    def break_off(request):
        request.transport.abort()
        return web.Response()

    error = await fault(break_off, method=method)
    assert (error.code, error.reason, error.transient) == (0, "Unavailable", True)


async def test_nobody_there_is_no_answer():
    async with StandInApi().serving() as connection:
        pass
    with pytest.raises(ApiServerError) as caught:
        await connection.request("GET", "/api/v1/pods")
    assert (caught.value.code, caught.value.transient) == (0, True)


async def watched(api, lines):
    """What a watch gives, until it ends or raises."""
    async with api.serving() as connection:
        stream = connection.watch("/api/v1/pods", query={"resourceVersion": "1"})
        first = asyncio.ensure_future(anext(stream))
        while not api.watches:
            await asyncio.sleep(0.001)
        api.watches[0].send(*lines)
        api.watches[0].end()
        return [await first, *[each async for each in stream]]


async def test_a_watch_gives_events_until_the_server_ends_it():
    first, second = event("ADDED", pod("a", 2)), event("DELETED", pod("a", 3))
    # An event may come in pieces.
    got = await watched(StandInApi(), [first[:7], first[7:], second])
    assert [each["type"] for each in got] == ["ADDED", "DELETED"]


async def test_an_error_within_a_watch_is_raised_with_its_code():
    gone = {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}
    with pytest.raises(ApiServerError) as caught:
        await watched(StandInApi(), [event("ADDED", pod("a", 2)), event("ERROR", gone)])
    assert (caught.value.code, caught.value.reason, caught.value.transient) == (410, "Expired", False)


async def test_without_a_kubeconfig_what_is_missing_is_said(tmp_path):
    with pytest.raises(ApiServerError, match="cannot load Kubernetes credentials"):
        await connect(str(tmp_path / "none"))
