"""cert-manager in a cluster: it may come later and go again, and what is not ours is left alone."""

from dataclasses import replace
from typing import Any

import pytest
from aiohttp import web

from nightlatch.informer import ExpiredError
from nightlatch.planning.objects.certificate import certificate
from nightlatch.planning.plan import DeleteCertificate
from nightlatch.workloads.kubernetes.certificates import CertificatesOf, CertManager
from nightlatch.workloads.kubernetes.drift import stamped
from nightlatch.workloads.protocol import CertificateError
from tests.unit.kube.stand_in_api import StandInApi, listing, status
from tests.unit.planning.test_certificate_object import made


def there(**changes: Any) -> dict[str, Any]:
    found = stamped(certificate(made()))
    found["metadata"] |= {"uid": "uid-cert", "resourceVersion": "7", "generation": 3}
    return found | changes


def answers(*given: Any):
    """Each request gets the next answer; what was sent is kept."""
    left, sent = list(given), []

    async def answer(request: web.Request) -> web.Response:
        body = await request.json() if request.can_read_body else None
        sent.append((request.method, request.path, body))
        found = left.pop(0)
        return found if isinstance(found, web.Response) else web.json_response(found)

    return answer, sent


class Scripted(StandInApi):
    """Answers that wait for the body."""

    def __init__(self, *given: Any) -> None:
        super().__init__(lambda _: None)
        self.answer, self.sent = answers(*given)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        return await self.answer(request)


async def test_without_the_kind_there_are_none_and_it_is_looked_for_again():
    api = StandInApi(lambda _: status(404, "NotFound"), lambda _: listing(5, {"metadata": {"name": "a"}}))
    async with api.serving() as server:
        source = CertificatesOf(server, None, pause_s=0.01)
        assert (await source.list()).items == ()
        assert not source.available
        with pytest.raises(ExpiredError):
            await anext(source.watch(""))
        (found,) = (await source.list()).items
        assert source.available
        assert (found["kind"], found["apiVersion"]) == ("Certificate", "cert-manager.io/v1")
    assert api.requests[0].path == "/apis/cert-manager.io/v1/certificates"
    assert api.requests[0].query["labelSelector"] == "nightlatch.dev/role"


async def test_one_namespace_with_it_is_enough():
    async with StandInApi(lambda _: listing(5)).serving() as server:
        manager = CertManager(server, ("search", "ids"))
        assert not manager.available
        await manager.sources[1].list()
        assert manager.available


async def test_a_certificate_is_applied_once():
    wanted = made()
    api = Scripted(status(404, "NotFound"), there(), there())
    async with api.serving() as server:
        await CertManager(server).ensure(wanted)
        await CertManager(server).ensure(wanted)
    path = "/apis/cert-manager.io/v1/namespaces/search/certificates/bot-certificate"
    assert [(method, where) for method, where, _ in api.sent] == [("GET", path), ("PATCH", path), ("GET", path)]
    assert api.sent[1][2] == stamped(certificate(wanted))


async def test_a_renewal_is_asked_for_before_it_is_noted_and_a_refusal_is_not_noted():
    wanted = replace(made(), renew=True, annotations={"nightlatch.dev/renewed": "monday"})
    api = Scripted(there(), there(), there())
    async with api.serving() as server:
        await CertManager(server).ensure(wanted)
    assert [(method, where.rpartition("/")[2]) for method, where, _ in api.sent] == [
        ("GET", "bot-certificate"),
        ("PATCH", "status"),
        ("PATCH", "bot-certificate"),
    ]
    (condition,) = api.sent[1][2]["status"]["conditions"]
    assert (condition["type"], condition["status"], condition["observedGeneration"]) == ("Issuing", "True", 3)
    assert api.sent[2][2]["metadata"]["annotations"]["nightlatch.dev/renewed"] == "monday"

    refused = Scripted(there(), status(403, "Forbidden", "no"))
    async with refused.serving() as server:
        with pytest.raises(CertificateError, match="no"):
            await CertManager(server).ensure(wanted)
    assert len(refused.sent) == 2


async def test_a_plan_that_does_not_know_of_the_last_one_asks_for_no_second_renewal():
    wanted = replace(made(), renew=True, annotations={"nightlatch.dev/renewed": "monday"})
    noted = stamped(certificate(wanted))
    noted["metadata"] |= {"uid": "uid-cert", "resourceVersion": "9", "generation": 3}
    api = Scripted(there(), there(), noted, noted)
    async with api.serving() as server:
        for _ in range(2):
            await CertManager(server).ensure(wanted)
    assert [method for method, _, _ in api.sent] == ["GET", "PATCH", "PATCH", "GET"]


async def test_a_certificate_of_somebody_else_is_not_touched():
    foreign = there()
    foreign["metadata"]["ownerReferences"] = [{"uid": "other"}]
    api = Scripted(foreign)
    async with api.serving() as server:
        with pytest.raises(CertificateError, match="is not ours"):
            await CertManager(server).ensure(made())
    assert len(api.sent) == 1


async def test_what_the_webhook_says_is_said():
    api = Scripted(status(404, "NotFound"), status(422, "Invalid", "spec.duration: must be at least 1h"))
    async with api.serving() as server:
        with pytest.raises(CertificateError, match="must be at least 1h"):
            await CertManager(server).ensure(made())


@pytest.mark.parametrize(("code", "fails"), [(200, False), (404, False), (409, False), (403, True)])
async def test_exactly_one_is_deleted(code: int, fails: bool):
    gone = DeleteCertificate(made().target.key, "uid-cert")
    api = Scripted(status(code, "", "no"))
    async with api.serving() as server:
        if fails:
            with pytest.raises(CertificateError):
                await CertManager(server).delete(gone)
        else:
            await CertManager(server).delete(gone)
    assert api.sent[0][2]["preconditions"] == {"uid": "uid-cert"}
