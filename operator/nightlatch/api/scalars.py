"""The field types and small shapes that more than one kind uses."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, WithJsonSchema

from nightlatch.api import duration, names
from nightlatch.api.meta import Shape
from nightlatch.api.rules import OUT_OF_RANGE, matching, rules


def _checked_duration(text: str) -> str:
    duration.parse_duration(text)
    return text


_IS_A_DURATION = (f"self.matches('{duration.PATTERN}')", f"the value {duration.ADVICE}")
# Text such as 45s or 1h30m. It stays text in the models; `duration.parse_duration` gives the seconds.
Duration = Annotated[
    str,
    Field(max_length=duration.MAX_LENGTH, json_schema_extra=rules(_IS_A_DURATION)),
    AfterValidator(_checked_duration),
]


def within(least: str, most: str | None = None) -> Any:
    """The range of a duration, for `Annotated[Duration, within("1s")]`. The CRD carries it, so each store checks it."""
    upper = f" && duration(self) <= duration('{most}')" if most else ""
    in_range = f"!self.matches('{duration.PATTERN}') || (duration(self) >= duration('{least}'){upper})"
    advice = f"{least} to {most}" if most else f"{least} or more"
    return Field(json_schema_extra=rules(_IS_A_DURATION, (in_range, f"{OUT_OF_RANGE}{advice}")))


_RFC_3339 = "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}([.][0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})$"
# A time that a user writes.
Time = Annotated[
    str,
    Field(
        pattern=_RFC_3339,
        max_length=64,
        json_schema_extra=matching(_RFC_3339, "write an RFC 3339 time, such as 2027-01-31T00:00:00Z"),
    ),
]

# The name of an object of our kinds.
Name = Annotated[str, Field(pattern=names.NAME_PATTERN, max_length=names.MAX_NAME_LENGTH)]

DNS_LABEL = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
Namespace = Annotated[str, Field(pattern=DNS_LABEL, max_length=63)]

DNS_LABEL_OR_EMPTY = "^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?$"
# The key of a list cannot be left out, so an empty text stands for the object's own namespace.
OwnNamespaceIfEmpty = Annotated[str, Field(pattern=DNS_LABEL_OR_EMPTY, max_length=63)]

DNS_SUBDOMAIN = r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$"
# The name of a Secret, a PersistentVolumeClaim or a cert-manager issuer.
SecretKeyName = Annotated[str, Field(pattern=DNS_SUBDOMAIN, max_length=253)]

HostName = Annotated[
    str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$", max_length=253)
]

Digest = Annotated[
    str,
    Field(
        pattern=r"^sha256:[0-9a-f]{64}$",
        max_length=128,
        json_schema_extra=matching(
            "^sha256:[0-9a-f]{64}$",
            "not a digest: write sha256: and 64 lower-case hex digits, as `nightlatch package` prints them",
        ),
    ),
]

Permission = Annotated[
    Literal["infer", "metadata", "health", "metrics"],
    Field(
        description="`infer`: to use the model, which also wakes it. `metadata`: to read about it. `health`: to ask "
        "whether it works. `metrics`: to read its metrics."
    ),
]
ALL_PERMISSIONS: tuple[Permission, ...] = ("infer", "metadata", "health", "metrics")


def _number_as_text(value: Any) -> Any:
    """YAML reads `cpu: 2` as a number, but a quantity is text."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


_QUANTITY = r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?$"
# A Kubernetes resource quantity: 2, 500m, 1Gi.
Quantity = Annotated[
    str,
    Field(pattern=_QUANTITY, max_length=32),
    BeforeValidator(_number_as_text),
    WithJsonSchema(
        {
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "pattern": _QUANTITY,
            "maxLength": 32,
            "x-kubernetes-int-or-string": True,
        }
    ),
]


class SecretReference(Shape):
    """A Secret in the same namespace."""

    name: SecretKeyName
    """The Secret's name."""


class RateLimit(Shape):
    """A token bucket: how many calls are let through in a period. Every gateway counts for itself."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "!has(self.burst) || self.burst >= self.requests",
                "burst is the most calls at once: write at least as many as requests, or leave burst out",
            )
        )
    )

    requests: Annotated[int, Field(ge=1, le=1_000_000)]
    """Calls that are let through in each period."""
    per: Annotated[Duration, within("50ms", "24h")] = "1s"
    """Length of the period."""
    burst: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """The most calls let through at once after a quiet time. Default: the value of `requests`."""
