"""The real model, all-MiniLM-L6-v2: what it says of related and unrelated sentences."""

from collections.abc import Iterator
from pathlib import Path

import openai
import pytest

from tests.unit.model_server.process import ModelServer, model_server


@pytest.fixture(scope="module")
def server(minilm: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[ModelServer]:
    with model_server(minilm, tmp_path_factory.mktemp("minilm")) as running:
        running.wait_ready()
        yield running


def embed(server: ModelServer, *texts: str) -> list[list[float]]:
    with server.client() as http, openai.OpenAI(api_key="x", base_url=f"{server.url}/v1", http_client=http) as client:
        return [item.embedding for item in client.embeddings.create(model="minilm", input=list(texts)).data]


def cosine(a: list[float], b: list[float]) -> float:
    return sum(x * y for x, y in zip(a, b, strict=True))


def test_related_sentences_are_near_and_unrelated_ones_are_not(server: ModelServer) -> None:
    cat, feline, stocks = embed(
        server, "A cat sits on the mat.", "A kitten is sitting on a rug.", "Stock markets fell sharply on Tuesday."
    )
    assert cosine(cat, feline) > 0.6
    assert abs(cosine(cat, stocks)) < 0.15


def test_a_known_vector_comes_out(server: ModelServer) -> None:
    """The first numbers of 'hello' as sentence-transformers gives them for this model."""
    (vector,) = embed(server, "hello")
    assert vector[:4] == pytest.approx([-0.0627718, 0.0549588, 0.0521649, 0.0857900], abs=2e-4)
    assert len(vector) == 384


def test_a_text_beyond_the_limit_is_cut_there(server: ModelServer) -> None:
    long, longer = embed(server, "cat " * 300, "cat " * 3000)
    assert cosine(long, longer) == pytest.approx(1, abs=1e-4)
