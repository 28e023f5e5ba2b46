"""The keys of ServiceAccount tokens come from the API server, and what it refuses is told in words that help."""

import pytest
from aiohttp import web

from nightlatch.api.conditions import Reason
from nightlatch.controller.cluster.service_account_keys import JWKS_PATH, ServiceAccountKeys
from nightlatch.controller.issuer_keys.provider import LARGEST, ProviderError
from nightlatch.planning.issuer.key_source import DISCOVERY_PATH, KeySource, Published
from tests.unit.kube.stand_in_api import StandInApi, status

ISSUER = "https://kubernetes.default.svc.cluster.local"
JWKS = b'{"keys": []}'


class Cluster:
    """Answers as an API server does. `answers`: what it says instead, by path."""

    def __init__(self, **answers):
        self.answers = {
            DISCOVERY_PATH: web.json_response({"issuer": ISSUER, "jwks_uri": "https://10.0.0.1:6443/openid/v1/jwks"}),
            JWKS_PATH: web.Response(body=JWKS, content_type="application/jwk-set+json"),
            **answers,
        }
        self.api = StandInApi(self._answer)

    def _answer(self, request):
        # As the API server, which has the set in this type alone.
        if request.path == JWKS_PATH and "application/jwk-set+json" not in request.headers["accept"]:
            return status(406)
        return self.answers[request.path]

    async def fetch(self, issuer=None):
        async with self.api.serving() as connection:
            return await ServiceAccountKeys(connection).fetch(KeySource(DISCOVERY_PATH, issuer, of_cluster=True))

    async def refusal(self, issuer=None):
        with pytest.raises(ProviderError) as caught:
            await self.fetch(issuer)
        return caught.value.finding


async def test_the_keys_and_the_name_of_the_cluster_are_read_from_its_api_server_and_nowhere_else():
    cluster = Cluster()
    assert await cluster.fetch() == Published(JWKS, ISSUER)
    assert await Cluster().fetch(ISSUER) == Published(JWKS, ISSUER)
    assert [request.path for request in cluster.api.requests] == [DISCOVERY_PATH, JWKS_PATH]


async def test_a_cluster_of_another_name_is_refused_and_named():
    finding = await Cluster().refusal("https://elsewhere.example")
    assert finding.reason == Reason.ISSUER_MISMATCH
    assert ISSUER in finding.message


@pytest.mark.parametrize("path", [DISCOVERY_PATH, JWKS_PATH])
@pytest.mark.parametrize(
    ("answer", "reason", "says"),
    [
        (lambda: status(403, "Forbidden"), Reason.CLUSTER_KEYS_FORBIDDEN, "system:service-account-issuer-discovery"),
        (lambda: status(404, "NotFound"), Reason.PROVIDER_UNREACHABLE, "--service-account-issuer"),
        (lambda: status(503, "ServiceUnavailable"), Reason.PROVIDER_UNREACHABLE, "answered 503"),
        (lambda: web.Response(body=b"x" * (LARGEST + 1)), Reason.ANSWER_REFUSED, "too large"),
    ],
)
async def test_what_the_api_server_refuses_is_told_with_what_to_do(path, answer, reason, says):
    finding = await Cluster(**{path: answer()}).refusal()
    assert finding.reason == reason
    assert says in finding.message


@pytest.mark.parametrize("body", [b"<html>", b'{"issuer": 7}', b'{"issuer": "kubernetes/serviceaccount"}', b"{}"])
async def test_a_cluster_without_an_issuer_that_is_a_url_is_refused(body):
    finding = await Cluster(**{DISCOVERY_PATH: web.Response(body=body)}).refusal()
    assert finding.reason == Reason.ANSWER_REFUSED
