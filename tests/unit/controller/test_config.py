"""The operator's file is read strictly: what is wrong in it is named."""

import json
from datetime import timedelta

import pytest

from nightlatch.api.validation.allowed import Allowed
from nightlatch.controller.cluster.config import ConfigError, read_config

GOOD = {
    "trust_domain": "nightlatch.example",
    "cluster_domain": "cluster.local",
    "operator_namespace": "nightlatch-system",
    "gateway_namespace": "nightlatch-gateway",
    "gateway_service": "nightlatch-gateway",
    "gateway_report_service": "nightlatch-gateway-report",
    "gateway_port": 443,
    "model_server_image": "registry.example/model-server:1",
    "allowed_tolerations": ["nvidia.com/gpu"],
    "allowed_runtime_classes": [],
    "allowed_priority_classes": ["low"],
}


@pytest.fixture
def read(tmp_path):
    def read(content):
        file = tmp_path / "operator.json"
        file.write_text(content if isinstance(content, str) else json.dumps(content))
        return read_config(file)

    return read


def test_planning_and_builders_get_the_same_installation(read):
    config = read({**GOOD, "image_pull_policy": "Never"})
    settings, cluster = config.settings(), config.cluster()
    assert (settings.platform, settings.port, settings.trust_domain) == ("Cluster", 443, "nightlatch.example")
    assert settings.gateway_namespace == cluster.gateway_namespace == "nightlatch-gateway"
    assert settings.cluster_domain == cluster.cluster_domain == "cluster.local"
    assert (cluster.model_server_image, cluster.image_pull_policy) == (GOOD["model_server_image"], "Never")
    assert settings.allowed == Allowed(("nvidia.com/gpu",), (), ("low",))
    assert cluster.gateway_host == "nightlatch-gateway.nightlatch-gateway.svc.cluster.local"


def test_without_namespaces_all_are_watched(read):
    assert read(GOOD).watch_namespaces == ()
    assert read({**GOOD, "watch_namespaces": ["search"]}).watch_namespaces == ("search",)


def test_a_roll_over_gives_callers_a_day_unless_the_administrator_says_otherwise(read):
    default, quick = read(GOOD).settings(), read({**GOOD, "callers_take": "2m", "reissue_over": "0s"}).settings()
    assert (default.callers_take, default.reissue_over) == (timedelta(hours=24), timedelta(minutes=10))
    assert (quick.callers_take, quick.reissue_over) == (timedelta(minutes=2), timedelta(0))


def test_a_roll_over_that_pods_cannot_follow_is_refused(read):
    with pytest.raises(ConfigError, match=r"callers_take: .*119s is too short: write 2m or more"):
        read({**GOOD, "callers_take": "119s"})


def test_cert_manager_is_used_only_if_the_chart_says_so(read):
    assert not read(GOOD).settings().allowed.cert_manager
    assert read({**GOOD, "cert_manager": True}).settings().allowed.cert_manager


@pytest.mark.parametrize("missing", GOOD)
def test_an_entry_that_is_missing_is_named(read, missing):
    with pytest.raises(ConfigError, match=rf"operator\.json: {missing}: Field required"):
        read({name: value for name, value in GOOD.items() if name != missing})


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ("gateway_port", 0),
        ("gateway_port", 65536),
        ("metrics_port", -1),
        ("watch_namespaces", "search"),
        ("prot", 1),
        ("callers_take", "1d"),
        ("reissue_over", "soon"),
    ],
)
def test_a_wrong_value_or_an_unknown_entry_is_named(read, entry, value):
    with pytest.raises(ConfigError, match=rf"operator\.json: {entry}: "):
        read({**GOOD, entry: value})


@pytest.mark.parametrize("content", ["", "{", "[]", "trust_domain: x"])
def test_what_is_no_json_object_is_refused(read, content):
    with pytest.raises(ConfigError, match=r"operator\.json: "):
        read(content)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot read .*none\.json: No such file"):
        read_config(tmp_path / "none.json")
