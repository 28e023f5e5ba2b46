"""What is not there yet is named, field by field; a default that the schema filled in never is."""

from typing import Any

import pytest

from nightlatch.api.conditions import Reason
from nightlatch.api.crd.generate import schema_of
from nightlatch.api.meta import INFERENCE_CLIENT, INFERENCE_ENDPOINT, Kind
from nightlatch.api.validation.parse import parse_client, parse_endpoint, parse_issuer
from nightlatch.api.validation.unsupported import (
    Platform,
    message,
    replicas_cap,
    unsupported_in_client,
    unsupported_in_endpoint,
    unsupported_in_issuer,
)
from nightlatch.store.admission.structure import completed
from tests.unit.api.test_parse import client, endpoint, issuer

CLUSTER_ONLY = Reason.NOT_ON_THIS_PLATFORM
LATER = Reason.NOT_YET_SUPPORTED
OPERATION = {"method": "POST", "path": "/v1/rerank", "permission": "infer"}
MORNING = {"cron": "0 8 * * 1-5", "duration": "1h"}
PVC = {"source": {"pvc": {"claimName": "models"}}}


@pytest.mark.parametrize(
    ("platform", "spec"),
    [
        ("Embedded", {}),
        ("Cluster", {"model": PVC}),
        ("Cluster", {"model": PVC, "runtime": {"protocol": "OpenAI", "nodeSelector": {"a": "b"}}}),
        ("Embedded", {"access": {"apiKey": {}, "accept": [["apiKey"]]}}),
        ("Embedded", {"access": {"apiKey": {}, "allowedNamespaces": {"from": "Names", "names": ["a"]}}}),
        ("Embedded", {"access": {"mtls": {}}}),
        (
            "Embedded",
            {"access": {"apiKey": {}, "rules": [{"permissions": ["infer"], "when": {"clients": ["search/bot"]}}]}},
        ),
        (
            "Embedded",
            {
                "access": {
                    "apiKey": {},
                    "jwt": {"issuers": [{"name": "a"}]},
                    "mtls": {"trust": [{"secretName": "corp"}]},
                    "accept": [["apiKey", "mtls", "jwt"]],
                    "rules": [
                        {
                            "permissions": ["infer"],
                            "when": {
                                "clients": ["search/bot"],
                                "claims": {"a": ["b"]},
                                "certificates": ["spiffe://corp.example/a"],
                            },
                        }
                    ],
                }
            },
        ),
        ("Embedded", {"access": {"apiKey": {}, "mtls": {}, "accept": [["apiKey"], ["mtls", "apiKey"]]}}),
        (
            "Cluster",
            {
                "model": PVC,
                "access": {
                    "mtls": {"trust": [{"secretName": "corp"}]},
                    "rules": [
                        {"permissions": ["metadata"]},
                        {"permissions": ["infer"], "when": {"certificates": ["spiffe://corp.example/a"]}},
                    ],
                },
            },
        ),
        (
            "Cluster",
            {"model": PVC, "access": {"apiKey": {}, "allowedNamespaces": {"from": "Selector", "selector": {}}}},
        ),
        (
            "Cluster",
            {
                "model": PVC,
                "runtime": {
                    "priorityClassName": "a",
                    "podLabels": {"a": "b"},
                    "podAnnotations": {"a": "b"},
                    "topologySpread": [{"topologyKey": "a"}],
                },
            },
        ),
        ("Embedded", {"scaling": {"startDeadline": "900s", "scaleDownDelay": "1m"}}),
        ("Embedded", {"scaling": {"minReplicas": 1, "maxReplicas": 4}, "rateLimit": {"requests": 5}}),
        ("Embedded", {"tls": {"duration": "2h", "renewBefore": "1h"}, "runtime": {"env": [{"name": "A"}]}}),
    ],
)
def test_what_is_there_is_named_by_nobody(platform: Platform, spec: dict[str, Any]) -> None:
    assert unsupported_in_endpoint(parse_endpoint(endpoint(**spec)), platform) == ()


def test_defaults_of_the_schema_ask_for_nothing() -> None:
    stored = completed(schema_of(INFERENCE_ENDPOINT), endpoint(runtime={"resources": {}}, model=PVC))
    assert unsupported_in_endpoint(parse_endpoint(stored), "Cluster") == ()
    stored = completed(schema_of(INFERENCE_CLIENT), client())
    assert stored["spec"]["apiKey"] == {}
    assert unsupported_in_client(parse_client(stored), "Embedded") == ()


