"""A throw-away repository with the real dvc.yaml and code, and steps that only write small files."""

import importlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import MagicMock

import dagster as dg
import pandas as pd
import pytest
from hooks import Hook, listening

from fashion_ops.distributed.fan_out import FanOutError, Job
from fashion_ops.ledger import Ledger
from fashion_ops.params import Params
from fashion_ops.steps import PARTITIONED, REGISTRY, STEPS
from fashion_ops.taxonomy import CATEGORY_NAMES
from fashion_ops.workspace import Workspace, publish
from pipelines import sensors, webhook_client
from pipelines.resources import RepositoryResource

ROOT = Path(__file__).parents[2]
SAME = SimpleNamespace(failures=lambda _: {}, in_words=lambda: "bit for bit")  # a reproduction
QUIET = {"telemetry": {"enabled": False}}


@dataclass
class FakeSteps:
    """Stands in for every step. ``calls``: stages that ran; ``failing``: stages that raise."""

    calls: list[str] = field(default_factory=list)
    failing: dict[str, Exception] = field(default_factory=dict)
    refined_ap: float = 0.6
    during: Callable[[str], None] = lambda stage: None

    def act(self, stage: str, params: Params) -> str:
        """Run ``stage``: what it writes depends on its parameters alone."""
        self.calls.append(stage)
        self.during(stage)
        if stage in self.failing:
            raise self.failing[stage]
        step, _, category = stage.partition("@")
        own = getattr(params.categories[category], step) if category in params.categories else None
        return f"{stage} {params.seed} {own}"

    def module(self, step: str) -> ModuleType:
        module = ModuleType(f"fashion_ops.steps.{step}")
        if step == "dfa_stage":

            def chained(params: Params, ws: Workspace, stage: str) -> dict[str, float]:
                before = (ws.dfa(str(int(stage) - 1)) / "model.json").read_text() if stage > "1" else ""
                self.act(f"{step}@{stage}", params)
                write(ws.dfa(stage), {"model.json": f"{stage} {params.seed} after {before}"})
                return {"NE": 0.1}

            module.run = chained  # type: ignore[attr-defined]
        elif step in PARTITIONED:
            module.prepare = lambda params, ws, category: (params, category)  # type: ignore[attr-defined]
            module.work = lambda job, *_: self.act(f"{step}@{job[1]}", job[0])  # type: ignore[attr-defined]

            def put(ws: Workspace, category: str, text: str) -> dict[str, float]:
                target = ws.finetuned(category) if step == "finetune" else ws.refined(category)
                write(target, {"model.json": text})
                (target / "history.json").write_text('[{"loss": 2.0}, {"loss": 0.5}]')
                return {"loss": 0.5}

            module.publish = put  # type: ignore[attr-defined]
        else:

            def run(params: Params, ws: Workspace) -> dict[str, Any]:
                text = self.act(step, params)
                self.write_outputs(step, ws, text)
                return {"number": 1.0} | ({"version": 1} if step in REGISTRY else {})

            module.run = run  # type: ignore[attr-defined]
        return module

    def write_outputs(self, step: str, ws: Workspace, text: str) -> None:
        if step == "ingest":
            tables = {
                "images": pd.DataFrame(
                    {
                        "image_id": [1, 2],
                        "split": ["train", "validation"],
                        "file_name": ["train/image/1.jpg", "validation/image/1.jpg"],
                        "sha256": ["a", "b"],
                        "pair_id": [1, 1],
                    }
                ),
                "garments": pd.DataFrame(
                    {
                        "garment_id": [1, 2],
                        "image_id": [1, 2],
                        "split": ["train", "validation"],
                        "category_id": [9, 9],
                        "landmarks": [[1.0, 1.0, 2.0] * 8] * 2,
                        "num_labelled": [8, 8],
                        **dict.fromkeys(("scale", "occlusion", "zoom_in", "viewpoint"), (1, 1)),
                    }
                ),
                "quarantine": pd.DataFrame(
                    {
                        "reason": pd.Series([], dtype="string"),
                        "num_records": pd.Series([], dtype="int32"),
                    }
                ),
            }
            write(ws.catalog, {"text": text})
            for name, table in tables.items():
                table.to_parquet(ws.catalog / f"{name}.parquet")
        elif step == "evaluate":
            row = {"mean_shape": 0.1, "refined": self.refined_ap}
            category = {"box_ap": 0.6, "train": 3, "validation": 1, "landmark_ap": row}
            scores = {
                "landmark_ap": row,
                "landmark_ap_own_boxes": row,
                "box_ap": 0.6,
                "per_category": dict.fromkeys(CATEGORY_NAMES, category),
            }
            write(ws.evaluation, {"metrics.json": json.dumps(scores), "report.html": text})
        elif step not in REGISTRY:
            folders = {"synthesize": ws.raw, "aggregate": ws.grouped, "pseudo_label": ws.pseudo_labels}
            folders |= {"train_detector": ws.detector, "train_landmarker": ws.landmarker}
            folders |= {"tune_postprocess": ws.postprocess, "train_box_detector": ws.box_detector}
            folders["synthesize_alignment"] = ws.alignment_raw
            folders["ingest_alignment"] = ws.alignment_catalog
            folders |= {"drift": ws.drift, "train_gle": ws.gle}
            drift = '{"batch": null, "measures": {}, "drifted": []}'
            write(folders[step], {"model.json": text, "drift.json": drift})
            if step == "ingest_alignment":
                (ws.alignment_catalog / "fld").mkdir()
                (ws.alignment_catalog / "fld" / "garments.parquet").write_text(text)


