"""Which fields a user set whose behaviour is not there (yet, or on this platform): never ignored, always named.

A field at its default was not set: the API server writes defaults into every object, and they ask for nothing new.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from nightlatch.api.client import InferenceClient
from nightlatch.api.conditions import Reason
from nightlatch.api.endpoint import InferenceEndpoint, Runtime
from nightlatch.api.issuer import TokenIssuer

Platform = Literal["Embedded", "Cluster"]


@dataclass(frozen=True, slots=True)
class Unsupported:
    """A field that asks for something we do not do. `reason` is that of the condition Accepted=False."""

    field: str
    reason: Reason
    advice: str

    def __str__(self) -> str:
        return f"{self.field}: {self.advice}"


def unsupported_in_endpoint(endpoint: InferenceEndpoint, platform: Platform) -> tuple[Unsupported, ...]:
    """In the order of the spec; empty when all of it is supported."""
    return (
        *_source(endpoint, platform),
        *_runtime(endpoint.spec.runtime, platform),
        *_scaling(endpoint),
        *_access(endpoint),
        *_tls(endpoint),
    )


def unsupported_in_client(client: InferenceClient) -> tuple[Unsupported, ...]:
    """As `unsupported_in_endpoint`."""
    return (*_api_key(client), *_certificate(client))


def unsupported_in_issuer(issuer: TokenIssuer) -> tuple[Unsupported, ...]:  # noqa: ARG001 - one shape for all kinds
    """As `unsupported_in_endpoint`: no TokenIssuer has an effect yet."""
    return (_later("spec", "tokens are not checked yet: use access.apiKey and an InferenceClient"),)


def message(found: tuple[Unsupported, ...]) -> str:
    """All of them in one condition message."""
    return "; ".join(str(each) for each in found)


def _later(field: str, advice: str) -> Unsupported:
    return Unsupported(field, Reason.NOT_YET_SUPPORTED, advice)


def _elsewhere(field: str, advice: str) -> Unsupported:
    return Unsupported(field, Reason.NOT_ON_THIS_PLATFORM, advice)


def _source(endpoint: InferenceEndpoint, platform: Platform) -> Iterator[Unsupported]:
    source = endpoint.spec.model.source
    if source.uri is not None:
        yield _later("spec.model.source.uri", f"downloads come later: write {_source_of(platform)}")
    if source.image is not None:
        yield _later("spec.model.source.image", f"models in images come later: write {_source_of(platform)}")
    if source.pvc is not None and platform == "Embedded":
        yield _elsewhere(
            "spec.model.source.pvc",
            "there are no volumes without a cluster: start with `nightlatch up --claim NAME=DIR`, or write path",
        )
    if source.path is not None and platform == "Cluster":
        yield _elsewhere("spec.model.source.path", "a path of one machine means nothing in a cluster: write pvc")


def _source_of(platform: Platform) -> str:
    return "path" if platform == "Embedded" else "pvc"


def _runtime(runtime: Runtime, platform: Platform) -> Iterator[Unsupported]:
    if platform == "Cluster":
        yield from _own_container(runtime)
        return
    defaults = Runtime()
    only_in_a_cluster = (
        ("image", "there are no containers without a cluster"),
        ("resources", "local processes are not limited"),
        ("node_selector", "there are no nodes without a cluster"),
        ("tolerations", "there are no nodes without a cluster"),
        ("image_pull_secrets", "there are no images without a cluster"),
        ("runtime_class_name", "there are no containers without a cluster"),
        ("shared_memory", "local processes share this machine's memory"),
    )
    for field, why in only_in_a_cluster:
        if getattr(runtime, field) != getattr(defaults, field):
            yield _elsewhere(f"spec.runtime.{_alias(field)}", f"{why}: remove it")


def _own_container(runtime: Runtime) -> Iterator[Unsupported]:
    """A container that is not ours needs a proxy beside it, for the gateway's mTLS."""
    for field in ("image", "port", "readiness_path"):
        if getattr(runtime, field) is not None:
            yield _later(f"spec.runtime.{_alias(field)}", "containers of your own come later: remove it")


def _alias(field: str) -> str:
    return Runtime.model_fields[field].alias or field


def _scaling(endpoint: InferenceEndpoint) -> Iterator[Unsupported]:
    scaling = endpoint.spec.scaling
    if scaling.idle == "Standby":
        yield _later("spec.scaling.idle", "Standby comes later: write Zero")
    if scaling.mode == "External":
        yield _later("spec.scaling.mode", "scaling from outside comes later: write Managed")


def _access(endpoint: InferenceEndpoint) -> Iterator[Unsupported]:
    access = endpoint.spec.access
    for name, value in (("jwt", access.jwt), ("oauth2", access.oauth2), ("mtls", access.mtls)):
        if value is not None:
            yield _later(f"spec.access.{name}", "comes later: remove it and write apiKey: {}")
    if access.accept is not None and set(access.accept) != {("apiKey",)}:
        yield _later("spec.access.accept", "combinations come later: write [[apiKey]] or remove it")
    if access.rules:
        yield _later("spec.access.rules", "rules come later: write permissions in the InferenceClient")


def _tls(endpoint: InferenceEndpoint) -> Iterator[Unsupported]:
    tls = endpoint.spec.tls
    if tls.dns_names:
        yield _later("spec.tls.dnsNames", "names of your own come later: remove them")
    if tls.issuer_ref is not None:
        yield _later("spec.tls.issuerRef", "other issuers come later: remove it, and our CA issues the certificate")


def _api_key(client: InferenceClient) -> Iterator[Unsupported]:
    key = client.spec.api_key
    if key is None:
        return
    defaults = type(key)()
    for field in ("rotate_every", "overlap", "expires_at", "revoked_key_ids"):
        if getattr(key, field) != getattr(defaults, field):
            name = type(key).model_fields[field].alias or field
            yield _later(f"spec.apiKey.{name}", "rotation and revocation come later: remove it")


def _certificate(client: InferenceClient) -> Iterator[Unsupported]:
    if client.spec.certificate is not None:
        yield _later("spec.certificate", "client certificates come later: remove it and write apiKey: {}")


def replicas_cap(endpoint: InferenceEndpoint) -> str | None:
    """What a condition says of `maxReplicas` above 1 until autoscaling is in; None where there is nothing to say."""
    wanted = endpoint.spec.scaling.max_replicas
    if wanted <= 1:
        return None
    return f"spec.scaling.maxReplicas is {wanted}, and one replica serves until autoscaling comes"
