"""A held call that is refused gets a body in the shape of the API that it called."""

import orjson
import pytest

from nightlatch.gatekeeper.hold import answers
from nightlatch.gatekeeper.hold.waiting_room import Refused

REFUSED = Refused(503, "WakeTimeout", "too late", 10)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v2/models/m/infer", {"error": "WakeTimeout: too late"}),
        (
            "/v1/embeddings",
            {"error": {"message": "too late", "type": "server_error", "param": None, "code": "WakeTimeout"}},
        ),
        ("/else", {"error": {"code": "WakeTimeout", "message": "too late"}}),
    ],
)
def test_body_has_the_shape_of_its_api(path: str, body: object) -> None:
    assert orjson.loads(answers.body(path, REFUSED)) == body
    assert answers.headers(REFUSED)["retry-after"] == "10"
