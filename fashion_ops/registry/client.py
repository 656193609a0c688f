"""The model registry: versions of the complete bundle of models in MLflow, and their aliases.

A version holds all models that predict (detector, universal landmarker, 13 finetuned landmarkers, 13
refiners) and their origin (``params.yaml``, ``dvc.lock``, git commit). The alias ``challenger`` points
to the newest version, ``champion`` to the one in use, and ``previous`` to the champion before it. Only
this package uses MLflow.
"""

import hashlib
import importlib.metadata
import json
import math
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mlflow
from mlflow import MlflowClient
from mlflow.artifacts import download_artifacts
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from mlflow.models import Model, ModelSignature
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema

from fashion_ops import services
from fashion_ops.errors.failures import is_of_a_service
from fashion_ops.files.processes import this_process
from fashion_ops.methods.pickles import refuse_pickles
from fashion_ops.registry.connection import (
    EXPERIMENT,
    LOCAL_REGISTRY,
    connect,
    failures_in_one_line,
)
from fashion_ops.workspace import find_root

warnings.filterwarnings("ignore", message=".*input example was not provided.*")  # it would hold a photo

CHALLENGER, CHAMPION, PREVIOUS = "challenger", "champion", "previous"
LOCAL_PAGES = "http://127.0.0.1:5000"  # where `make ui` serves a local registry
PAGES = "FASHION_OPS_MLFLOW_PAGES"  # environment variable: where `make ui` does, if not there
OWNER_TAG = "fashion_ops.process"  # tag of a run: host:pid:start of the process that writes it
CARD_TAG = "card"  # of a version: digest of the description that ``describe`` wrote
LINEAGE_TAG = "lineage"  # digest of the entries in dvc.lock: equal lineages hold equal models
SIGNATURE = ModelSignature(
    inputs=Schema([ColSpec(DataType.binary, "image")]),
    outputs=Schema([ColSpec(DataType.string, "garments")]),
    params=ParamSchema([ParamSpec("min_score", DataType.double, None)]),
)
_NOT_THERE = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")  # codes of an unknown name
_LONGEST_DESCRIPTION = 5000  # characters
_BATCH = 100  # parameters that MLflow accepts in one call


def register(
    client: MlflowClient,
    name: str,
    bundle: Path,
    records: Path,
    metrics: Mapping[str, Any],
    params: Mapping[str, Any],
    tags: Mapping[str, str],
) -> ModelVersion:
    """Log a bundle as a new version of the model ``name`` and make it challenger.

    Args:
        client: from ``connect``.
        name: name of the registered model.
        bundle: folder with the models, ``params.yaml`` and ``dvc.lock``.
        records: folder whose files become artifacts of the version's run.
        metrics: nested metrics, as ``evaluate`` wrote them; only finite numbers are logged.
        params: nested parameters of ``params.yaml``.
        tags: tags of the version and of its run.

    Returns:
        The new version.
    """
    python_model = Path(__file__).with_name("pyfunc.py")
    package = importlib.metadata.version("fashion-ops")
    experiment = client.get_experiment_by_name(EXPERIMENT)
    assert experiment is not None
    of_run = {**tags, OWNER_TAG: this_process()}
    with mlflow.start_run(experiment_id=experiment.experiment_id, tags=of_run) as run:
        flat = [(key, value) for key, value in flatten(params).items()]
        for start in range(0, len(flat), _BATCH):
            mlflow.log_params(dict(flat[start : start + _BATCH]))
        numbers = {k: float(v) for k, v in flatten(metrics).items() if isinstance(v, int | float)}
        mlflow.log_metrics({k: v for k, v in numbers.items() if math.isfinite(v)})
        mlflow.log_artifacts(str(records))
        info = mlflow.pyfunc.log_model(
            name="bundle",
            python_model=str(python_model),
            artifacts={"bundle": str(bundle)},
            signature=SIGNATURE,
            pip_requirements=[f"fashion-ops=={package}"],
            model_config={"device": "auto"},
        )
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    version = client.create_model_version(
        name, info.model_uri, run.info.run_id, tags=dict(tags), model_id=info.model_id
    )
    client.set_registered_model_alias(name, CHALLENGER, version.version)
    return version


