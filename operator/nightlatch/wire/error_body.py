"""The body of an error, in the shape of the API that the path belongs to. A `reason` is there where a wake failed."""

from typing import Any

from nightlatch.wire.caller_errors import CallerError

# Paths of the Open Inference Protocol and of OpenAI's API begin like this.
OPEN_INFERENCE = "/v2"
OPENAI = "/v1/"


def error_body(path: str, error: CallerError, sentence: str, reason: str | None = None) -> dict[str, Any]:
    """The JSON body of `error` for a call to `path`."""
    if path.startswith(OPEN_INFERENCE):
        return open_inference(error.code, sentence, reason)
    if path.startswith(OPENAI):
        return openai(error.code, sentence, error.openai_type, reason)
    return plain(error.code, sentence, reason)


def plain(code: str, sentence: str, reason: str | None = None) -> dict[str, Any]:
    """Our own shape, outside of the known protocols."""
    return {"error": {"code": code, "message": sentence, **_reason(reason)}}


def open_inference(code: str, sentence: str, reason: str | None = None) -> dict[str, Any]:
    """Open Inference Protocol says that `error` is a string; the other members are ours."""
    return {"error": sentence, "code": code, **_reason(reason)}


def openai(code: str, sentence: str, openai_type: str, reason: str | None = None) -> dict[str, Any]:
    """OpenAI's clients show `message` and compare `code`."""
    return {"error": {"message": sentence, "type": openai_type, "param": None, "code": code, **_reason(reason)}}


def _reason(reason: str | None) -> dict[str, str]:
    return {} if reason is None else {"reason": reason}
