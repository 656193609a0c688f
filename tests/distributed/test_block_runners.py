"""Evaluation, tuning and promotion on a cluster that shares nothing: the results of one process.

Real nodes by ``ray start`` in namespaces of their own (see ``ray_nodes``). The driver can neither make
nor load a model (see ``modelless_driver``).
"""

import json
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from measure_versions import measure_versions, write_records
from ray_nodes import Cluster, possible
from untrained_models import make_catalog, make_models, tiny_params

from fashion_ops.catalog.reader import Catalog
from fashion_ops.distributed.block_runners import MakePredict, RayRunner, block_runners, digest
from fashion_ops.distributed.payload import pack_folder
from fashion_ops.inference.hardware_record import evaluated_on
from fashion_ops.methods.parts.blocks import Bundle, LocalRunner
from fashion_ops.params import Params, PostProcess, load_params
from fashion_ops.registry.frozen_set import FrozenSet, read_predictions
from fashion_ops.steps import evaluate, tune_postprocess
from fashion_ops.workspace import Workspace

PATIENCE = 500  # seconds; a quiet machine needs a tenth
LONG = bool(os.environ.get("FASHION_OPS_LONG"))
TESTS = Path(__file__).parents[1]
needs_nodes = pytest.mark.skipif(not possible(), reason="needs root and Linux namespaces")


@dataclass(frozen=True)
class LoadNumber:
    """Loads the models of the tests: a number from a file."""

    def __call__(self, folders: Sequence[Path], device: Any) -> int:
        return int((folders[0] / "number").read_text())


@dataclass(frozen=True)
class TimesBlock:
    """A block of the tests: a number, times that of the models."""

    number: int

    def predict(self, models: int) -> int:
        return self.number * models


def test_a_digest_is_of_content_and_the_same_in_every_process() -> None:
    post = PostProcess(sigma_center=0.3)
    value = {"a": [np.arange(3), post, Path("x"), None, b"1"], "models": Bundle(Path("y"), ("z",))}
    there = "import sys, pickle; from fashion_ops.distributed.block_runners import digest;"
    there += "print(digest(pickle.load(sys.stdin.buffer)))"
    for seed in ("1", "2"):  # the order of sets differs
        env = os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": str(TESTS.parent)}
        done = subprocess.run(
            [sys.executable, "-c", there], input=pickle.dumps(value), env=env, capture_output=True
        )
        assert done.stdout.decode().strip() == digest(value), done.stderr.decode()
    others: list[Any] = [
        {**value, "a": [np.arange(3.0), *value["a"][1:]]},
        {**value, "a": [np.arange(3), post.model_copy(update={"alpha": 0.1}), *value["a"][2:]]},
        {**value, "models": Bundle(Path("y"), ("x",))},
        {**value, "a": [*value["a"], ""]},
    ]
    assert len({digest(other) for other in [value, *others]}) == 5
    with pytest.raises(TypeError, match="set: has no digest"):
        digest({1})


