"""Asks a service whether it answers, before a library with minutes of retries is let loose on it.

``wait`` asks until there is an answer or the operator's patience is at its end, ``probes`` has the
questions of the protocols that we use, and ``s3`` knows where S3 is.
"""

from fashion_ops.services.probes import (
    POSTGRES_PORT,
    listens,
    speaks,
    speaks_grpc,
    speaks_http,
    speaks_postgres,
    split_host,
    without_credentials,
)
from fashion_ops.services.wait import (
    DEFAULT_WAIT,
    WAIT,
    Probe,
    Service,
    ServiceError,
    await_answer,
    limit_postgres,
    patience,
    reason,
)

__all__ = [
    "DEFAULT_WAIT",
    "POSTGRES_PORT",
    "WAIT",
    "Probe",
    "Service",
    "ServiceError",
    "await_answer",
    "limit_postgres",
    "listens",
    "patience",
    "reason",
    "speaks",
    "speaks_grpc",
    "speaks_http",
    "speaks_postgres",
    "split_host",
    "without_credentials",
]