def write(folder: Path, files: dict[str, str]) -> None:
    with publish(folder) as fresh:
        for name, text in files.items():
            (fresh / name).write_text(text)


def in_process(
    step: str,
    jobs: list[Job],
    work: Any,
    on_result: Any,
    settings: Any,
    checkpoints: Path,
    on_epoch: Any,
    **_: Any,
) -> None:
    """What ``distributed.fan_out`` promises, without Ray."""
    failures: dict[str, BaseException] = {}
    for job in sorted(jobs, key=lambda job: (-job.cost, job.name)):
        try:
            result = work(job.prepare(), None, lambda *_: None)
            on_epoch(job.name, 1, {"loss": 0.5})
            on_result(job.name, result)
        except Exception as error:
            failures[job.name] = error
    if failures:
        raise FanOutError(step, failures, len(jobs))


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch) -> FakeSteps:
    import fashion_ops.distributed.by_category
    import fashion_ops.registry.tracking

    def put(name: str, module: ModuleType) -> None:
        """In place of a module, whether or not it has been imported before."""
        monkeypatch.setitem(sys.modules, name, module)
        package, _, own = name.rpartition(".")
        monkeypatch.setattr(importlib.import_module(package), own, module, raising=False)

    fakes = FakeSteps()
    for step in STEPS:
        put(f"fashion_ops.steps.{step}", fakes.module(step))
    monkeypatch.setattr(fashion_ops.distributed.by_category, "fan_out", in_process)
    runs = MagicMock()  # MLflow is tested elsewhere
    runs.of_categories.return_value.page = lambda name: f"http://mlflow/{name}"
    monkeypatch.setattr(fashion_ops.registry.tracking, "CategoryRuns", runs)
    reproduction = ModuleType("fashion_ops.inference.reproduction")
    reproduction.reproduce_evaluation = lambda *_: SAME  # type: ignore[attr-defined]
    put("fashion_ops.inference.reproduction", reproduction)
    registry = ModuleType("fashion_ops.registry.client")
    registry.CHALLENGER = "challenger"  # type: ignore[attr-defined]
    registry.fetch_bundle = Path  # type: ignore[attr-defined]
    registry.CHAMPION = "champion"  # type: ignore[attr-defined]
    registry.connect = lambda root: MagicMock()  # type: ignore[attr-defined]
    registry.with_alias = lambda *_: MagicMock(version="3", tags={})  # type: ignore[attr-defined]
    registry.version_page = "http://mlflow/{}/{}".format  # type: ignore[attr-defined]
    put("fashion_ops.registry.client", registry)
    return fakes


@dataclass(frozen=True)
class Repository:
    """A repository and its Dagster instance."""

    root: Path
    instance: dg.DagsterInstance

    @property
    def ws(self) -> Workspace:
        return Workspace(self.root)

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.root)

    def report_failure(self, result: dg.ExecuteInProcessResult) -> None:
        """Tick the sensor of failed runs for this one.

        Leave Dagster's test contexts: one that goes with the garbage sets an old instance back.
        """
        with dg.build_run_status_sensor_context(
            sensor_name="failed_runs",
            dagster_event=result.get_run_failure_event(),
            dagster_instance=self.instance,
            dagster_run=result.dagster_run,
        ).for_run_failure() as context:
            sensors.failed_runs(context, repository=RepositoryResource(root=str(self.root)))


@pytest.fixture(scope="session")
def empty_repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("empty") / "repo"
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "fashion_ops", root / "fashion_ops", ignore=ignore)
    for name in ("dvc.yaml", "params.yaml", ".gitignore", ".dvcignore"):
        shutil.copy(ROOT / name, root / name)
    for name in ("batches", "also"):
        (root / "data" / name).mkdir(parents=True)
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q"], cwd=root, check=True)
    return root


@pytest.fixture
def repository(
    empty_repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Repository]:
    """An empty repository; the test stands in another directory."""
    root = Path(shutil.copytree(empty_repository, tmp_path / "repo"))
    for name in ("dagster", "elsewhere"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with dg.DagsterInstance.local_temp(str(tmp_path / "dagster"), overrides=QUIET) as instance:
        yield Repository(root, instance)


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hook]:
    """A webhook on this machine; attempts follow each other at once, and proxies do not matter."""
    monkeypatch.setattr(webhook_client, "PAUSES", ())
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    with listening() as server:
        yield server
