"""Processes that promote versions of a model that exists only as entries in a registry."""

import os
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from mlflow import MlflowClient

from fashion_ops.evaluation.bootstrap import Comparison
from fashion_ops.params import Params
from fashion_ops.registry import client as registry
from fashion_ops.registry.comparing import Measurements
from fashion_ops.registry.gate import Facts
from fashion_ops.steps import promote
from fashion_ops.workspace import Workspace

FORK = get_context("fork")  # the parent has imported what takes seconds


def make(client: MlflowClient, name: str, versions: int) -> MlflowClient:
    """A model whose newest version is challenger."""
    client.create_registered_model(name)
    experiment = client.get_experiment_by_name(registry.EXPERIMENT)
    assert experiment is not None
    for _ in range(versions):
        run = client.create_run(experiment.experiment_id)
        made = client.create_model_version(name, str(run.info.artifact_uri), run.info.run_id)
        client.set_registered_model_alias(name, registry.CHALLENGER, made.version)
    return client


def aliases(client: MlflowClient, name: str) -> tuple[str | None, str | None]:
    """Champion and previous."""
    found = [registry.with_alias(client, name, a) for a in (registry.CHAMPION, registry.PREVIOUS)]
    return tuple(None if v is None else str(v.version) for v in found)  # type: ignore[return-value]


def child(uri: str, root: Path, act: Callable[..., None], *arguments: Any) -> Any:
    """A started process that has a connection of its own to the registry at ``uri``."""

    def run() -> None:
        os.environ["MLFLOW_TRACKING_URI"] = uri
        act(registry.connect(root), *arguments)

    process = FORK.Process(target=run)
    process.start()
    return process


def measured(*_: Any) -> Measurements:
    metrics = {"landmark_ap": {"refined": 0.9}, "box_ap": 0.9}
    comparisons: dict[str, Comparison] | None = None
    facts = Facts(metrics, comparisons, {}, (1.0, None), (1.0, None), {"a_check": ""})
    return Measurements(facts, 1, False, "digest")


def run_promotion(client: MlflowClient, root: Path, name: str, results: Any, meanwhile: Any) -> None:
    """``promote``, whose measurement waits for ``meanwhile`` (two events), if given."""

    def slowly(*arguments: Any) -> Measurements:
        if meanwhile:
            meanwhile[0].set()
            assert meanwhile[1].wait(60)
        return measured()

    promote.measure = slowly  # type: ignore[assignment]
    params = Params.model_validate({"register": {"model": name}})
    results.put((os.getpid(), promote.run(params, Workspace(root))))


def race(uri: str, root: Path, name: str, racers: int) -> list[dict[str, Any]]:
    """Results of promotions of the same challenger that start at once."""
    results = FORK.Queue()
    processes = [child(uri, root, run_promotion, root, name, results, None) for _ in range(racers)]
    try:
        return [results.get(timeout=60)[1] for _ in processes]
    finally:
        for process in processes:
            process.join(5)
            process.kill()