UNSUPPORTED: list[tuple[Platform, dict[str, Any], str, Reason]] = [
    ("Embedded", {"model": PVC}, "spec.model.source.pvc", CLUSTER_ONLY),
    ("Cluster", {}, "spec.model.source.path", CLUSTER_ONLY),
    ("Cluster", {"model": PVC, "runtime": {"image": "x", "protocol": "OpenAI"}}, "spec.runtime.image", LATER),
    ("Cluster", {"model": {"source": {"uri": "https://x.example/m"}}}, "spec.model.source.uri", LATER),
    (
        "Cluster",
        {
            "model": {
                "source": {
                    "uri": "https://x.example/m",
                    "secretRef": {"name": "a"},
                    "caSecretRef": {"name": "a"},
                    "storage": {"size": "1Gi"},
                    "sizeLimit": "1Gi",
                }
            }
        },
        "spec.model.source.uri",
        LATER,
    ),
    (
        "Cluster",
        {"model": {"source": {"image": {"reference": f"r.example/m@sha256:{'0' * 64}"}}}},
        "spec.model.source.image",
        LATER,
    ),
    ("Embedded", {"runtime": {"image": "x", "protocol": "OpenAI"}}, "spec.runtime.image", CLUSTER_ONLY),
    ("Embedded", {"runtime": {"resources": {"limits": {"cpu": 1}}}}, "spec.runtime.resources", CLUSTER_ONLY),
    ("Embedded", {"runtime": {"nodeSelector": {"a": "b"}}}, "spec.runtime.nodeSelector", CLUSTER_ONLY),
    ("Embedded", {"runtime": {"tolerations": [{}]}}, "spec.runtime.tolerations", CLUSTER_ONLY),
    ("Embedded", {"runtime": {"imagePullSecrets": [{"name": "a"}]}}, "spec.runtime.imagePullSecrets", CLUSTER_ONLY),
    ("Embedded", {"runtime": {"runtimeClassName": "a"}}, "spec.runtime.runtimeClassName", CLUSTER_ONLY),
    ("Embedded", {"runtime": {"sharedMemory": "1Gi"}}, "spec.runtime.sharedMemory", CLUSTER_ONLY),
    ("Embedded", {"runtime": {"priorityClassName": "a"}}, "spec.runtime.priorityClassName", CLUSTER_ONLY),
    ("Embedded", {"runtime": {"podLabels": {"a": "b"}}}, "spec.runtime.podLabels", CLUSTER_ONLY),
    ("Embedded", {"runtime": {"podAnnotations": {"a": "b"}}}, "spec.runtime.podAnnotations", CLUSTER_ONLY),
    ("Embedded", {"runtime": {"topologySpread": [{"topologyKey": "a"}]}}, "spec.runtime.topologySpread", CLUSTER_ONLY),
    ("Embedded", {"runtime": {"command": ["a"], "protocol": "OpenAI"}}, "spec.runtime.command", LATER),
    ("Cluster", {"model": PVC, "runtime": {"command": ["a"]}}, "spec.runtime.command", CLUSTER_ONLY),
    ("Embedded", {"runtime": {"operations": [OPERATION]}}, "spec.runtime.operations", LATER),
    ("Cluster", {"model": PVC, "runtime": {"operations": [OPERATION]}}, "spec.runtime.operations", LATER),
    ("Cluster", {"model": PVC, "runtime": {"gauges": {"waiting": "a"}}}, "spec.runtime.gauges", LATER),
    ("Embedded", {"scaling": {"maxConcurrency": 8}}, "spec.scaling.maxConcurrency", LATER),
    ("Embedded", {"scaling": {"scaleDownDelay": "2m"}}, "spec.scaling.scaleDownDelay", LATER),
    ("Embedded", {"scaling": {"startDeadline": "20m"}}, "spec.scaling.startDeadline", LATER),
    ("Embedded", {"scaling": {"schedule": [MORNING]}}, "spec.scaling.schedule", LATER),
    (
        "Embedded",
        {"access": {"apiKey": {}, "allowedNamespaces": {"from": "Selector", "selector": {}}}},
        "spec.access.allowedNamespaces.from",
        CLUSTER_ONLY,
    ),
    ("Embedded", {"scaling": {"idle": "Standby"}}, "spec.scaling.idle", LATER),
    ("Embedded", {"scaling": {"mode": "External"}}, "spec.scaling.mode", LATER),
    ("Embedded", {"access": {"oauth2": {"issuers": [{"name": "a"}]}}}, "spec.access.oauth2", LATER),
    ("Embedded", {"access": {"apiKey": {}, "rules": [{"permissions": ["infer"]}]}}, "spec.access.rules[0]", LATER),
    (
        "Embedded",
        {"access": {"apiKey": {}, "rules": [{"permissions": ["infer"], "when": {"claims": {"a": ["b"]}}}]}},
        "spec.access.rules[0]",
        LATER,
    ),
    ("Embedded", {"tls": {"dnsNames": ["a.example"]}}, "spec.tls.dnsNames", LATER),
    ("Embedded", {"tls": {"issuerRef": {"name": "a"}}}, "spec.tls.issuerRef", CLUSTER_ONLY),
]


