"""Finds fields that ask for something Nightlatch does not do, yet or on this platform, so that none is ignored. Pure.

A field that has its default value asks for nothing: the API server writes defaults into every object.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from nightlatch.api.client import InferenceClient
from nightlatch.api.conditions import Reason
from nightlatch.api.duration import parse_duration
from nightlatch.api.endpoint import Access, InferenceEndpoint, Rule, Runtime, Scaling
from nightlatch.api.issuer import IssuerSpec, TokenIssuer

Platform = Literal["Embedded", "Cluster"]
_NO_CERT_MANAGER = "`nightlatch up` has no cert-manager: remove it, and Nightlatch's own CA issues the certificate"


@dataclass(frozen=True, slots=True)
class Unsupported:
    """A field that asks for something unsupported. `reason` is for the condition Accepted=False."""

    field: str
    reason: Reason
    advice: str

    def __str__(self) -> str:
        return f"{self.field}: {self.advice}"


def unsupported_in_endpoint(endpoint: InferenceEndpoint, platform: Platform) -> tuple[Unsupported, ...]:
    """The unsupported fields in the order of the spec; empty if everything is supported."""
    return (
        *_source(endpoint, platform),
        *_runtime(endpoint.spec.runtime, platform),
        *_scaling(endpoint),
        *_access(endpoint, platform),
        *_tls(endpoint, platform),
    )


def unsupported_in_client(client: InferenceClient, platform: Platform) -> tuple[Unsupported, ...]:
    return tuple(_certificate(client, platform))


def unsupported_in_issuer(issuer: TokenIssuer, platform: Platform) -> tuple[Unsupported, ...]:
    return tuple(_issuer(issuer.spec, platform))


def message(found: tuple[Unsupported, ...]) -> str:
    """One condition message for all of them."""
    return "; ".join(str(each) for each in found)


def _later(field: str, advice: str) -> Unsupported:
    return Unsupported(field, Reason.NOT_YET_SUPPORTED, advice)


def _elsewhere(field: str, advice: str) -> Unsupported:
    return Unsupported(field, Reason.NOT_ON_THIS_PLATFORM, advice)


def _source(endpoint: InferenceEndpoint, platform: Platform) -> Iterator[Unsupported]:
    source = endpoint.spec.model.source
    if source.uri is not None:
        yield _later("spec.model.source.uri", f"downloads are not supported yet: write {_source_of(platform)}")
    if source.image is not None:
        yield _later("spec.model.source.image", f"models in images are not supported yet: write {_source_of(platform)}")
    if source.pvc is not None and platform == "Embedded":
        yield _elsewhere(
            "spec.model.source.pvc",
            "`nightlatch up` has no volumes: start it with --claim NAME=DIR, or write path",
        )
    if source.path is not None and platform == "Cluster":
        yield _elsewhere("spec.model.source.path", "a directory of one machine cannot be used in a cluster: write pvc")


def _source_of(platform: Platform) -> str:
    return "path" if platform == "Embedded" else "pvc"


def _runtime(runtime: Runtime, platform: Platform) -> Iterator[Unsupported]:
    yield from _own_runtime(runtime)
    if platform == "Cluster":
        yield from _own_container(runtime)
        return
    if runtime.command is not None:
        yield _later("spec.runtime.command", "programs of your own are not supported yet: remove it")
    defaults = Runtime()
    only_in_a_cluster = (
        ("image", "`nightlatch up` runs processes, not containers"),
        ("resources", "`nightlatch up` does not limit its processes"),
        ("node_selector", "`nightlatch up` has no nodes"),
        ("tolerations", "`nightlatch up` has no nodes"),
        ("image_pull_secrets", "`nightlatch up` pulls no images"),
        ("runtime_class_name", "`nightlatch up` runs processes, not containers"),
        ("priority_class_name", "`nightlatch up` has no scheduler"),
        ("pod_labels", "`nightlatch up` runs processes, not pods"),
        ("pod_annotations", "`nightlatch up` runs processes, not pods"),
        ("topology_spread", "`nightlatch up` has no nodes"),
        ("shared_memory", "processes of `nightlatch up` share this machine's memory"),
    )
    for field, why in only_in_a_cluster:
        if getattr(runtime, field) != getattr(defaults, field):
            yield _elsewhere(f"spec.runtime.{_alias(field)}", f"{why}: remove it")


def _own_runtime(runtime: Runtime) -> Iterator[Unsupported]:
    for field in ("operations", "gauges"):
        if getattr(runtime, field) is not None:
            yield _later(f"spec.runtime.{_alias(field)}", "runtimes of your own are not supported yet: remove it")


def _own_container(runtime: Runtime) -> Iterator[Unsupported]:
    """A container of another image will need a proxy beside it that speaks mTLS with the gateway."""
    if runtime.command is not None:
        yield _elsewhere("spec.runtime.command", "a program of one machine cannot run in a cluster: write image")
    for field in ("image", "port", "readiness_path"):
        if getattr(runtime, field) is not None:
            yield _later(f"spec.runtime.{_alias(field)}", "images of your own are not supported yet: remove it")


def _alias(field: str) -> str:
    return Runtime.model_fields[field].alias or field


def _scaling(endpoint: InferenceEndpoint) -> Iterator[Unsupported]:
    scaling = endpoint.spec.scaling
    if scaling.max_concurrency is not None:
        yield _later("spec.scaling.maxConcurrency", "is not supported yet: remove it")
    defaults = Scaling()
    for name, value, default in (
        ("scaleDownDelay", scaling.scale_down_delay, defaults.scale_down_delay),
        ("startDeadline", scaling.start_deadline, defaults.start_deadline),
    ):
        if parse_duration(value) != parse_duration(default):
            yield _later(f"spec.scaling.{name}", f"other values are not supported yet: write {default} or remove it")
    if scaling.schedule:
        yield _later("spec.scaling.schedule", "schedules are not supported yet: remove it, or write minReplicas: 1")
    if scaling.idle == "Standby":
        yield _later("spec.scaling.idle", "Standby is not supported yet: write Zero")
    if scaling.mode == "External":
        yield _later("spec.scaling.mode", "External is not supported yet: write Managed")


def _access(endpoint: InferenceEndpoint, platform: Platform) -> Iterator[Unsupported]:
    access = endpoint.spec.access
    if access.oauth2 is not None:
        yield _later("spec.access.oauth2", "is not supported yet: remove it and write apiKey: {}, jwt or mtls: {}")
    for index, rule in enumerate(access.rules):
        if _is_about_opaque_tokens(rule, access):
            where = f"spec.access.rules[{index}]"
            yield _later(where, "is about tokens of an `oauth2` issuer, which are not supported yet: remove it")
    if platform == "Embedded" and access.allowed_namespaces.from_ == "Selector":
        yield _elsewhere(
            "spec.access.allowedNamespaces.from", "namespaces of `nightlatch up` have no labels: write Names or All"
        )


def _is_about_opaque_tokens(rule: Rule, access: Access) -> bool:
    """Whether nothing that the endpoint takes can fit the rule, once opaque tokens are left out."""
    if access.jwt is not None:
        return False
    if rule.when is None:
        return access.mtls is None or not access.mtls.trust
    return bool(rule.when.claims)


def _tls(endpoint: InferenceEndpoint, platform: Platform) -> Iterator[Unsupported]:
    tls = endpoint.spec.tls
    if tls.dns_names:
        yield _later("spec.tls.dnsNames", "more host names are not supported yet: remove them")
    if tls.issuer_ref is not None and platform == "Embedded":
        yield _elsewhere("spec.tls.issuerRef", _NO_CERT_MANAGER)


def _certificate(client: InferenceClient, platform: Platform) -> Iterator[Unsupported]:
    certificate = client.spec.certificate
    if certificate is not None and certificate.issuer_ref is not None and platform == "Embedded":
        yield _elsewhere("spec.certificate.issuerRef", _NO_CERT_MANAGER)


def _issuer(spec: IssuerSpec, platform: Platform) -> Iterator[Unsupported]:
    if spec.introspection is not None:
        yield _later("spec.introspection", "opaque tokens are not supported yet: remove it")
    if spec.token_endpoint is not None:
        yield _later("spec.tokenEndpoint", "a token endpoint of Nightlatch's own is not supported yet: write keys")
    if spec.keys is not None and spec.keys.kubernetes is not None and platform == "Embedded":
        yield _elsewhere("spec.keys.kubernetes", "`nightlatch up` has no ServiceAccounts: write another kind of keys")
    if platform == "Embedded" and spec.allowed_namespaces.from_ == "Selector":
        yield _elsewhere(
            "spec.allowedNamespaces.from", "namespaces of `nightlatch up` have no labels: write Names or All"
        )


def replicas_cap(scaling: Scaling) -> str | None:
    """The message about a `maxReplicas` above 1, which has no effect before autoscaling; None if it is not above 1."""
    wanted = scaling.max_replicas
    if wanted <= 1:
        return None
    return f"spec.scaling.maxReplicas is {wanted}, but one replica runs until autoscaling is supported"
