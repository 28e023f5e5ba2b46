"""What an endpoint may ask for is the administrator's decision, and a refusal names the setting."""

import pytest

from nightlatch.api.conditions import Reason
from nightlatch.api.validation.allowed import Allowed, not_allowed
from nightlatch.api.validation.parse import parse_endpoint
from nightlatch.planning.parsed import read_client, read_endpoint
from nightlatch.planning.settings import Settings
from tests.unit.api.test_parse import client, endpoint

GPU = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
CONTROL_PLANE = {"key": "node-role.kubernetes.io/control-plane", "operator": "Exists"}
EVERY_TAINT = {"operator": "Exists"}


def asked(allowed: Allowed, **runtime: object) -> list[tuple[str, str]]:
    found = list(not_allowed(parse_endpoint(endpoint(runtime=runtime)), allowed))
    assert all(each.reason == Reason.NOT_ALLOWED_BY_ADMINISTRATOR for each in found)
    return [(each.field, each.advice) for each in found]


def test_pods_may_use_accelerators_and_nothing_else_by_default() -> None:
    assert asked(Allowed(), tolerations=[GPU], runtimeClassName="nvidia") == []
    refused = asked(
        Allowed(),
        tolerations=[GPU, CONTROL_PLANE, EVERY_TAINT],
        runtimeClassName="kata",
        priorityClassName="system-cluster-critical",
    )
    assert [field for field, _ in refused] == [
        "spec.runtime.tolerations[1]",
        "spec.runtime.tolerations[2]",
        "spec.runtime.runtimeClassName",
        "spec.runtime.priorityClassName",
    ]
    for (_, advice), said in zip(
        refused,
        (
            "node-role.kubernetes.io/control-plane is not in modelServer.allowedTolerations",
            "every taint is not in modelServer.allowedTolerations",
            "kata is not in modelServer.allowedRuntimeClasses",
            "system-cluster-critical is not in modelServer.allowedPriorityClasses",
        ),
        strict=True,
    ):
        assert said in advice
        assert "remove it, or ask the administrator" in advice


@pytest.mark.parametrize(
    ("patterns", "toleration", "allowed"),
    [
        (("*",), EVERY_TAINT, True),
        (("node*",), EVERY_TAINT, False),
        (("node*",), CONTROL_PLANE, True),
        (("node*",), GPU, False),
        (("nvidia.com/gp",), GPU, False),
        ((), GPU, False),
    ],
)
def test_a_star_at_the_end_stands_for_any_text(patterns: tuple[str, ...], toleration: dict, allowed: bool) -> None:
    assert (asked(Allowed(tolerations=patterns), tolerations=[toleration]) == []) is allowed


def test_issuers_of_cert_manager_are_the_administrators_to_enable() -> None:
    named = {"issuerRef": {"name": "corp"}}
    closed, opened = Settings(platform="Cluster"), Settings(platform="Cluster", allowed=Allowed(cert_manager=True))
    pvc = {"source": {"pvc": {"claimName": "models"}}}
    for read, raw, field in (
        (read_endpoint, endpoint(model=pvc, tls=named), "spec.tls.issuerRef"),
        (lambda raw, at: read_client(raw, {}, at), client(certificate=named), "spec.certificate.issuerRef"),
    ):
        rejection = read(raw, closed).rejection
        assert rejection is not None
        assert (rejection.reason, rejection.message.partition(":")[0]) == (Reason.NOT_ALLOWED_BY_ADMINISTRATOR, field)
        assert "certManager.enabled" in rejection.message
        assert read(raw, opened).rejection is None
        alone = read(raw, Settings(platform="Embedded", allowed=Allowed(cert_manager=True))).rejection
        assert alone is not None
        assert alone.reason == Reason.NOT_ON_THIS_PLATFORM


def test_an_endpoint_that_asks_for_more_is_rejected() -> None:
    raw = endpoint(model={"source": {"pvc": {"claimName": "models"}}}, runtime={"priorityClassName": "high"})
    closed, opened = Settings(platform="Cluster"), Settings(platform="Cluster", allowed=Allowed((), (), ("high",)))
    rejection = read_endpoint(raw, closed).rejection
    assert rejection is not None
    assert rejection.reason == Reason.NOT_ALLOWED_BY_ADMINISTRATOR
    assert rejection.message.startswith("spec.runtime.priorityClassName: high is not in ")
    assert read_endpoint(raw, opened).rejection is None
    # Without a cluster there is no administrator to ask.
    alone = read_endpoint(raw, Settings(platform="Embedded")).rejection
    assert alone is not None
    assert "modelServer" not in alone.message
