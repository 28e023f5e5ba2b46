"""Without a report from every connected Envoy the load is unknown, which is not zero."""

from envoy.service.load_stats.v3.lrs_pb2 import LoadStatsRequest

from nightlatch.gatekeeper.load import LoadReports


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
