"""The scalars and small shapes that the three kinds share."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, ConfigDict, Field, WithJsonSchema

from nightlatch.api import duration
from nightlatch.api.meta import Shape
from nightlatch.api.rules import matching, rules


def _duration(text: str) -> str:
    duration.parse_duration(text)
    return text


Duration = Annotated[
    str,
    Field(
        max_length=duration.MAX_LENGTH,
        json_schema_extra=matching(duration.PATTERN, f"the value {duration.ADVICE}"),
    ),
    AfterValidator(_duration),
]


Name = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)]


SecretKeyName = Annotated[str, Field(pattern=r"^[a-z0-9]([-.a-z0-9]*[a-z0-9])?$", max_length=253)]


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


Permission = Literal["infer", "metadata", "health", "metrics"]


ALL_PERMISSIONS: tuple[Permission, ...] = ("infer", "metadata", "health", "metrics")


HostName = Annotated[
    str, Field(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$", max_length=253)
]


class SecretReference(Shape):
    """A Secret in the object's own namespace; it must carry our label to be read."""

    name: SecretKeyName


def _text_of_number(value: Any) -> Any:
    """YAML reads `cpu: 2` as a number; a quantity is text."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


_QUANTITY = r"^[0-9]+(\.[0-9]+)?(m|k|Ki|M|Mi|G|Gi|T|Ti)?$"


Quantity = Annotated[
    str,
    Field(pattern=_QUANTITY, max_length=32),
    BeforeValidator(_text_of_number),
    WithJsonSchema(
        {
            "anyOf": [{"type": "integer"}, {"type": "string"}],
            "pattern": _QUANTITY,
            "maxLength": 32,
            "x-kubernetes-int-or-string": True,
        }
    ),
]


class RateLimit(Shape):
    """A token bucket for each client identity, on each gateway."""

    model_config = ConfigDict(
        json_schema_extra=rules(
            (
                "!has(self.burst) || self.burst >= self.requests",
                "burst is the most calls at once: write at least as many as requests, or leave burst out",
            )
        )
    )

    requests: Annotated[int, Field(ge=1, le=1_000_000)]
    per: Duration = "1s"
    burst: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
