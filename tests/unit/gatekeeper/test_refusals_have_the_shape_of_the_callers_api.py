"""A held call that is refused gets a body in the shape of the API that it called."""

import base64

import orjson
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from nightlatch.gatekeeper.hold import answers
from nightlatch.gatekeeper.hold.waiting_room import Refused
from nightlatch.wire import caller_errors

REFUSED = Refused(caller_errors.WAKE_TIMEOUT, "too late", "WakeTimeout")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v2/models/m/infer", {"error": "too late", "code": "wake_timeout", "reason": "WakeTimeout"}),
        (
            "/v1/embeddings",
            {
                "error": {
                    "message": "too late",
                    "type": "server_error",
                    "param": None,
                    "code": "wake_timeout",
                    "reason": "WakeTimeout",
                }
            },
        ),
        ("/else", {"error": {"code": "wake_timeout", "message": "too late", "reason": "WakeTimeout"}}),
    ],
)
def test_body_has_the_shape_of_its_api(path: str, body: object) -> None:
    answer = answers.answer(path, "application/json", REFUSED)
    assert orjson.loads(answer.body) == body
    assert (answer.status, answer.headers["retry-after"]) == (503, "10")


def test_there_is_a_reason_only_where_a_wake_failed() -> None:
    many = Refused(caller_errors.TOO_MANY_HELD, "too many")
    assert orjson.loads(answers.answer("/v2", "", many).body) == {"error": "too many", "code": "too_many_held"}


def test_a_grpc_caller_gets_the_sentence_as_it_is_and_the_rest_as_error_info() -> None:
    answer = answers.answer("/v2/models/m/infer", "application/grpc+proto", REFUSED)
    assert (answer.body, answer.headers["grpc-status"]) == ("too late", "14")
    details = answer.headers["grpc-status-details-bin"]
    status = Status.FromString(base64.b64decode(details + "=" * (-len(details) % 4)))
    info = ErrorInfo()
    assert status.details[0].Unpack(info)
    assert (status.code, status.message) == (14, "too late")
    assert (info.reason, info.domain, info.metadata["reason"]) == ("wake_timeout", "nightlatch.dev", "WakeTimeout")
