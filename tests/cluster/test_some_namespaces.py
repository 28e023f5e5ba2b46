"""`watchNamespaces`: the operator and the gateways serve those namespaces and have no rights in any other."""

from collections.abc import Iterator

import pytest

from tests.cluster.conftest import install
from tests.cluster.installation import GATEWAYS, SYSTEM, Installation, client, endpoint
from tests.cluster.test_least_privilege import rights

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

WATCHED, NEIGHBOUR, OTHER = "watched", "watched-too", "not-watched"


@pytest.fixture
def narrowed(installation: Installation) -> Iterator[Installation]:
    """The chart with two namespaces named; as it was afterwards."""
    for name in (WATCHED, NEIGHBOUR, OTHER):
        installation.namespace(name)
        for kind in ("ie", "ic"):
            installation.kubectl("delete", kind, "--all", "-n", name)
    try:
        install(installation.kubeconfig, installation.images, f"watchNamespaces={{{WATCHED},{NEIGHBOUR}}}")
        yield installation
    finally:
        install(installation.kubeconfig, installation.images)


async def test_an_endpoint_is_served_where_the_chart_says_and_nowhere_else(narrowed: Installation):
    for namespace in (WATCHED, OTHER):
        narrowed.apply(endpoint("one", namespace), client("bot", namespace, "one"))
    narrowed.ready("one", WATCHED)
    assert (await narrowed.caller("bot", "one", WATCHED).embed("hello")).status_code == 200
    untouched = narrowed.status("one", OTHER)
    assert (untouched["observedGeneration"], untouched["conditions"]) == (0, [])
    assert narrowed.get("secret", "bot-key", OTHER) is None

    for account, of in (("nightlatch-operator", SYSTEM), ("nightlatch-gateway", GATEWAYS)):
        assert rights(narrowed, account, of, WATCHED), f"{account} may read there"
        assert rights(narrowed, account, of, OTHER) == {}, f"{account} has no rights there"

    lets_in_by_label(narrowed)


def lets_in_by_label(installation: Installation) -> None:
    """The labels of namespaces are known there, too: the operator reads those that it serves again and again."""
    by_label = {"from": "Selector", "selector": {"matchLabels": {"team": "ml"}}}
    installation.apply(endpoint("two", WATCHED, access={"apiKey": {}, "allowedNamespaces": by_label}))
    stranger = client("stranger", NEIGHBOUR)
    stranger["spec"]["endpoints"] = [{"name": "two", "namespace": WATCHED}]
    installation.apply(stranger)
    waiting = f"--for=condition=EndpointsGranted={{}} ic/stranger -n {NEIGHBOUR} --timeout=60s"
    for label, granted in (("team=ml", "true"), ("team-", "false")):
        installation.kubectl("label", "namespace", NEIGHBOUR, label)
        installation.kubectl("wait", *waiting.format(granted).split())


def test_widening_it_again_serves_the_rest(installation: Installation):
    """What was applied while nobody watched is found."""
    installation.namespace(OTHER)
    installation.apply(endpoint("one", OTHER), client("bot", OTHER, "one"))
    installation.ready("one", OTHER)
