"""The connection to MLflow: its address, and whether server and stores answer.

MLflow's own retries last for minutes. So ``connect`` first asks whether the server answers, see
``fashion_ops.services``, and a request that fails later is repeated three times, for some 15 seconds.
Only this module sets MLflow's address.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mlflow
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.utils.credentials import get_default_host_creds
from mlflow.utils.rest_utils import http_request

from fashion_ops import services
from fashion_ops.services.s3 import s3_service

EXPERIMENT = "fashion-ops"
LOCAL_REGISTRY = Path(".mlflow/mlflow.db")  # below the root, where no server is named


def connect(root: Path, artifacts: bool = False) -> MlflowClient:
    """Connect MLflow to ``MLFLOW_TRACKING_URI``, by default to a SQLite file in ``root/.mlflow``.

    Creates the experiment ``EXPERIMENT`` if it does not exist, and takes it back if somebody deleted
    it: the runs of all versions are in it.

    Args:
        root: of the repository.
        artifacts: the files of versions will be read or written, so their store must answer too.

    Raises:
        ServiceError: the tracking server, its database or the store of artifacts does not answer.
    """
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{root.resolve() / LOCAL_REGISTRY}"
    location = None
    if uri.startswith("sqlite:///"):
        folder = Path(uri.removeprefix("sqlite:///")).resolve().parent
        folder.mkdir(parents=True, exist_ok=True)
        location = (folder / "artifacts").as_uri()
    _await_tracking(uri)
    mlflow.set_tracking_uri(uri)
    with failures_in_one_line():
        client = MlflowClient()
        experiment = client.get_experiment_by_name(EXPERIMENT)
        if experiment is None:
            client.create_experiment(EXPERIMENT, artifact_location=location)
        elif experiment.lifecycle_stage == "deleted":
            client.restore_experiment(experiment.experiment_id)
        if artifacts:
            _await_artifacts(client, uri)
    return client


def _await_tracking(uri: str) -> None:
    """Ask the tracking server, or the database that is used without one, whether it answers."""
    scheme, address = uri.partition(":")[0], services.without_credentials(uri)
    remedy = "start it, or correct MLFLOW_TRACKING_URI"
    if scheme in ("http", "https"):
        path, params = "/api/2.0/mlflow/experiments/get-by-name", {"experiment_name": EXPERIMENT}
        remedy += "; if it runs, look at its log and its database"
        services.await_answer(services.Service("MLflow", address, remedy), _asks(uri, path, params))
    elif scheme.partition("+")[0] == "postgresql":
        services.limit_postgres()
        host, port = services.split_host(uri, services.POSTGRES_PORT)
        service = services.Service("MLflow's PostgreSQL", f"{host}:{port}", remedy)
        services.await_answer(service, services.speaks_postgres(host, port))


def _await_artifacts(client: MlflowClient, uri: str) -> None:
    """Ask the store of the experiment's artifacts whether it answers, through the server if need be."""
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    location = str(experiment.artifact_location)
    if location.startswith("mlflow-artifacts:"):
        remedy = "check the S3 address and keys in the server's environment, and its log"
        service = services.Service(
            "the store of artifacts behind MLflow", services.without_credentials(uri), remedy
        )
        path, params = "/api/2.0/mlflow-artifacts/artifacts", {"path": "no-such-folder"}
        services.await_answer(service, _asks(uri, path, params))
    elif location.startswith("s3:"):
        services.await_answer(*s3_service("MLflow's S3", os.environ.get("MLFLOW_S3_ENDPOINT_URL")))


def _asks(uri: str, path: str, params: dict[str, str]) -> services.Probe:
    """The probe of one request to the tracking server; its errors (5xx) are no answers."""

    def probe(seconds: float) -> None:
        creds = get_default_host_creds(uri)
        limits: dict[str, Any] = {"max_retries": 0, "timeout": seconds, "raise_on_status": False}
        try:
            response: Any = http_request(creds, path, "GET", params=params, **limits)
        except MlflowException as error:
            raise OSError(str(error)) from error
        if response.status_code >= 500:
            raise OSError(f"HTTP {response.status_code} {response.reason}")

    return probe


@contextmanager
def failures_in_one_line() -> Iterator[None]:
    """Turn MLflow's report that a server failed, with the library's whole history, into one line.

    Raises:
        ServiceError: a server did not answer within the block.
        MlflowException: any other, such as an answer that something does not exist.
    """
    try:
        yield
    except MlflowException as error:
        if not re.match(r"API request to .* failed with (\w+ )?exception", str(error)):
            raise
        raise services.ServiceError(
            f"MLflow at {services.without_credentials(mlflow.get_tracking_uri())} failed in the middle "
            f"({services.reason(error)}): start it and run this again; what is complete stays"
        ) from error
