"""An error that a caller can get, and its body in the shape of the API that the path belongs to."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

# Paths of the Open Inference Protocol and of OpenAI's API begin like this.
OPEN_INFERENCE = "/v2"
OPENAI = "/v1/"


@dataclass(frozen=True, slots=True)
class CallerError:
    """One entry of the table of errors; caller_errors.yaml explains the fields."""

    code: str
    status: int
    grpc_status: int
    openai_type: str
    sentence: str
    details: Mapping[str, str]
    retry_after: int | None
    www_authenticate: str | None

    def say(self, detail: str | None = None, /, **values: object) -> str:
        """The sentence, or the one of this detail, with its {names} filled in."""
        return (self.details[detail] if detail else self.sentence).format(**values)


def error_body(
    path: str, error: CallerError, sentence: str, *, reason: str | None = None, param: str | None = None
) -> dict[str, Any]:
    """The JSON body of `error` for a call to `path`. `reason`: why a wake failed. `param`: OpenAI's name of a field."""
    if path.startswith(OPEN_INFERENCE):
        return open_inference(error.code, sentence, reason)
    if path.startswith(OPENAI):
        return openai(error.code, sentence, error.openai_type, reason, param)
    return plain(error.code, sentence, reason)


def plain(code: str, sentence: str, reason: str | None = None) -> dict[str, Any]:
    """Our own shape, outside of the known protocols."""
    return {"error": {"code": code, "message": sentence, **_reason(reason)}}


def open_inference(code: str, sentence: str, reason: str | None = None) -> dict[str, Any]:
    """Open Inference Protocol says that `error` is a string; the other members are ours."""
    return {"error": sentence, "code": code, **_reason(reason)}


def openai(
    code: str, sentence: str, openai_type: str, reason: str | None = None, param: str | None = None
) -> dict[str, Any]:
    """OpenAI's clients show `message` and compare `code`; `reason` is ours."""
    return {"error": {"message": sentence, "type": openai_type, "param": param, "code": code, **_reason(reason)}}


def _reason(reason: str | None) -> dict[str, str]:
    return {} if reason is None else {"reason": reason}
