"""The operation table: every call a runtime may be asked for, by the permission it needs. Nothing else is let through.

Sources: Open Inference Protocol v2 (REST), github.com/kserve/open-inference-protocol, and the OpenAI API reference.
A `{name}` segment of a path stands for one segment of `[A-Za-z0-9._-]`.
"""

from dataclasses import dataclass, replace
from typing import Literal

from nightlatch.api.scalars import Permission

Protocol = Literal["OpenInference", "OpenAI"]
MODEL = "{model}"


@dataclass(frozen=True, slots=True)
class Operation:
    """An exact operation: HTTP method and path template; a `{name}` segment matches one segment."""

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
    """The table of one endpoint, with its model's name in place of `{model}`.

    `protocol` None is the bundled server, which speaks both; a method and path occurs once.
    """
    spoken = [each for each in OPERATIONS if protocol is None or each.protocol == protocol]
    named = [replace(each, path=each.path.replace(MODEL, model_name)) for each in spoken]
    return tuple({(each.method, each.path): each for each in reversed(named)}.values())[::-1]