def describe(client: MlflowClient, version: ModelVersion, text: str) -> None:
    """Give a version its description, and remember that no person wrote it.

    Args:
        client: from ``connect``.
        version: the version.
        text: Markdown; MLflow's databases keep 5000 characters.
    """
    text = text[:_LONGEST_DESCRIPTION]
    client.update_model_version(version.name, version.version, text)
    client.set_model_version_tag(version.name, version.version, CARD_TAG, _digest(text))


def has_own_description(version: ModelVersion) -> bool:
    """Whether a person has written or changed the description of a version."""
    text = version.description or ""
    return bool(text) and version.tags.get(CARD_TAG) != _digest(text)


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def run_page(experiment: str, run: str) -> str:
    """Address of the page of a run, by the ids of the experiment and the run.

    It is on the tracking server; for a local registry, where ``make ui`` serves its pages.
    """
    return f"{_pages()}/#/experiments/{experiment}/runs/{run}"


def version_page(name: str, version: int) -> str:
    """Address of the page of a model version, on the same server as ``run_page``."""
    return f"{_pages()}/#/models/{name}/versions/{version}"


def _pages() -> str:
    """Address of MLflow's pages, without a slash at the end."""
    uri = mlflow.get_tracking_uri()
    if uri.startswith("http"):
        return services.without_credentials(uri).rstrip("/")
    return os.environ.get(PAGES, LOCAL_PAGES)


def with_lineage(client: MlflowClient, name: str, lineage: str) -> ModelVersion | None:
    """The newest version of a model with this lineage (see ``LINEAGE_TAG``); None if there is none."""
    versions = [
        v for v in client.search_model_versions(f"name='{name}'") if v.tags.get(LINEAGE_TAG) == lineage
    ]
    return max(versions, key=lambda v: int(v.version), default=None)


def with_alias(client: MlflowClient, name: str, alias: str) -> ModelVersion | None:
    """The version that an alias points to; None if there is no such alias."""
    try:
        return client.get_model_version_by_alias(name, alias)
    except MlflowException as error:
        if not is_missing(error):
            raise
        return None


def is_missing(error: MlflowException) -> bool:
    """Whether the registry answered that the object does not exist, rather than failed to answer."""
    return error.error_code in _NOT_THERE


@contextmanager
def if_there() -> Iterator[None]:
    """Do a part if its object exists: the answer that it does not ends the block, without an error.

    Raises:
        MlflowException: the registry failed to answer.
    """
    try:
        yield
    except MlflowException as error:
        if not is_missing(error):
            raise


def find_version(client: MlflowClient, name: str, number_or_alias: str) -> ModelVersion:
    """The version with this number or alias.

    Raises:
        ValueError: there is none; the message lists the existing versions.
    """
    version = with_alias(client, name, number_or_alias)
    if version is None and number_or_alias.isdecimal():
        with if_there():
            version = client.get_model_version(name, number_or_alias)
    if version is None:
        known = sorted(int(v.version) for v in client.search_model_versions(f"name='{name}'"))
        raise ValueError(
            f"{name}: no version or alias {number_or_alias!r}; there are {known or 'none'}"
        )
    return version


@contextmanager
def _fetching(what: str, missing: str) -> Iterator[None]:
    """Tell what the registry does not have from what it fails to give.

    Args:
        what: is fetched; both messages begin with it.
        missing: what to say if the registry answers that there is no such thing.

    Raises:
        FileNotFoundError: it answers that.
        ServiceError: it does not answer, or its store of artifacts doesn't.
    """
    try:
        with failures_in_one_line():
            yield
    except Exception as error:
        if isinstance(error, MlflowException) and is_missing(error):
            raise FileNotFoundError(f"{what}: {missing} ({error})") from error
        if isinstance(error, MlflowException) or is_of_a_service(error):
            uri = services.without_credentials(mlflow.get_tracking_uri())
            raise services.ServiceError(
                f"{what}: its files cannot be fetched ({error}); check that the server and the "
                f"artifact store behind {uri} run"
            ) from error
        raise


