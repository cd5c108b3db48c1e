"""Where traces go: to an OpenTelemetry collector, over HTTP."""

from urllib.parse import urlsplit

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor

EXPORT_TIMEOUT_S = 5.0


def provider_of(endpoint: str, role: str) -> TracerProvider:
    """What sends the traces of a role to `endpoint`, until it is shut down."""
    provider = TracerProvider(resource=Resource.create({"service.name": f"modelyard-{role}"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=traces_url(endpoint), timeout=EXPORT_TIMEOUT_S)))
    return provider


def traces_url(endpoint: str) -> str:
    """Where traces go: OTLP's own path for them, unless `endpoint` names one.

    >>> traces_url("http://collector:4318"), traces_url("https://x.example/otlp/v1/traces")
    ('http://collector:4318/v1/traces', 'https://x.example/otlp/v1/traces')
    """
    has_path = urlsplit(endpoint).path not in ("", "/")
    return endpoint if has_path else f"{endpoint.rstrip('/')}/v1/traces"
