"""What an owner may say about the pods of an endpoint, and what the administrator must allow first."""

import pytest

from tests.cluster.installation import Installation, client, endpoint, eventually, until

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

NAMESPACE = "pods-as-asked"


def deployment(installation: Installation, name: str) -> dict:
    found = installation.get("deployment", name, NAMESPACE)
    return found["spec"]["template"] if found else {}


async def test_pods_carry_what_their_owner_adds_and_lose_what_the_owner_removes(installation: Installation):
    installation.namespace(NAMESPACE)
    asked = {
        "podLabels": {"example.com/queue": "gpu"},
        "podAnnotations": {"example.com/scrape": "true"},
        "topologySpread": [{"topologyKey": "topology.kubernetes.io/zone"}],
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
    }
    installation.apply(endpoint("one", NAMESPACE, idle_after="10m", runtime=asked), client("bot", NAMESPACE, "one"))
    installation.ready("one", NAMESPACE)
    assert (await installation.caller("bot", "one", NAMESPACE).embed("hello")).status_code == 200

    (pod,) = installation.pods("one", NAMESPACE)
    assert pod["metadata"]["labels"]["example.com/queue"] == "gpu"
    assert pod["metadata"]["annotations"]["example.com/scrape"] == "true"
    spread = [each["topologyKey"] for each in pod["spec"]["topologySpreadConstraints"]]
    assert spread == ["topology.kubernetes.io/zone"]
    assert "nvidia.com/gpu" in [each.get("key") for each in pod["spec"]["tolerations"]]

    installation.apply(endpoint("one", NAMESPACE, idle_after="10m"))
    await eventually(
        lambda: "example.com/queue" not in deployment(installation, "one")["metadata"]["labels"], "the label goes"
    )
    made = deployment(installation, "one")
    assert "example.com/scrape" not in made["metadata"].get("annotations", {})
    assert made["metadata"]["labels"]["nightlatch.dev/endpoint"] == "one"
    spread = [each["topologyKey"] for each in made["spec"]["topologySpreadConstraints"]]
    assert spread == ["kubernetes.io/hostname"]


@pytest.mark.parametrize(
    ("name", "runtime", "setting"),
    [
        ("priority", {"priorityClassName": "system-cluster-critical"}, "modelServer.allowedPriorityClasses"),
        ("class", {"runtimeClassName": "kata"}, "modelServer.allowedRuntimeClasses"),
        ("taint", {"tolerations": [{"operator": "Exists"}]}, "modelServer.allowedTolerations"),
    ],
)
def test_what_the_administrator_did_not_allow_is_named(
    installation: Installation, name: str, runtime: dict, setting: str
):
    installation.namespace(NAMESPACE)
    installation.apply(endpoint(name, NAMESPACE, runtime=runtime))

    def accepted() -> dict:
        found = installation.status(name, NAMESPACE).get("conditions", [])
        return next((each for each in found if each["type"] == "Accepted" and each["status"] == "False"), {})

    until(accepted, "Accepted=False")
    assert accepted()["reason"] == "NotAllowedByAdministrator"
    assert setting in accepted()["message"]
    assert installation.get("deployment", name, NAMESPACE) is None
