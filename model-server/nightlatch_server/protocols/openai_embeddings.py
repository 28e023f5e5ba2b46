"""OpenAI's embeddings API: check request bodies and build response bodies. Pure.

https://platform.openai.com/docs/api-reference/embeddings
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from nightlatch_server import caller_errors
from nightlatch_server.models.base import Vectors
from nightlatch_server.request_error import RequestError

MAX_INPUTS = 2048


@dataclass(frozen=True, slots=True)
class TextRequest:
    """At least one text to embed. `base64`: encode the vectors that way; otherwise they are lists of numbers."""

    texts: Sequence[str]
    base64: bool


@dataclass(frozen=True, slots=True)
class TokenRequest:
    """At least one row of token ids to embed."""

    rows: Sequence[Sequence[int]]
    base64: bool


@dataclass(frozen=True, slots=True)
class ModelFacts:
    """What a request is checked against. `dimension` and `max_tokens` limit one vector and one row."""

    name: str
    dimension: int
    max_tokens: int
    vocabulary: int


def parse_embeddings(body: bytes, model: ModelFacts) -> TextRequest | TokenRequest:
    """Check a request to POST /v1/embeddings. Raises RequestError 400 or 404."""
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RequestError(caller_errors.INVALID_REQUEST, f"the body is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise RequestError(caller_errors.INVALID_REQUEST, "the body must be a JSON object")
    check_model(value.get("model"), model.name)
    dimensions = value.get("dimensions")
    if dimensions is not None and dimensions != model.dimension:
        raise _bad("dimensions", f"the vectors of this model have {model.dimension} dimensions and cannot be shortened")
    encoding = value.get("encoding_format", "float")
    if encoding not in ("float", "base64", None):
        raise _bad("encoding_format", "encoding_format must be float or base64")
    return _input(value.get("input"), model, base64=encoding == "base64")


def check_model(wanted: object, name: str) -> None:
    """Raise RequestError 400 or 404 unless `wanted` is the name of the served model."""
    if not isinstance(wanted, str):
        raise _bad("model", "model must be given as a string")
    if wanted != name:
        error = caller_errors.MODEL_NOT_FOUND
        raise RequestError(error, error.say(wanted=wanted[:64], name=name), param="model")


def embeddings_response(name: str, vectors: Vectors, tokens: int, *, base64: bool) -> dict[str, object]:
    """The answer to POST /v1/embeddings. `vectors` has shape [n, dimension]; `tokens` is the number of input tokens."""
    data = [
        {"object": "embedding", "index": i, "embedding": _base64(row) if base64 else row}
        for i, row in enumerate(vectors)
    ]
    usage = {"prompt_tokens": tokens, "total_tokens": tokens}
    return {"object": "list", "data": data, "model": name, "usage": usage}


def model_object(name: str, created: int) -> dict[str, object]:
    """One entry of GET /v1/models; `created` is in Unix seconds."""
    return {"id": name, "object": "model", "created": created, "owned_by": "nightlatch"}


def _base64(row: Vectors) -> str:
    return base64.b64encode(row.astype("<f4", copy=False).tobytes()).decode("ascii")


def _bad(param: str, message: str) -> RequestError:
    return RequestError(caller_errors.INVALID_REQUEST, message, param=param)


def _input(value: object, model: ModelFacts, *, base64: bool) -> TextRequest | TokenRequest:
    if isinstance(value, str):
        return TextRequest([_text(value)], base64)
    if not isinstance(value, list) or not value:
        raise _bad("input", "input must be a string, a list of strings, a list of token ids or a list of such lists")
    if type(value[0]) is int:
        return TokenRequest([_token_ids(value, model)], base64)
    if len(value) > MAX_INPUTS:
        raise _bad("input", f"input has {len(value)} entries, {MAX_INPUTS} at most")
    if isinstance(value[0], str):
        return TextRequest([_text(item) for item in value], base64)
    return TokenRequest([_token_ids(item, model) for item in value], base64)


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise _bad("input", "input must not contain an empty string or a mixture of types")
    return value


def _token_ids(value: Any, model: ModelFacts) -> list[int]:
    if not isinstance(value, list) or not value or not all(type(n) is int for n in value):
        raise _bad("input", "a list of token ids must contain integers only, at least one")
    if len(value) > model.max_tokens:
        raise _bad("input", f"a list of {len(value)} token ids is longer than this model's {model.max_tokens}")
    if not all(0 <= n < model.vocabulary for n in value):
        raise _bad("input", f"a token id is outside of this model's vocabulary (0 to {model.vocabulary - 1})")
    return value
