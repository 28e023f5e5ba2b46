"""What does a gateway's report cost, as a whole and as a delta?"""

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

from table import markdown

from nightlatch.api.meta import NamespacedName
from nightlatch.scaling.fleet import LastReport, changed_endpoints
from nightlatch.wire.report import EndpointReport, GatewayReport
from nightlatch.wire.report_codec import decode_report, encode_report


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--endpoints", type=int, default=1000)
    arguments.add_argument("--quick", action="store_true", help="fewer repetitions")
    options = arguments.parse_args()
    repeat = 10 if options.quick else 100
    before = _report(options.endpoints)
    rows = [_row("whole", before, _report(options.endpoints), repeat, whole=True)]
    rows += [_row(f"{changed} changed", before, _changed(before, changed), repeat, whole=False) for changed in (50, 1)]
    print(markdown(["report", "bytes", "gateway ms", "leader ms"], rows))


def _report(endpoints: int) -> GatewayReport:
    entries = (
        EndpointReport(NamespacedName("search", f"endpoint-{n:04}"), 1_764_500_000_000 + n, "Warm", n % 7, n * 11, 0)
        for n in range(endpoints)
    )
    return GatewayReport("gateway-7c9f8d-abcde", serving=True, endpoints=tuple(entries))


def _changed(report: GatewayReport, count: int) -> GatewayReport:
    entries = _report(len(report.endpoints)).endpoints
    return replace(report, endpoints=(*(replace(each, held=1) for each in entries[:count]), *entries[count:]))


def _row(name: str, before: GatewayReport, after: GatewayReport, repeat: int, *, whole: bool) -> list[str]:
    """The gateway compares and encodes; the leader decodes, applies, and finds the endpoints that changed."""
    known = LastReport.of(before)

    def send() -> bytes:
        return encode_report(after if whole else after.since(before))

    frame = send()

    def receive() -> None:
        changed_endpoints(known, LastReport.of(decode_report(frame), known))

    return [name, f"{len(frame):,}", f"{_milliseconds(send, repeat):.2f}", f"{_milliseconds(receive, repeat):.2f}"]


def _milliseconds(work: Callable[[], object], repeat: int) -> float:
    """Of the thread's CPU, the middle one."""
    taken = []
    for _ in range(repeat):
        started = time.thread_time()
        work()
        taken.append((time.thread_time() - started) * 1000)
    return statistics.median(taken)


if __name__ == "__main__":
    main()
