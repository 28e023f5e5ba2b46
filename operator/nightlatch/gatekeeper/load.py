"""Load reports from Envoy (LRS, about once a second): calls in progress and calls sent, for each cluster.

Unknown is not zero: before the first report of a connected Envoy, and after it disconnects, there is no number.
"""

from collections import Counter
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

from envoy.service.load_stats.v3.lrs_pb2 import LoadStatsResponse
from envoy.service.load_stats.v3.lrs_pb2_grpc import LoadReportingServiceServicer

INTERVAL = timedelta(seconds=1)


class LoadReports(LoadReportingServiceServicer):  # type: ignore[misc]
    """The LRS service. `on_report` is called after every report, and when an Envoy connects or disconnects."""

    def __init__(self, on_report: Callable[[], None]) -> None:
        self._on_report = on_report
        # For each stream: calls in progress by cluster, or None before the first report.
        self._in_progress: dict[object, dict[str, int] | None] = {}
        self._issued: Counter[str] = Counter()

    def in_flight(self, cluster: str) -> int | None:
        """Calls in progress at all connected Envoys; None if one has not reported yet, or if none is connected."""
        reports = list(self._in_progress.values())
        if not reports or None in reports:
            return None
        return sum(report.get(cluster, 0) for report in reports if report is not None)

    def issued(self, cluster: str) -> int:
        """Calls sent to the cluster since this process started."""
        return self._issued[cluster]

    async def StreamLoadStats(self, requests: AsyncIterator[Any], context: Any) -> AsyncIterator[Any]:  # noqa: ARG002, N802
        """The gRPC method."""
        stream = object()
        self._in_progress[stream] = None
        self._on_report()
        try:
            response = LoadStatsResponse(send_all_clusters=True)
            response.load_reporting_interval.FromTimedelta(INTERVAL)
            first = True
            yield response
            async for request in requests:
                # The request that opens the stream carries no load.
                if not first or request.cluster_stats:
                    self._record(stream, request.cluster_stats)
                first = False
        finally:
            del self._in_progress[stream]
            self._on_report()

    def _record(self, stream: object, cluster_stats: Any) -> None:
        progress: dict[str, int] = {}
        for stats in cluster_stats:
            localities = stats.upstream_locality_stats
            progress[stats.cluster_name] = sum(each.total_requests_in_progress for each in localities)
            self._issued[stats.cluster_name] += sum(each.total_issued_requests for each in localities)
        self._in_progress[stream] = progress
        self._on_report()
