"""OpenAI's embeddings API: the forms of input, and errors with the parameter they are about."""

import base64
import json
from typing import Any

import numpy as np
import orjson
import pytest

from nightlatch_server.protocols import openai_embeddings
from nightlatch_server.protocols.errors import error_answer
from nightlatch_server.request_error import RequestError

MODEL = openai_embeddings.ModelFacts("m", dimension=4, max_tokens=8, vocabulary=100)


def parse(**change: Any) -> openai_embeddings.TextRequest | openai_embeddings.TokenRequest:
    return openai_embeddings.parse_embeddings(json.dumps({"model": "m", "input": "hello", **change}).encode(), MODEL)


@pytest.mark.parametrize(
    ("given", "understood"),
    [
        ("a", openai_embeddings.TextRequest(["a"], base64=False)),
        (["a", "b"], openai_embeddings.TextRequest(["a", "b"], base64=False)),
        ([1, 2], openai_embeddings.TokenRequest([[1, 2]], base64=False)),
        ([[1], [2, 3]], openai_embeddings.TokenRequest([[1], [2, 3]], base64=False)),
    ],
)
def test_input_may_be_text_texts_tokens_or_lists_of_tokens(given: object, understood: object) -> None:
    assert parse(input=given) == understood


@pytest.mark.parametrize(
    ("change", "param", "says"),
    [
        ({"input": ""}, "input", "empty"),
        ({"input": []}, "input", "input must be"),
        ({"input": None}, "input", "input must be"),
        ({"input": ["a", 1]}, "input", "mixture"),
        ({"input": [1, "a"]}, "input", "integers only"),
        ({"input": [[]]}, "input", "at least one"),
        ({"input": [[1], "a"]}, "input", "integers only"),
        ({"input": [True]}, "input", "integers only"),
        ({"input": [100]}, "input", "vocabulary"),
        ({"input": [-1]}, "input", "vocabulary"),
        ({"input": [1] * 9}, "input", "longer than this model's 8"),
        ({"input": ["a"] * 2049}, "input", "2048 at most"),
        ({"dimensions": 2}, "dimensions", "4 dimensions"),
        ({"encoding_format": "hex"}, "encoding_format", "float or base64"),
        ({"model": None}, "model", "must be given"),
    ],
)
def test_a_bad_request_is_400_and_names_the_parameter(change: dict[str, Any], param: str, says: str) -> None:
    with pytest.raises(RequestError, match=says) as refused:
        parse(**change)
    assert (refused.value.error.status, refused.value.param) == (400, param)


def test_another_model_is_404_model_not_found() -> None:
    with pytest.raises(RequestError) as refused:
        parse(model="gpt-9")
    error = orjson.loads(error_answer("/v1/embeddings", refused.value).body)["error"]
    assert refused.value.error.status == 404
    assert isinstance(error, dict)
    assert (error["code"], error["type"], error["param"]) == ("model_not_found", "invalid_request_error", "model")


def test_base64_is_little_endian_float32() -> None:
    vectors = np.array([[1.0, -2.5, 0.0, 3.0]], np.float32)
    answer: Any = openai_embeddings.embeddings_response("m", vectors, 3, base64=True)
    raw = base64.b64decode(answer["data"][0]["embedding"])
    assert np.frombuffer(raw, "<f4").tolist() == vectors[0].tolist()
    assert answer["usage"] == {"prompt_tokens": 3, "total_tokens": 3}
