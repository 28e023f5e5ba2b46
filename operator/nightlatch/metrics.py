"""Prometheus metrics as data: each process lists its metrics as definitions, and its collector is built from them.

The same definitions are the source of docs/reference/metrics.md.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric


@dataclass(frozen=True, slots=True)
class MetricDefinition:
    """One metric. `name` is the name that Prometheus sees, so a counter's ends in `_total`. `help` is a sentence."""

    name: str
    type: Literal["counter", "gauge"]
    help: str
    labels: tuple[str, ...] = ()

    def value(self, value: float) -> Metric:
        """The metric with this value, for a metric without labels."""
        return self.values([((), value)])

    def values(self, samples: Iterable[tuple[tuple[str, ...], float]]) -> Metric:
        """The metric with these samples: the values of its labels, and the value."""
        family = CounterMetricFamily if self.type == "counter" else GaugeMetricFamily
        metric = family(self.name, self.help, labels=self.labels)
        for labels, value in samples:
            metric.add_metric(labels, value)
        return metric
