"""What operators see: Prometheus metrics and a JSON line for each request."""

import json
import logging
import sys
import time
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from fashion_ops.serving.champion import Champion

_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 15, 30)
_PHOTOS = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """The metrics of one service, in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        of = {"namespace": "fashion_ops", "registry": self.registry}
        self.requests = Counter("requests", "Requests by path and status", ["path", "status"], **of)
        self.seconds = Histogram(
            "request_seconds", "From headers to answer", ["path"], buckets=_SECONDS, **of
        )
        self.photos = Counter("photos", "Photos by outcome", ["outcome"], **of)
        self.batch = Histogram("batch_photos", "Photos of a batch", buckets=_PHOTOS, **of)
        self.working = Gauge("requests_in_work", "Requests in the service", **of)
        self.version = Gauge("model_version", "Version in use; -1 for none", **of)
        self.rejected = Gauge("model_version_rejected", "Version that failed; 0 for none", **of)
        self.healthy = Gauge("champion_followed", "1 if the registry's champion is in use", **of)
        self.switches = Gauge("model_switches", "How often other models came into use", **of)

    def text(self, champion: Champion) -> bytes:
        """All metrics in Prometheus' text format."""
        self.version.set(champion.served.version if champion.served else -1)
        self.rejected.set(champion.rejected)
        self.healthy.set(champion.served is not None and not champion.failure)
        self.switches.set(champion.switches)
        return generate_latest(self.registry)


class JsonLines(logging.Formatter):
    """Formats a log record as one line of JSON; ``extra={"fields": {...}}`` adds fields."""

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, Any] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            fields["traceback"] = self.formatException(record.exc_info)
        return json.dumps(fields)


def log_json() -> None:
    """Send the log of the service, and uvicorn's, to stderr as JSON lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    for name in ("fashion_ops", "uvicorn"):
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(logging.INFO)
