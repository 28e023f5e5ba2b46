"""Only so many endpoints may ask for certificates: each has a filter chain. Older ones come first."""

from dataclasses import replace

import pytest

from nightlatch.api.conditions import Reason
from nightlatch.planning.endpoint.chains import MAX_CHAINS, is_older, too_many_chains
from nightlatch.planning.endpoint.plan import plan_endpoint
from tests.unit.planning.scene import NOW, endpoint, issued

MTLS = {"access": {"mtls": {}}}


@pytest.mark.parametrize(
    ("access", "before", "reason"),
    [
        ({"mtls": {}}, MAX_CHAINS - 1, None),
        ({"mtls": {}}, MAX_CHAINS, Reason.TOO_MANY_ENDPOINTS_WITH_CERTIFICATES),
        ({"mtls": {}, "apiKey": {}}, MAX_CHAINS, Reason.TOO_MANY_ENDPOINTS_WITH_CERTIFICATES),
        ({"apiKey": {}}, MAX_CHAINS, None),
    ],
)
def test_the_limit_counts_for_whoever_asks_for_certificates(access, before, reason):
    rejection = too_many_chains(endpoint(access=access), before)
    assert (rejection and rejection.reason) == reason


def test_the_condition_says_what_to_do_and_nothing_of_the_endpoint_is_made():
    subject = endpoint(**MTLS)
    planned = plan_endpoint(subject, replace(issued(subject), chains_before=MAX_CHAINS), NOW)
    assert planned.status
    accepted = next(each for each in planned.status.conditions if each.type == "Accepted")
    assert (accepted.status, accepted.reason) == ("False", "TooManyEndpointsWithCertificates")
    assert "use access.apiKey or access.jwt here" in accepted.message
    assert planned.scaling is None
    fits = plan_endpoint(subject, replace(issued(subject), chains_before=MAX_CHAINS - 1), NOW)
    assert fits.scaling is not None


def test_of_two_the_older_comes_first_and_of_the_same_second_the_one_whose_name_does():
    first, second = endpoint(name="a"), endpoint(name="b")
    younger = endpoint(name="a", created="2026-01-01T00:00:01Z")
    assert is_older(first, second)
    assert not is_older(second, first)
    assert is_older(second, younger)
