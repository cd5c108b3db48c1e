"""What a gateway counts: answers, times, what was shed, what fell back, how far the log and the control plane lie behind."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

BUCKETS_S = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
CONTENT_TYPE = b"text/plain; version=0.0.4; charset=utf-8"


class ModelMeter:
    """The counters of one model under one champion, looked up once."""

    __slots__ = ("fallbacks", "predictions", "requests", "seconds")

    def __init__(self, meters: "Meters", model: str, version: int) -> None:
        labels = (model, str(version))
        self.requests = meters.model_requests.labels(*labels)
        self.predictions = meters.predictions.labels(*labels)
        self.fallbacks = meters.fallbacks.labels(*labels)
        self.seconds = meters.seconds.labels(*labels)


class Meters:
    """All counters of a gateway, under a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        labels = ("model", "version")
        self.answers = Counter("modelyard_gateway_answers_total", "Requests answered.", ("route", "status"), registry=self.registry)
        self.model_requests = Counter("modelyard_gateway_requests_total", "Requests to a model.", labels, registry=self.registry)
        self.predictions = Counter("modelyard_gateway_predictions_total", "Rows answered.", labels, registry=self.registry)
        self.fallbacks = Counter(
            "modelyard_gateway_fallbacks_total", "Rows answered by the declared fallback.", labels, registry=self.registry
        )
        self.seconds = Histogram(
            "modelyard_gateway_request_seconds", "Time to answer, log included.", labels, registry=self.registry, buckets=BUCKETS_S
        )
        self.shed = Counter("modelyard_gateway_shed_total", "Requests told to come back.", ("status",), registry=self.registry)
        self.shadows = Counter("modelyard_gateway_shadow_copies_total", "Copies for shadows.", ("outcome",), registry=self.registry)
        self.labels = Counter("modelyard_gateway_labels_total", "Labels taken.", ("model",), registry=self.registry)
        self.in_flight = self._gauge("in_flight", "Requests under way.")
        self.log_waiting = self._gauge("log_waiting_bytes", "Bytes that wait for the disk.")
        self.log_syncs = self._gauge("log_syncs", "Times that the log was made durable since the start.")
        self.control_age = self._gauge("control_plane_age_seconds", "Since the control plane was last heard of.")
        self.revision = Gauge("modelyard_gateway_revision", "The revision served.", ("model",), registry=self.registry)
        self.revision_age = Gauge(
            "modelyard_gateway_revision_age_seconds", "Since the gateway switched to it.", ("model",), registry=self.registry
        )
        self._answered: dict[tuple[str, int], Counter] = {}
        self._models: dict[tuple[str, int], ModelMeter] = {}

    def answered(self, route: str, status: int) -> Counter:
        """The counter of answers of that status, looked up once."""
        found = self._answered.get((route, status))
        if found is None:
            found = self._answered[route, status] = self.answers.labels(route, str(status))
        return found

    def of(self, model: str, version: int) -> ModelMeter:
        """The counters of a model under that champion."""
        found = self._models.get((model, version))
        if found is None:
            found = self._models[model, version] = ModelMeter(self, model, version)
        return found

    def text(self) -> bytes:
        """All of it in Prometheus's text format."""
        return generate_latest(self.registry)

    def _gauge(self, name: str, words: str) -> Gauge:
        return Gauge(f"modelyard_gateway_{name}", words, registry=self.registry)
