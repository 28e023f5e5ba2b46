"""When an object in the cluster counts as what we applied."""

import copy

import pytest

from nightlatch.api.names import ANNOTATION_APPLIED
from nightlatch.workloads.kubernetes.drift import is_as_applied, stamped

WANTED = {
    "apiVersion": "networking.k8s.io/v1",
    "kind": "NetworkPolicy",
    "metadata": {"name": "minilm", "labels": {"a": "b"}},
    "spec": {
        "podSelector": {"matchLabels": {"a": "b"}},
        "ingress": [{"ports": [{"port": 8443, "protocol": "TCP"}]}],
        "egress": [],
    },
}


@pytest.fixture
def wanted():
    return stamped(WANTED)


@pytest.fixture
def found(wanted):
    """As an API server keeps it: with its own fields and defaults, without what is empty."""
    there = copy.deepcopy(wanted)
    there["metadata"] |= {"uid": "1", "resourceVersion": "7"}
    there["metadata"]["labels"]["added"] = "by somebody"
    del there["spec"]["egress"]
    return there


def test_defaults_and_other_peoples_fields_are_no_drift(wanted, found):
    assert is_as_applied(wanted, found)


@pytest.mark.parametrize(
    "change",
    [
        lambda found: found["metadata"]["labels"].pop("a"),
        lambda found: found["spec"]["podSelector"]["matchLabels"].update(a="c"),
        lambda found: found["spec"]["ingress"][0]["ports"][0].update(port=1),
        lambda found: found["spec"]["ingress"].append({}),
        lambda found: found["spec"]["ingress"].clear(),
        lambda found: found["spec"]["ingress"][0]["ports"][0].update(endPort=65535),
        lambda found: found["spec"]["podSelector"].update(matchExpressions=[{"key": "x", "operator": "Exists"}]),
        lambda found: found["spec"]["podSelector"]["matchLabels"].update(more="narrow"),
        lambda found: found["spec"].update(egress=[{}]),
        lambda found: found.pop("spec"),
        lambda found: found.update(spec=None),
    ],
)
def test_what_somebody_changed_is_drift(wanted, found, change):
    change(found)
    assert not is_as_applied(wanted, found)


@pytest.mark.parametrize(("ours", "theirs"), [("0.5", "500m"), (1, "1"), ("1024Mi", "1Gi"), ("", None)])
def test_the_form_that_the_api_server_keeps_a_value_in_is_no_drift(ours, theirs):
    wanted = stamped({"metadata": {"name": "x"}, "spec": {"value": ours}})
    assert is_as_applied(wanted, {**wanted, "spec": {"value": theirs} if theirs else {}})


@pytest.mark.parametrize(("ours", "theirs"), [("0.5", "0.6"), ("a", "b"), (True, "1"), ("1", None)])
def test_another_value_is_drift(ours, theirs):
    wanted = stamped({"metadata": {"name": "x"}, "spec": {"value": ours}})
    assert not is_as_applied(wanted, {**wanted, "spec": {"value": theirs}})


def test_what_others_add_to_a_list_that_is_merged_by_name_is_theirs():
    wanted = stamped({"metadata": {"name": "x"}, "spec": {"containers": [{"name": "ours", "image": "a"}]}})
    theirs = {"name": "sidecar", "image": "b"}
    with_sidecar = {**wanted, "spec": {"containers": [theirs, {"name": "ours", "image": "a", "stdin": False}]}}
    assert is_as_applied(wanted, with_sidecar)
    assert not is_as_applied(wanted, {**wanted, "spec": {"containers": [theirs]}})
    assert not is_as_applied(wanted, {**wanted, "spec": {"containers": [theirs, {"name": "ours", "image": "c"}]}})


def test_a_field_no_longer_wanted_is_drift(found):
    fewer = copy.deepcopy(WANTED)
    del fewer["spec"]["podSelector"]["matchLabels"]["a"]
    assert not is_as_applied(stamped(fewer), found)


def test_the_digest_does_not_depend_on_the_order_of_fields(wanted):
    assert stamped(dict(reversed(WANTED.items())))["metadata"] == wanted["metadata"]


def test_annotations_of_the_object_stay(wanted):
    annotated = {**WANTED, "metadata": {"name": "minilm", "annotations": {"mine": "yes"}}}
    assert stamped(annotated)["metadata"]["annotations"].keys() == {"mine", ANNOTATION_APPLIED}
    assert annotated["metadata"]["annotations"] == {"mine": "yes"}, "what was handed in is not changed"