def fetch_record(version: ModelVersion, path: str) -> Path:
    """Download a file or folder that ``register`` kept with a version.

    Args:
        version: the version.
        path: name of the file or folder among the artifacts of the version's run.

    Returns:
        Path of the local copy; where the artifacts are files of this machine, of the artifact itself.

    Raises:
        FileNotFoundError: the version has no such record, or its run is gone.
        ServiceError: the registry does not answer.
    """
    what = f"{version.name} version {version.version}"
    missing = f"has no record {path!r}; `fashion-ops register` keeps one with each new version"
    with _fetching(what, missing):
        # Not by a URI runs:/, for which MLflow says of every failure that there is no such artifact.
        run = MlflowClient().get_run(str(version.run_id))
        store = get_artifact_repository(str(run.info.artifact_uri))
        if path not in {artifact.path for artifact in store.list_artifacts()}:
            raise FileNotFoundError(f"{what}: {missing}")
        return Path(store.download_artifacts(path))


def metrics_of(version: ModelVersion) -> dict[str, Any]:
    """The content of the metrics.json that ``evaluate`` wrote for the models of a version.

    Raises:
        FileNotFoundError: the version's run is gone.
        ServiceError: the registry does not answer.
    """
    return json.loads(fetch_record(version, "metrics.json").read_text(encoding="utf-8"))


def keep_run(client: MlflowClient, version: ModelVersion) -> None:
    """Take back the run of a version if somebody deleted it, so that ``mlflow gc`` does not take it.

    Does nothing if it is gone for good.
    """
    with if_there():
        run = client.get_run(str(version.run_id))
        if run.info.lifecycle_stage == "deleted":
            client.restore_run(run.info.run_id)


def record_decision(
    client: MlflowClient, version: ModelVersion, decision: Mapping[str, Any], page: Path
) -> None:
    """Keep a decision of ``promote`` with the version that it is about.

    Args:
        client: from ``connect``.
        version: the challenger.
        decision: the content of promotion.json, which becomes an artifact; a summary becomes a tag.
        page: the HTML page of the decision, which becomes an artifact.
    """
    assert version.run_id is not None
    client.log_dict(version.run_id, dict(decision), "promotion.json")
    client.log_artifact(version.run_id, str(page))
    summary = {key: decision[key] for key in ("promoted", "against", "reasons")}
    client.set_model_version_tag(version.name, version.version, "promotion", json.dumps(summary))


def fetch_bundle(source: str, into: Path | None = None) -> Path:
    """Download the folder of models of a version, by its MLflow URI.

    Args:
        source: ``models:/NAME@ALIAS`` or ``models:/NAME/VERSION``.
        into: folder to copy it into; None lets MLflow choose, which may copy nothing.

    Raises:
        FileNotFoundError: no such model, version or alias; or fashion-ops did not register the model.
        ServiceError: the registry does not answer.
        UnsafeModel: there is a pickle in it, among the models or among MLflow's files.
    """
    root = Path() if os.environ.get("MLFLOW_TRACKING_URI") else find_root()  # needs no workspace
    connect(root, artifacts=True)
    missing = (
        f"not in the registry at {services.without_credentials(mlflow.get_tracking_uri())}; "
        "`fashion-ops register` and `fashion-ops promote` put one there"
    )
    with _fetching(source, missing):
        if into is not None:
            into.mkdir(parents=True, exist_ok=True)
        folder = Path(download_artifacts(artifact_uri=source, dst_path=into and str(into)))
    refuse_pickles(folder)
    artifacts = Model.load(str(folder)).flavors.get("python_function", {}).get("artifacts", {})
    if "bundle" not in artifacts:
        raise FileNotFoundError(f"{source}: a model, but not one that fashion-ops registered")
    return folder / artifacts["bundle"]["path"]


def has_version(source: str) -> bool:
    """Whether the registry has the version that an MLflow URI names; False outside of a workspace.

    Args:
        source: ``models:/NAME@ALIAS``.

    Raises:
        ServiceError: the registry does not answer.
    """
    root = Path()
    if not os.environ.get("MLFLOW_TRACKING_URI"):
        try:
            root = find_root()
        except FileNotFoundError:
            return False
        if not (root / LOCAL_REGISTRY).is_file():  # asking would make it, which takes seconds
            return False
    name, _, alias = source.removeprefix("models:/").partition("@")
    with failures_in_one_line():
        return with_alias(connect(root), name, alias) is not None


def file_md5(path: Path) -> str:
    """The md5 of a file's content in hexadecimal digits, as ``md5sum`` prints it."""
    return hashlib.md5(path.read_bytes()).hexdigest()


def flatten(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Join the keys of nested mappings with dots: ``{"a": {"b": 1}}`` -> ``{"a.b": 1}``."""
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
