"""Whose tokens an endpoint takes when the issuer's name is what the cluster calls itself."""

from nightlatch.api.meta import API_VERSION, NamespacedName
from nightlatch.planning.access.rules import token_rules
from nightlatch.planning.endpoint.issuers import tokens
from nightlatch.planning.inputs import IssuerView, Observed
from nightlatch.planning.parsed import read_issuer
from nightlatch.planning.settings import Settings
from nightlatch.wire.route_document import TrustedIssuer
from tests.unit.planning import scene

CLUSTER = "https://kubernetes.default.svc.cluster.local"
KEY = NamespacedName("search", "cluster")
RULE = {"permissions": ["infer"], "when": {"claims": {"kubernetes.io.namespace": ["team"]}}}
ACCESS = {"jwt": {"issuers": [{"name": "cluster"}]}, "rules": [RULE]}


def trusted(status, before=None, **spec):
    raw = {
        "apiVersion": API_VERSION,
        "kind": "TokenIssuer",
        "metadata": {"name": "cluster", "namespace": "search", "uid": "u1", "generation": 1},
        "spec": {"audiences": ["minilm"], "keys": {"kubernetes": {}}, **spec},
        "status": status,
    }
    cluster = Settings(platform="Cluster")
    issuers = {KEY: IssuerView(read_issuer(raw, cluster), admits=True)}
    found = tokens(scene.endpoint(access=ACCESS), Observed(cluster, issuers=issuers), before)
    return found.issuers


def test_an_endpoint_takes_the_clusters_tokens_once_it_is_known_what_the_cluster_calls_itself():
    assert trusted({}) == ()
    assert trusted({"issuer": CLUSTER}) == (TrustedIssuer(KEY, CLUSTER),)


def test_a_name_in_the_spec_counts_before_the_cluster_was_asked():
    assert trusted({}, issuer=CLUSTER) == (TrustedIssuer(KEY, CLUSTER),)


def test_a_rule_names_what_lies_in_the_claim_of_kubernetes():
    (rule,) = token_rules(scene.endpoint(access=ACCESS).spec.access)
    assert rule.claims == ((("kubernetes.io", "namespace"), ("team",)),)
