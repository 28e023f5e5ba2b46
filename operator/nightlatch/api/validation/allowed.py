"""What the administrator lets the owners of endpoints ask for, and what an endpoint asks for beyond that. Pure."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from nightlatch.api.client import InferenceClient
from nightlatch.api.conditions import Reason
from nightlatch.api.endpoint import InferenceEndpoint, Toleration
from nightlatch.api.validation.unsupported import Unsupported

# The taints of nodes with accelerators: pods that ask for none of those gain nothing from tolerating them.
ACCELERATOR_TAINTS = ("nvidia.com/gpu", "amd.com/gpu", "google.com/tpu", "aws.amazon.com/neuron")


@dataclass(frozen=True, slots=True)
class Allowed:
    """Keys of taints, and names of RuntimeClasses and PriorityClasses. `*` at the end stands for any text.

    The defaults are those of the chart's `modelServer.allowed…`. cert_manager: whether certificates may come from
    cert-manager's issuers (`certManager.enabled`).
    """

    tolerations: tuple[str, ...] = ACCELERATOR_TAINTS
    runtime_classes: tuple[str, ...] = ("nvidia",)
    priority_classes: tuple[str, ...] = ()
    cert_manager: bool = False


def not_allowed(endpoint: InferenceEndpoint, allowed: Allowed) -> Iterator[Unsupported]:
    """The fields that ask for more than the administrator allows."""
    runtime = endpoint.spec.runtime
    for index, toleration in enumerate(runtime.tolerations):
        if not _matches(toleration.key or "*", allowed.tolerations):
            yield _refused(f"tolerations[{index}]", _named(toleration), "allowedTolerations")
    for field, name, setting, known in (
        ("runtimeClassName", runtime.runtime_class_name, "allowedRuntimeClasses", allowed.runtime_classes),
        ("priorityClassName", runtime.priority_class_name, "allowedPriorityClasses", allowed.priority_classes),
    ):
        if name is not None and not _matches(name, known):
            yield _refused(field, name, setting)
    if endpoint.spec.tls.issuer_ref is not None and not allowed.cert_manager:
        yield _no_issuers("spec.tls.issuerRef")


def not_allowed_to_client(client: InferenceClient, allowed: Allowed) -> Iterator[Unsupported]:
    """Likewise of a client."""
    certificate = client.spec.certificate
    if certificate is not None and certificate.issuer_ref is not None and not allowed.cert_manager:
        yield _no_issuers("spec.certificate.issuerRef")


def identities_of_ours(endpoint: InferenceEndpoint, trust_domain: str) -> Iterator[Unsupported]:
    """The certificates that a rule names although no CA but ours may issue them."""
    for index, rule in enumerate(endpoint.spec.access.rules):
        for place, identity in enumerate(rule.when.certificates if rule.when else ()):
            if identity.lower().startswith(f"spiffe://{trust_domain}/"):
                yield Unsupported(
                    f"spec.access.rules[{index}].when.certificates[{place}]",
                    Reason.INVALID,
                    f"{trust_domain} is Nightlatch's own trust domain: remove it, and name the endpoint in the"
                    " InferenceClient instead",
                )


def _matches(name: str, patterns: Iterable[str]) -> bool:
    """A toleration of every taint has the name `*`, which the pattern `*` alone matches."""
    return any(name == pattern or (pattern.endswith("*") and name.startswith(pattern[:-1])) for pattern in patterns)


def _named(toleration: Toleration) -> str:
    return toleration.key or "every taint"


def _no_issuers(field: str) -> Unsupported:
    return Unsupported(
        field,
        Reason.NOT_ALLOWED_BY_ADMINISTRATOR,
        "issuers of cert-manager are not enabled: remove it, and Nightlatch's own CA issues the certificate, or ask the"
        " administrator to set certManager.enabled of the chart",
    )


def _refused(field: str, asked: str, setting: str) -> Unsupported:
    return Unsupported(
        f"spec.runtime.{field}",
        Reason.NOT_ALLOWED_BY_ADMINISTRATOR,
        f"{asked} is not in modelServer.{setting} of the chart: remove it, or ask the administrator to add it",
    )
