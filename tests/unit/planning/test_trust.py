"""Callers in a cluster find the CA in a ConfigMap; on a laptop it lies beside their key."""

from nightlatch.planning.inputs import CAView
from nightlatch.planning.plan import PublishTrust
from nightlatch.planning.settings import Settings
from nightlatch.planning.trust import publish_trust

ISSUING_CA = CAView("key-id", b"PEM")


def test_a_cluster_publishes_the_bundle_in_the_namespace():
    assert publish_trust(Settings("Cluster"), ISSUING_CA, "search") == (PublishTrust("search", b"PEM"),)


def test_a_laptop_publishes_nothing():
    assert publish_trust(Settings("Embedded"), ISSUING_CA, "search") == ()


def test_nothing_is_published_before_there_is_a_ca():
    assert publish_trust(Settings("Cluster"), None, "search") == ()
