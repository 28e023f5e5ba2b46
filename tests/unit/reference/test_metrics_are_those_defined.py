"""The collectors give exactly the metrics that are defined, and the reference page lists every one of them."""

import pytest
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from nightlatch.api.meta import NamespacedName
from nightlatch.controller.cluster import probes
from nightlatch.gatekeeper.process import metrics
from nightlatch.gatekeeper.stats import GatewayStats
from nightlatch.metrics import MetricDefinition
from nightlatch.reference.metrics import render
from nightlatch.wire.report import EndpointReport

ENDPOINT = EndpointReport(NamespacedName("search", "minilm"), applied=1, phase="Warm", in_flight=2, issued=3, held=4)
GATEWAY = GatewayStats(
    endpoints=(ENDPOINT,),
    held_limit=8,
    held_refused=9,
    checks=5,
    acks=6,
    nacks=7,
    streams=1,
    leader_connected=True,
    store_age=0.5,
    stale=False,
    serving=True,
    loaded=True,
    awaits_documents=False,
)
OPERATOR = probes.OperatorStats(
    leading=True, heartbeat_age=1.0, waiting=2, reconciles=3, failures=4, states={"Asleep": 5}
)
COLLECTORS = pytest.mark.parametrize(
    ("collector", "definitions"),
    [
        (metrics.GatewayCollector(GATEWAY, {"rate": 10}), metrics.METRICS),
        (probes.OperatorCollector(lambda: OPERATOR), probes.METRICS),
    ],
)


def exposed(metric: Metric) -> str:
    return f"{metric.name}_total" if metric.type == "counter" else metric.name


@COLLECTORS
def test_a_collector_gives_the_defined_metrics(collector: Collector, definitions: tuple[MetricDefinition, ...]) -> None:
    collected = [(exposed(each), each.type, each.documentation) for each in collector.collect()]
    assert collected == [(each.name, each.type, each.help) for each in definitions]


@COLLECTORS
def test_every_sample_has_the_defined_name_and_labels(
    collector: Collector, definitions: tuple[MetricDefinition, ...]
) -> None:
    labels = {each.name: set(each.labels) for each in definitions}
    samples = [sample for metric in collector.collect() for sample in metric.samples]
    assert {sample.name for sample in samples} == labels.keys()
    assert all(set(sample.labels) == labels[sample.name] for sample in samples)


def test_names_follow_the_conventions_of_prometheus() -> None:
    for each in (*metrics.METRICS, *probes.METRICS):
        assert each.name.startswith("nightlatch_")
        assert each.name.endswith("_total") == (each.type == "counter")
        assert each.help.endswith(".")


def test_an_unknown_load_has_no_sample() -> None:
    unknown = EndpointReport(NamespacedName("a", "b"), applied=1, phase="Cold", in_flight=None, issued=0, held=0)
    metric = metrics.IN_FLIGHT.values([])
    collected = metrics.GatewayCollector(
        GatewayStats((unknown,), 0, 0, 0, 0, 0, 0, False, 0.0, False, True, True, False), {}
    )
    assert next(each for each in collected.collect() if each.name == metric.name).samples == []


def test_the_page_lists_every_metric() -> None:
    text = render()
    for each in (*metrics.METRICS, *probes.METRICS):
        assert f"| `{each.name}` | {each.type} |" in text
