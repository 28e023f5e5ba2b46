"""The field types and small shapes that more than one kind uses."""

from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, WithJsonSchema

from nightlatch.api import duration, names
from nightlatch.api.meta import Shape
from nightlatch.api.rules import OUT_OF_RANGE, matching, rules, worded


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


# What the pattern lets pass and no calendar has, such as 30 February, `timestamp` refuses.
_RFC_3339 = (
    "^[2-9][0-9]{3}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])T([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.][0-9]{1,9})?"
    "(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])$"
)
_NOT_A_TIME = "write an RFC 3339 time, such as 2027-01-31T00:00:00Z"


def _checked_time(text: str) -> str:
    try:
        datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(_NOT_A_TIME) from None
    return text


# A time that a user writes, from the year 2000 on.
Time = Annotated[
    str,
    Field(
        pattern=_RFC_3339,
        max_length=64,
        json_schema_extra=rules(
            (f"self.matches('{_RFC_3339}')", _NOT_A_TIME),
            (
                f"!self.matches('{_RFC_3339}') || timestamp(self) >= timestamp('1970-01-01T00:00:00Z')",
                "not a day of the calendar: write one that there is, such as 2027-02-28T00:00:00Z",
            ),
        ),
    ),
    AfterValidator(_checked_time),
]

# The name of an object of our kinds.
Name = Annotated[
    str,
    worded(
        names.NAME_PATTERN,
        "write a name of lower-case letters, digits and '-', with a letter first and a letter or digit last",
        names.MAX_NAME_LENGTH,
    ),
]

DNS_LABEL = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"
Namespace = Annotated[
    str,
    worded(
        DNS_LABEL,
        "write a namespace: lower-case letters, digits and '-', with a letter or digit first and last",
        63,
    ),
]

DNS_LABEL_OR_EMPTY = "^([a-z0-9]([-a-z0-9]*[a-z0-9])?)?$"
# The key of a list cannot be left out, so an empty text stands for the object's own namespace.
OwnNamespaceIfEmpty = Annotated[
    str,
    worded(
        DNS_LABEL_OR_EMPTY,
        "write a namespace (lower-case letters, digits and '-'), or leave it out for the object's own",
        63,
    ),
]

_SUBDOMAIN = "[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
DNS_SUBDOMAIN = f"^{_SUBDOMAIN}$"
# The name of a Secret, a PersistentVolumeClaim or a cert-manager issuer.
SecretKeyName = Annotated[
    str,
    worded(
        DNS_SUBDOMAIN,
        "write a name of lower-case letters, digits, '-' and '.', with a letter or digit first and last in each part",
        253,
    ),
]

# SHA-256 of a certificate.
CertificateDigest = Annotated[
    str,
    worded(
        "^[0-9a-f]{64}$",
        "not the digest of a certificate: write the 64 lower-case hex digits of its SHA-256",
        64,
    ),
]

_HOST_LABEL = "[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?"
HostName = Annotated[
    str,
    worded(
        f"^{_HOST_LABEL}([.]{_HOST_LABEL})*$",
        "write a host name such as chat.example.com: lower-case letters, digits and '-', at most 63 between two dots",
        253,
    ),
]

_LABEL_KEY = f"^({_SUBDOMAIN}/)?[A-Za-z0-9]([-A-Za-z0-9_.]{{0,61}}[A-Za-z0-9])?$"
_NOT_A_LABEL_KEY = (
    "not a key: write at most 63 letters, digits, '-', '_' and '.', and before them, if you like, a domain and '/'"
)
# The key of a label or of a taint.
LabelKey = Annotated[str, worded(_LABEL_KEY, _NOT_A_LABEL_KEY, 317)]
# For maps with such keys.
LABEL_KEYS = (f"self.all(key, key.size() <= 317 && key.matches('{_LABEL_KEY}'))", _NOT_A_LABEL_KEY)
LabelValue = Annotated[
    str,
    worded(
        "^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$",
        "not a value: write letters, digits, '-', '_' and '.', with a letter or digit first and last, or an empty text",
        63,
    ),
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
# A Kubernetes resource quantity: 2, 500m, 1Gi. The form is a pattern and not a rule, which would be too dear in a map:
# an API server takes an int-or-string for as long as a whole request, whatever its maxLength. So it also compares no
# requests with limits: core CEL has no quantities (api/rules.py).
Quantity = Annotated[
    str,
    Field(pattern=_QUANTITY, max_length=32),
    BeforeValidator(_number_as_text),
    WithJsonSchema(
        {
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "pattern": _QUANTITY,
            "maxLength": 32,
            "minimum": 0,
            "x-kubernetes-int-or-string": True,
        }
    ),
]


class SecretReference(Shape):
    """A Secret in the same namespace."""

    name: SecretKeyName
    """The Secret's name."""


class RateLimit(Shape):
    """A token bucket: how many calls are let through in a period. Each gateway has one with its share of the limit."""

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
