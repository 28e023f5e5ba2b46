"""`allowedNamespaces`: who lets which namespace in, and how soon a label that goes takes access away."""

import time

import pytest

from tests.cluster.installation import Caller, Installation, client, endpoint, eventually, until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

SERVED, TENANT = "allowed-served", "allowed-tenant"
BY_LABEL = {"from": "Selector", "selector": {"matchLabels": {"team": "ml"}}}


def tenant(name: str, of: str) -> dict:
    """A client in the tenant's namespace of an endpoint elsewhere."""
    made = client(name, TENANT)
    made["spec"]["endpoints"] = [{"name": of, "namespace": SERVED, "permissions": ["infer"]}]
    return made


def granted(installation: Installation, name: str) -> tuple[str, str]:
    """Status and reason."""
    found = (installation.get("ic", name, TENANT) or {}).get("status", {}).get("conditions", [])
    return next(((each["status"], each["reason"]) for each in found if each["type"] == "EndpointsGranted"), ("", ""))


def caller(installation: Installation, name: str, of: str) -> Caller:
    installation.kubectl("wait", "--for=condition=Ready", f"ic/{name}", "-n", TENANT, "--timeout=60s")
    held = installation.credentials(f"{name}-key", TENANT)
    return Caller(installation.gateway, f"{of}.{SERVED}.svc", of, held["api-key"], held["ca.crt"])


async def test_a_namespaces_label_lets_its_clients_in_and_its_end_refuses_them_in_seconds(installation: Installation):
    for name in (SERVED, TENANT):
        installation.namespace(name)
    access = {"apiKey": {}, "allowedNamespaces": BY_LABEL}
    installation.apply(endpoint("labelled", SERVED, idle_after="10m", access=access), tenant("bot", "labelled"))
    installation.ready("labelled", SERVED)
    refused = ("False", "NamespaceNotAllowed")
    until(lambda: granted(installation, "bot") == refused, "a namespace without the label is refused")

    installation.kubectl("label", "namespace", TENANT, "team=ml")
    allowed = caller(installation, "bot", "labelled")
    assert (await allowed.embed("hello")).status_code == 200

    installation.kubectl("label", "namespace", TENANT, "team-")
    started = time.monotonic()
    while (await allowed.embed("hello")).status_code != 401:
        assert time.monotonic() - started < 5.0
    await eventually(lambda: granted(installation, "bot") == refused, "the client is told")


@pytest.mark.parametrize(
    ("name", "allowed", "expected"),
    [
        ("same", {"from": "Same"}, ("False", "NamespaceNotAllowed")),
        ("all", {"from": "All"}, ("True", "Granted")),
        ("named", {"from": "Names", "names": [TENANT]}, ("True", "Granted")),
        ("not-named", {"from": "Names", "names": ["elsewhere"]}, ("False", "NamespaceNotAllowed")),
    ],
)
def test_the_other_ways_to_say_who_is_let_in(installation: Installation, name: str, allowed: dict, expected: tuple):
    for each in (SERVED, TENANT):
        installation.namespace(each)
    access = {"apiKey": {}, "allowedNamespaces": allowed}
    installation.apply(endpoint(name, SERVED, access=access), tenant(f"of-{name}", name))
    until(lambda: granted(installation, f"of-{name}") == expected, f"{name}: {expected}")
