"""The operations that a gateway lets through, and the permission that each one needs. All others are refused.

Sources: the Open Inference Protocol v2 (REST) and the OpenAI API reference.
A `{name}` in a path stands for one segment of the characters `A-Za-z0-9._-`.
"""

from dataclasses import dataclass, replace
from typing import Literal

from nightlatch.api.scalars import Permission

Protocol = Literal["OpenInference", "OpenAI"]
MODEL = "{model}"


@dataclass(frozen=True, slots=True)
class Operation:
    """An HTTP method with a path template."""

    permission: Permission
    method: str
    path: str
    protocol: Protocol


def _open_inference(permission: Permission, method: str, path: str) -> Operation:
    return Operation(permission, method, path, "OpenInference")


def _openai(permission: Permission, method: str, path: str) -> Operation:
    return Operation(permission, method, path, "OpenAI")


OPERATIONS: tuple[Operation, ...] = (
    _open_inference("health", "GET", "/v2/health/live"),
    _open_inference("health", "GET", "/v2/health/ready"),
    _open_inference("health", "GET", "/v2/models/{model}/ready"),
    _open_inference("health", "GET", "/v2/models/{model}/versions/{version}/ready"),
    _open_inference("metadata", "GET", "/v2"),
    _open_inference("metadata", "GET", "/v2/models/{model}"),
    _open_inference("metadata", "GET", "/v2/models/{model}/versions/{version}"),
    _open_inference("infer", "POST", "/v2/models/{model}/infer"),
    _open_inference("infer", "POST", "/v2/models/{model}/versions/{version}/infer"),
    _open_inference("metrics", "GET", "/metrics"),
    _openai("health", "GET", "/health"),
    _openai("metadata", "GET", "/v1/models"),
    _openai("metadata", "GET", "/v1/models/{model}"),
    _openai("infer", "POST", "/v1/embeddings"),
    _openai("infer", "POST", "/v1/chat/completions"),
    _openai("infer", "POST", "/v1/completions"),
    _openai("metrics", "GET", "/metrics"),
)


def operations_for(protocol: Protocol | None, model_name: str) -> tuple[Operation, ...]:
    """The operations of one endpoint, with its model's name in place of `{model}`.

    `protocol` None is for the bundled model server, which speaks both. A method and path that both have occurs once.
    """
    spoken = [each for each in OPERATIONS if protocol is None or each.protocol == protocol]
    named = [replace(each, path=each.path.replace(MODEL, model_name)) for each in spoken]
    return tuple({(each.method, each.path): each for each in reversed(named)}.values())[::-1]
