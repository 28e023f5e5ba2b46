"""Checks that a CRD's schema cannot make: they compare durations, or need defaults that depend on the object. Pure."""

from collections import Counter
from collections.abc import Iterator

from nightlatch.api.client import ClientSpec
from nightlatch.api.duration import parse_duration
from nightlatch.api.issuer import IssuerSpec
from nightlatch.api.validation.causes import Cause


def client(spec: ClientSpec, namespace: str) -> tuple[Cause, ...]:
    """What is wrong with the client, which is in `namespace`; empty if nothing is."""
    return (
        *_named_once(spec, namespace),
        *_rotation(spec),
        *(
            _renewal("spec.certificate", spec.certificate.duration, spec.certificate.renew_before)
            if spec.certificate
            else ()
        ),
    )


def issuer(spec: IssuerSpec) -> tuple[Cause, ...]:
    """What is wrong with the issuer; empty if nothing is."""
    return (
        *_positive("spec.refresh", spec.refresh),
        *_positive("spec.maxLifetime", spec.max_lifetime),
        *_shorter("spec.refresh", spec.refresh, "spec.maxStale", spec.max_stale),
        *_shorter("spec.clockSkew", spec.clock_skew, "spec.maxLifetime", spec.max_lifetime),
    )


def _positive(path: str, text: str) -> Iterator[Cause]:
    if parse_duration(text) <= 0:
        yield path, "must be greater than zero, for example 30s"


def _shorter(path: str, text: str, other_path: str, other: str) -> Iterator[Cause]:
    if parse_duration(text) >= parse_duration(other):
        yield path, f"{text} is not shorter than {other_path} ({other}): write a shorter duration"


def _renewal(path: str, duration: str, renew_before: str) -> Iterator[Cause]:
    yield from _positive(f"{path}.duration", duration)
    yield from _shorter(f"{path}.renewBefore", renew_before, f"{path}.duration", duration)


def _rotation(spec: ClientSpec) -> Iterator[Cause]:
    if spec.api_key is not None and spec.api_key.rotate_every is not None:
        yield from _shorter(
            "spec.apiKey.overlap", spec.api_key.overlap, "spec.apiKey.rotateEvery", spec.api_key.rotate_every
        )


def _named_once(spec: ClientSpec, namespace: str) -> Iterator[Cause]:
    """The CRD's rule cannot know the client's own namespace, which is the default."""
    counts = Counter(grant.endpoint(namespace) for grant in spec.endpoints)
    for named, count in counts.items():
        if count > 1:
            yield (
                "spec.endpoints",
                f"{named} is named twice: write it once, with all its permissions",
            )
