"""Checks that a CRD's schema cannot make: they compare durations, or need defaults that depend on the object. Pure."""

from collections.abc import Iterator

from nightlatch.api.duration import parse_duration
from nightlatch.api.endpoint import EndpointSpec
from nightlatch.api.validation.causes import Cause


def endpoint(spec: EndpointSpec) -> tuple[Cause, ...]:
    """What is wrong with the endpoint; empty if nothing is."""
    return (
        *_positive("spec.requestTimeout", spec.request_timeout),
        *_positive("spec.scaling.idleAfter", spec.scaling.idle_after),
        *_positive("spec.scaling.hold.timeout", spec.scaling.hold.timeout),
        *_renewal("spec.tls", spec.tls.duration, spec.tls.renew_before),
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
