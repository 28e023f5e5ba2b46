"""`docs/reference/metrics.md`: the Prometheus metrics, from the definitions that the collectors are built from."""

from collections.abc import Iterable

from nightlatch.controller.cluster import probes
from nightlatch.gatekeeper.process import metrics
from nightlatch.metrics import MetricDefinition

_INTRODUCTION = """\
# Metrics

The operator and every gateway pod serve `/metrics` in the Prometheus text format on port 8080. In `nightlatch up` each
gatekeeper serves it on a loopback port, which it writes to its announce file. Envoy's own statistics are not on these
ports.

The metrics name every endpoint, so the chart's NetworkPolicies let nobody read them until `networkPolicies.metricsFrom`
names who may: [Install on a cluster](../how-to/install.md#who-may-read-the-metrics).
"""


def render() -> str:
    """The page as Markdown."""
    return "\n".join(
        (
            _INTRODUCTION,
            *("## Operator\n", _table(probes.METRICS)),
            *("## Gateway\n", "`namespace` and `name` are those of the InferenceEndpoint.\n", _table(metrics.METRICS)),
        )
    )


def _table(definitions: Iterable[MetricDefinition]) -> str:
    rows = (
        f"| `{each.name}` | {each.type} | {', '.join(f'`{label}`' for label in each.labels)} | {each.help} |\n"
        for each in definitions
    )
    return "| metric | type | labels | what it says |\n|---|---|---|---|\n" + "".join(rows)
