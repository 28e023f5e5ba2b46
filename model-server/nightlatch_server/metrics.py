"""The server's Prometheus metrics, in a registry of their own."""

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

CONTENT_TYPE = CONTENT_TYPE_LATEST.encode("ascii")

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_COUNTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
_PREFIX = "nightlatch_server_"


class Metrics:
    """Every metric that the server has. Thread-safe, because prometheus_client is."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        self._requests = Counter(_PREFIX + "requests", "Requests answered.", ["operation", "code"], registry=registry)
        self._duration = Histogram(
            _PREFIX + "request_duration_seconds",
            "Time from the last byte of a request to its answer.",
            ["operation"],
            buckets=_SECONDS,
            registry=registry,
        )
        self._queued = self._histogram("queue_duration_seconds", "Time a piece waits for inference.", _SECONDS)
        self._inference = self._histogram("inference_duration_seconds", "Time the model takes for a batch.", _SECONDS)
        self._rows = self._histogram("batch_rows", "Rows in a batch.", _COUNTS)
        self._tokens = self._histogram("batch_tokens", "Tokens in a batch, without padding.", _COUNTS)
        self.running = Gauge(_PREFIX + "requests_running", "Requests being served.", registry=registry)
        self._waiting = Gauge(_PREFIX + "requests_waiting", "Requests in the queue or the model.", registry=registry)
        self._ready = Gauge(_PREFIX + "ready", "1 if the model is ready to serve, otherwise 0.", registry=registry)
        self._load = Gauge(
            _PREFIX + "load_duration_seconds", "Time each phase of the start-up took.", ["phase"], registry=registry
        )
        self._refused = Counter(
            _PREFIX + "connections_refused",
            "Connections refused because the client certificate does not have the admitted identity.",
            registry=registry,
        )
        self._reloads = Counter(
            _PREFIX + "tls_reloads", "New TLS files, by result: taken or refused.", ["result"], registry=registry
        )

    def _histogram(self, name: str, text: str, buckets: Iterable[float]) -> Histogram:
        return Histogram(_PREFIX + name, text, buckets=tuple(buckets), registry=self.registry)

    def request(self, operation: str, status: int, seconds: float) -> None:
        """Count one answered request."""
        self._requests.labels(operation, str(status)).inc()
        self._duration.labels(operation).observe(seconds)

    def batch_started(self, rows: int, tokens: int, waits: Iterable[float]) -> None:
        self._rows.observe(rows)
        self._tokens.observe(tokens)
        for wait in waits:
            self._queued.observe(wait)

    def batch_finished(self, seconds: float) -> None:
        self._inference.observe(seconds)

    def watch(self, *, waiting: Callable[[], float], ready: Callable[[], float]) -> None:
        """Read these two values at each scrape."""
        self._waiting.set_function(waiting)
        self._ready.set_function(ready)

    def phase(self, name: str, seconds: float) -> None:
        """Record how long a phase of the start-up took."""
        self._load.labels(name).set(seconds)

    def connection_refused(self) -> None:
        self._refused.inc()

    def tls_reload(self, result: str) -> None:
        """Count new TLS files as `taken` or `refused`."""
        self._reloads.labels(result).inc()

    def render(self) -> bytes:
        """All metrics in Prometheus' text format."""
        return generate_latest(self.registry)