def test_models_travel_by_value_and_finished_blocks_are_not_predicted_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The runner of a cluster with an engine that runs here, and stops where a test says."""
    monkeypatch.setattr(tempfile, "tempdir", tempfile.tempdir)  # an actor changes it for its life
    models = tmp_path / "models"
    models.mkdir()
    (models / "number").write_text("2")
    calls: list[str] = []
    stop_after: list[int] = [2]

    def map_blocks(blocks: Any, make: MakePredict, settings: Any, *, step: str) -> Iterator[Any]:
        pending = list(blocks)
        if not pending:
            return
        make = pickle.loads(pickle.dumps(make))
        assert make.files == ({"number": (models / "number").read_bytes()},) and step == "evaluate"
        models.rename(tmp_path / "away")  # an actor has no such disk
        try:
            predict = make()
        finally:
            (tmp_path / "away").rename(models)
        for name, block in reversed(pending):  # any order
            calls.append(name)
            yield name, predict(block)
            if len(calls) == stop_after[0]:
                raise KeyboardInterrupt

    engine = type(sys)("fashion_ops.distributed.map_blocks")
    engine.map_blocks = map_blocks  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, engine.__name__, engine)
    monkeypatch.setenv("RAY_ADDRESS", "head:1")
    settings, folder = Params().distributed, tmp_path / "checkpoints"

    def run(numbers: list[int]) -> dict[str, int]:
        with block_runners(settings, folder, "evaluate") as open_runner:
            runner = open_runner(LoadNumber(), [Bundle(models)])
            assert isinstance(runner, RayRunner)
            blocks = [(f"block {n}", TimesBlock(n)) for n in numbers]
            results = runner.run(blocks, "numbers", len(blocks))
            (hardware,) = runner.hardware
            assert hardware.device == "cpu"
            return results

    with pytest.raises(KeyboardInterrupt):
        run([1, 2, 3])
    kept = [path for path in folder.rglob("*") if path.is_file()]
    assert calls == ["block 3", "block 2"] and len(kept) == 2
    kept[0].write_bytes(b"half")
    stop_after[0], calls[:] = -1, []
    assert run([1, 2, 3]) == {"block 1": 2, "block 2": 4, "block 3": 6}
    assert len(calls) == 2 and "block 1" in calls  # the one that was missing, the damaged one
    assert "numbers: 3 in" in capsys.readouterr().err  # the bar counts the stored one
    assert not list(folder.rglob("*-blocks-*"))
    stop_after[0], calls[:] = 1, []
    with pytest.raises(KeyboardInterrupt):
        run([5])
    (models / "number").write_text("3")  # other models: nothing of them is used
    stop_after[0], calls[:] = -1, []
    assert run([5]) == {"block 5": 15} and calls == ["block 5"]
    assert not list(folder.rglob("*-blocks-*"))


def test_without_a_cluster_blocks_run_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an earlier run on a cluster left is deleted, if this one ends well."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    left = tmp_path / f"evaluate-blocks-{'0' * 16}"
    left.mkdir()
    (left / "result").touch()
    with suppress(KeyboardInterrupt), block_runners(Params().distributed, tmp_path, "evaluate"):
        raise KeyboardInterrupt
    assert (left / "result").exists()
    with block_runners(Params().distributed, tmp_path, "evaluate") as open_runner:
        assert isinstance(open_runner(LoadNumber(), [Bundle(tmp_path)]), LocalRunner)
    assert not list(tmp_path.iterdir())


def write_params(ws: Workspace, **sections: Any) -> Params:
    """Write ``tiny_params`` with these keys changed to ``params.yaml``; returns them."""
    params = tiny_params(ws, synthesize={"validation": 26}).model_dump(mode="json", by_alias=True)
    settings = {"wait_for_node": 300.0, "device": "cpu"}
    tuning = {"images": 26, "step": 0.5}
    for name, section in {"distributed": settings, "tune_postprocess": tuning, **sections}.items():
        params[name] |= section
    ws.params.write_text(yaml.safe_dump(params))
    return load_params(ws.params)


class Driver:
    """A program without models in the folder of a workspace; what it prints is ``log``."""

    def __init__(self, cluster: Cluster, ws: Workspace, *command: str | Path) -> None:
        self.log = ws.root / "driver.log"
        path = f"{TESTS.parent}:{TESTS}"
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                (sys.executable, *command),
                cwd=ws.root,
                env=cluster.env | {"PYTHONPATH": path},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def finish(self) -> None:
        assert self.process.wait(PATIENCE) == 0, self.log.read_text()

    def wait_for_blocks(self, ws: Workspace, number: int) -> dict[str, float]:
        """Wait until so many blocks are stored; their times by path."""
        deadline = time.monotonic() + PATIENCE
        while True:
            found = [p for p in ws.checkpoints.glob("evaluate-blocks-*/*") if p.name[0] != "."]
            if len(found) >= number:
                return {str(path): path.stat().st_mtime for path in found}
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.02)


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster() as cluster:
        cluster.add("east")
        cluster.add("west")
        yield cluster


@pytest.fixture(scope="module")
def ws(cluster: Cluster) -> Workspace:
    """A wardrobe and models where the driver runs; the nodes have an empty folder there."""
    ws = Workspace(cluster.folder / "home")
    ws.root.mkdir()
    params = write_params(ws)
    make_catalog(params, ws)
    make_models(params, ws)
    return ws


@needs_nodes
def test_a_cluster_evaluates_as_one_process_does_also_after_its_driver_was_killed(
    cluster: Cluster, ws: Workspace
) -> None:
    params = write_params(ws)
    metrics = evaluate.run(params, ws)
    alone, hardware = pack_folder(ws.evaluation), ws.evaluation_hardware.read_bytes()
    (ws.evaluation / "metrics.json").unlink()

    program = TESTS / "modelless_driver.py"
    killed = Driver(cluster, ws, program, "evaluate")
    done = killed.wait_for_blocks(ws, 2)
    os.killpg(killed.process.pid, signal.SIGKILL)
    killed.process.wait(PATIENCE)
    resumed = Driver(cluster, ws, program, "evaluate")
    more = resumed.wait_for_blocks(ws, len(done) + 1)
    assert {path: more[path] for path in done} == done  # they were not predicted again
    resumed.finish()

    assert pack_folder(ws.evaluation) == alone  # the bytes of report, tables, predictions and images
    assert ws.evaluation_hardware.read_bytes() == hardware
    assert json.loads(resumed.log.read_text().rpartition("evaluate ")[2]) == metrics
    assert not list(ws.checkpoints.glob("*-blocks-*"))


@needs_nodes
@pytest.mark.skipif(not LONG, reason="a minute; FASHION_OPS_LONG=1 runs it")
def test_a_cluster_tunes_as_one_process_does(cluster: Cluster, ws: Workspace) -> None:
    params = write_params(ws)
    tune_postprocess.run(params, ws)
    alone = pack_folder(ws.postprocess)
    (ws.postprocess / "metrics.json").unlink()
    Driver(cluster, ws, TESTS / "modelless_driver.py", "tune_postprocess").finish()
    assert pack_folder(ws.postprocess) == alone


@needs_nodes
@pytest.mark.skipif(not LONG, reason="a minute; FASHION_OPS_LONG=1 runs it")
def test_a_cluster_measures_versions_as_one_process_does(cluster: Cluster, ws: Workspace) -> None:
    """The gate's reproduction, the champion's predictions, latency, and the check after register."""
    params = load_params(ws.params)
    if not ws.evaluation.exists():
        evaluate.run(params, ws)
    split, predictions = params.evaluate.split, read_predictions(ws.evaluation)
    catalog = Catalog(ws.catalog)
    write_records(ws, FrozenSet.of_split(catalog, split, predictions, evaluated_on(ws)))
    Driver(cluster, ws, TESTS / "measure_versions.py").finish()
    there, checked = pickle.loads((ws.root / "measured").read_bytes())
    here, _ = measure_versions(ws)
    assert there.champion_predicted_again
    assert repr(there.facts.comparisons) == repr(here.facts.comparisons)  # NaN is not equal to NaN
    assert there.champion_unloadable == "" and len(there.facts.latency_ms) == 2
    assert there.facts.latency_ratio > 0 and min(there.facts.latency_ms) > 0
    for reproduction in (there.facts.reproduction, checked):
        assert reproduction.exact and reproduction.failures(params.promote) == {}


@needs_nodes
@pytest.mark.skipif(not LONG, reason="minutes; FASHION_OPS_LONG=1 runs it")
def test_an_evaluation_loses_a_worker_and_then_a_node(cluster: Cluster, ws: Workspace) -> None:
    params = write_params(ws, evaluate={"max_detections": 20})
    evaluate.run(params, ws)
    alone = pack_folder(ws.evaluation)
    (ws.evaluation / "metrics.json").unlink()
    driver = Driver(cluster, ws, TESTS / "modelless_driver.py", "evaluate")
    driver.wait_for_blocks(ws, 1)
    (worker, *_) = cluster.processes("east", "ray::MapWorker") or cluster.processes("east", "ray::Map")
    worker.kill()
    driver.wait_for_blocks(ws, 8)
    cluster.kill("west")
    cluster.add("west")
    driver.finish()
    assert pack_folder(ws.evaluation) == alone