@pytest.mark.parametrize(("platform", "spec", "field", "reason"), UNSUPPORTED)
def test_what_is_not_there_is_named(platform: Platform, spec: dict[str, Any], field: str, reason: Reason) -> None:
    found = unsupported_in_endpoint(parse_endpoint(endpoint(**spec)), platform)
    assert [(each.field, each.reason) for each in found] == [(field, reason)]
    assert field in message(found)
    assert any(word in found[0].advice for word in ("write", "remove"))


def test_every_field_of_an_image_of_ones_own_is_named() -> None:
    """They need `image`, so they never come alone."""
    own = {"image": "x", "protocol": "OpenAI", "port": 8000, "readinessPath": "/health"}
    found = unsupported_in_endpoint(parse_endpoint(endpoint(model=PVC, runtime=own)), "Cluster")
    assert [each.field for each in found] == [f"spec.runtime.{name}" for name in ("image", "port", "readinessPath")]


UNSUPPORTED_IN_CLIENT: list[tuple[dict[str, Any], str]] = [
    ({"certificate": {"issuerRef": {"name": "a"}}}, "spec.certificate.issuerRef"),
]


@pytest.mark.parametrize(("spec", "field"), UNSUPPORTED_IN_CLIENT)
def test_what_a_client_asks_for_in_vain_without_a_cluster_is_named(spec: dict[str, Any], field: str) -> None:
    found = unsupported_in_client(parse_client(client(**spec)), "Embedded")
    assert [(each.field, each.reason) for each in found] == [(field, CLUSTER_ONLY)]
    assert "remove it" in found[0].advice
    assert unsupported_in_client(parse_client(client(**spec)), "Cluster") == ()


def test_everything_about_api_keys_is_there() -> None:
    key = {
        "secretName": "mine",
        "rotateEvery": "720h",
        "overlap": "1h",
        "expiresAt": "2030-01-01T00:00:00Z",
        "revokedKeyIds": ["0123456789ab"],
    }
    parsed = parse_client(client(suspend=True, apiKey=key, rateLimit={"requests": 1}))
    assert unsupported_in_client(parsed, "Embedded") == ()


INTROSPECTION = {
    "endpoint": "https://id.example/introspect",
    "clientAuth": {"method": "client_secret_basic", "secretRef": {"name": "a"}},
}
UNSUPPORTED_IN_ISSUER: list[tuple[Platform, dict[str, Any], str, Reason]] = [
    ("Cluster", {"introspection": INTROSPECTION}, "spec.introspection", LATER),
    ("Embedded", {"keys": {"kubernetes": {}}}, "spec.keys.kubernetes", CLUSTER_ONLY),
    (
        "Embedded",
        {"allowedNamespaces": {"from": "Selector", "selector": {}}},
        "spec.allowedNamespaces.from",
        CLUSTER_ONLY,
    ),
]


@pytest.mark.parametrize(("platform", "spec", "field", "reason"), UNSUPPORTED_IN_ISSUER)
def test_what_an_issuer_asks_for_too_early_is_named(
    platform: Platform, spec: dict[str, Any], field: str, reason: Reason
) -> None:
    found = unsupported_in_issuer(parse_issuer(issuer(**spec)), platform)
    assert [(each.field, each.reason) for each in found] == [(field, reason)]


def test_everything_else_about_an_issuer_and_tokens_is_there() -> None:
    for platform in ("Embedded", "Cluster"):
        assert unsupported_in_issuer(parse_issuer(issuer()), platform) == ()
    access = {
        "jwt": {"issuers": [{"name": "a"}]},
        "rules": [{"permissions": ["infer"], "when": {"claims": {"a": ["b"]}}}],
    }
    assert unsupported_in_endpoint(parse_endpoint(endpoint(access=access)), "Embedded") == ()


def test_more_than_one_replica_is_capped_and_said() -> None:
    assert replicas_cap(parse_endpoint(endpoint()).spec.scaling) is None
    said = replicas_cap(parse_endpoint(endpoint(scaling={"maxReplicas": 4})).spec.scaling)
    assert said is not None
    assert "maxReplicas is 4" in said


@pytest.mark.parametrize(
    ("kind", "field"),
    [(INFERENCE_ENDPOINT, case[2]) for case in UNSUPPORTED if case[3] == LATER],
)
def test_the_description_of_an_unsupported_field_says_so(kind: Kind, field: str) -> None:
    node = schema_of(kind)
    for name in field.replace("[0]", "").split("."):
        node = node.get("items", node)["properties"][name]
    assert "not supported yet" in node["description"].lower()
