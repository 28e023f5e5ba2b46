"""Bodies, headers, configuration, timing, load, revocations."""

import base64
from dataclasses import replace

import orjson
import pytest
from envoy.service.load_stats.v3.lrs_pb2 import LoadStatsRequest
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from nightlatch.api.meta import NamespacedName
from nightlatch.gatekeeper.hold import answers
from nightlatch.gatekeeper.hold.hold_service import asked_timeout
from nightlatch.gatekeeper.hold.revocation import takes_away
from nightlatch.gatekeeper.hold.waiting_room import Refused
from nightlatch.gatekeeper.hold.wake_timer import WakeTimer
from nightlatch.gatekeeper.load import LoadReports
from nightlatch.gatekeeper.process.config import ConfigError, parse_config
from nightlatch.wire import caller_errors
from nightlatch.wire.route_document import KeyGrant
from tests.unit.gatekeeper.test_documents import DOCUMENT

REFUSED = Refused(caller_errors.WAKE_TIMEOUT, "too late", "WakeTimeout")
CONFIG = {
    "gateway": "gateway-0",
    "gateway_namespace": "nightlatch-gateway",
    "trust_domain": "nightlatch.local",
    "store": {"kind": "files", "directory": "s"},
    "workloads": {"kind": "processes", "directory": "w"},
    "socket": "a.sock",
    "listen": {"host": "127.0.0.1", "port": 8443},
    "report": {"host": "127.0.0.1", "port": 0},
    "announce": "announce.json",
    "max_staleness_s": 3600,
    "metrics": 0,
}


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


@pytest.mark.parametrize("text", ["soon", "", "0", "-1", "nan", "inf"])
def test_a_hold_timeout_that_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - float() says it in its own words
        asked_timeout({"x-nightlatch-hold-timeout": text})


def test_a_hold_timeout_is_seconds() -> None:
    assert asked_timeout({"x-nightlatch-hold-timeout": "1.5"}) == 1.5
    assert asked_timeout({}) is None


@pytest.mark.parametrize(
    ("entry", "value", "named"),
    [
        ("gateway", "", "gateway"),
        ("listen", {"host": "127.0.0.1", "port": 70000}, "listen.port"),
        ("report", {"port": 1}, "host"),
        ("max_staleness_s", "1h", "max_staleness_s"),
        ("store", {"kind": "files"}, "directory"),
        ("log_level", "loud", "log_level"),
        ("listens", {}, "unknown members: listens"),
    ],
)
def test_bad_configuration_names_the_entry(entry: str, value: object, named: str) -> None:
    with pytest.raises(ConfigError, match=named):
        parse_config({**CONFIG, entry: value})


def test_good_configuration_is_read() -> None:
    config = parse_config(CONFIG)
    assert (config.metrics.port, config.listen.port, config.max_staleness) == (0, 8443, 3600.0)
    assert (config.log_level, parse_config({**CONFIG, "log_level": "debug"}).log_level) == ("info", "debug")


def test_wake_phases_add_up_and_a_skipped_one_takes_no_time() -> None:
    timer = WakeTimer()
    timer.begin(10.0)
    timer.mark("directed", 10.1)
    timer.mark("directed", 10.9)
    timer.mark("answered", 11.0)
    timer.mark("applied", 11.5)
    timer.mark("released", 12.0)
    assert timer.finish() == {"demand": 100.0, "start": 0.0, "probe": 900.0, "eds": 500.0, "release": 500.0}
    assert timer.finish() is None


async def _requests(*requests: LoadStatsRequest):
    for request in requests:
        yield request


def _load(cluster: str, in_progress: int, issued: int) -> LoadStatsRequest:
    request = LoadStatsRequest()
    stats = request.cluster_stats.add(cluster_name=cluster)
    stats.upstream_locality_stats.add(total_requests_in_progress=in_progress, total_issued_requests=issued)
    return request


async def test_load_is_unknown_before_the_first_report_and_after_envoy_went() -> None:
    seen: list[tuple[int | None, int]] = []
    loads = LoadReports(lambda: seen.append((loads.in_flight("a/b"), loads.issued("a/b"))))
    requests = _requests(LoadStatsRequest(), _load("a/b", 3, 5), _load("a/b", 1, 2))
    async for _ in loads.StreamLoadStats(requests, None):
        pass
    assert seen == [(None, 0), (3, 5), (1, 7), (None, 7)]


def test_revocations_are_told_from_other_changes() -> None:
    grant = KeyGrant("0" * 64, NamespacedName("search", "bot"), "k", ("infer", "metadata"), not_after=100)
    before = replace(DOCUMENT, keys=(grant,))
    assert not takes_away(before, replace(before, sequence=2, request_timeout=1.0))
    assert not takes_away(before, replace(before, keys=(grant, replace(grant, sha256="1" * 64))))
    assert not takes_away(before, replace(before, keys=(replace(grant, not_after=200),)))
    for less in (
        replace(before, keys=()),
        replace(before, keys=(replace(grant, permissions=("metadata",)),)),
        replace(before, keys=(replace(grant, not_after=50),)),
        replace(before, denied="broken"),
    ):
        assert takes_away(before, less)
