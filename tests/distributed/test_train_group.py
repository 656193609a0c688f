"""Trainings of one model as Ray Train jobs: two machines that share nothing, a driver without models.

Real nodes by ``ray start`` in namespaces of their own (see ``ray_nodes``). Each training is compared
with the same one on two devices of one machine without Ray.
"""

import json
import os
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from ray_nodes import Cluster, possible
from untrained_models import make_catalog, tiny_params

from fashion_ops.distributed.payload import pack_folder
from fashion_ops.methods.parts.several_networks import EPOCHS
from fashion_ops.params import Params, load_params
from fashion_ops.steps import (
    dfa_stage,
    finetune,
    ingest_alignment,
    refine,
    synthesize_alignment,
    train_box_detector,
    train_detector,
    train_landmarker,
)
from fashion_ops.workspace import Workspace

PATIENCE = 400  # seconds; a quiet machine needs a tenth
LONG = bool(os.environ.get("FASHION_OPS_LONG"))
STAGE = {"backbone": "tiny", "input_size": 32, "batch_size": 8, "clusters": 4, "precision": "fp32"}
LONG_RUNS = {"train_landmarker": {"epochs": 60}, "dfa_stage": {**STAGE, "epochs": 30}}
DETECTOR = {"backbone": "tiny", "neck_width": 16, "head_width": 16, "input_size": 64, "epochs": 2}
DETECTOR |= {"batch_size": 4, "precision": "fp32", "pretrained": None}
SETTINGS = {"devices": 2, "wait_for_node": 300.0, "checkpoint_minutes": 0.0}
pytestmark = pytest.mark.skipif(not possible(), reason="needs root and Linux namespaces")


class Driver:
    """``modelless_driver`` in the folder of a workspace; what it prints is ``log``."""

    def __init__(self, cluster: Cluster, ws: Workspace, *steps: str) -> None:
        self.log = ws.root / f"driver-{time.monotonic_ns()}.log"
        program = Path(__file__).parents[1] / "modelless_driver.py"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                (sys.executable, program, *steps),
                cwd=ws.root,
                env=cluster.env | {"PYTHONPATH": str(program.parents[1])},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def finish(self) -> dict[str, dict[str, float]]:
        """Wait for its end; the metrics of each step."""
        assert self.process.wait(PATIENCE) == 0, self.log.read_text()
        lines = [line.partition(" ") for line in self.log.read_text().splitlines()]
        return {name: json.loads(text) for name, _, text in lines if text.startswith("{")}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with Cluster() as cluster:
        cluster.add("east")
        cluster.add("west")
        yield cluster


@pytest.fixture(scope="module")
def ws(cluster: Cluster) -> Workspace:
    """A small wardrobe where the driver runs; the nodes have an empty folder there."""
    ws = Workspace(cluster.folder / "home")
    ws.root.mkdir()
    params = tiny_params(ws)
    make_catalog(params, ws)
    return ws


def write_params(ws: Workspace, **sections: Any) -> Params:
    """Write ``tiny_params`` with two devices and these keys changed as ``params.yaml``; return them."""
    params = tiny_params(ws).model_dump(mode="json", by_alias=True)
    for name, section in ({"distributed": SETTINGS} | sections).items():
        params[name] |= section
    ws.params.write_text(yaml.safe_dump(params))
    return load_params(ws.params)


def wait_for_epoch(ws: Workspace, number: int, driver: Driver) -> None:
    """Wait until the driver has the checkpoint of this epoch, counted from 1."""
    deadline = time.monotonic() + PATIENCE
    while True:
        assert driver.process.poll() is None, driver.log.read_text()
        assert time.monotonic() < deadline, driver.log.read_text()
        if max((epochs_in(path) for path in ws.checkpoints.glob("*")), default=0) >= number:
            return
        time.sleep(0.05)


def epochs_in(path: Path) -> int:
    """Epochs done in a checkpoint, of all networks of a stage together; 0 for another file."""
    if not path.is_file() or path.name.startswith("."):
        return 0
    with zipfile.ZipFile(path) as file:  # torch's files are ZIP too
        if EPOCHS in file.namelist():
            return int(file.read(EPOCHS))
    return torch.load(path, weights_only=False)["epoch"] + 1


def test_a_worker_is_killed_and_the_weights_are_those_of_two_devices_without_ray(
    cluster: Cluster, ws: Workspace
) -> None:
    params = write_params(ws, train_landmarker={"epochs": 10})
    driver = Driver(cluster, ws, "train_landmarker")
    wait_for_epoch(ws, 2, driver)
    cluster.processes("west", "TrainWorker")[0].kill()
    metrics = driver.finish()["train_landmarker"]
    files = pack_folder(ws.landmarker)
    assert resumed(ws, "train_landmarker") == [False, True]
    assert not list(ws.checkpoints.glob("*.ckpt"))
    assert train_landmarker.run(params, ws) == metrics
    assert pack_folder(ws.landmarker) == files


def test_a_mistake_ends_the_run_at_once_with_its_own_message(cluster: Cluster, ws: Workspace) -> None:
    write_params(ws, train_landmarker={"lr": 1e20, "epochs": 10})
    driver = Driver(cluster, ws, "train_landmarker")
    assert driver.process.wait(PATIENCE) == 1
    text = driver.log.read_text()
    assert "FloatingPointError: epoch" in text and "worker lost" not in text
    for path in ws.checkpoints.glob("*.ckpt"):
        path.unlink()


@pytest.mark.skipif(not LONG, reason="minutes; FASHION_OPS_LONG=1 runs it")
def test_every_training_step_runs_on_workers_and_equals_its_run_without_ray(
    cluster: Cluster, ws: Workspace
) -> None:
    """Two workers for each step, one for a category: no GPU is there to give it more."""
    params = write_params(
        ws,
        ingest_alignment={"sources": ["fld"]},
        synthesize_alignment={"train": 40, "val": 10, "test": 8, "items": 0, "people": 0},
        train_detector=DETECTOR,
        train_landmarker={"epochs": 2},
        dfa_stage={**STAGE, "epochs": 2},
    )
    synthesize_alignment.run(params, ws)
    ingest_alignment.run(params, ws)
    steps = {
        "train_detector": (train_detector, ws.detector),
        "train_box_detector": (train_box_detector, ws.box_detector),
        "train_landmarker": (train_landmarker, ws.landmarker),
        "finetune@skirt": (finetune, ws.finetuned("skirt")),
        "refine@skirt": (refine, ws.refined("skirt")),
        "dfa_stage@1": (dfa_stage, ws.dfa("1")),
        "dfa_stage@2": (dfa_stage, ws.dfa("2")),
        "dfa_stage@3": (dfa_stage, ws.dfa("3")),
    }
    metrics = Driver(cluster, ws, *steps).finish()
    made = {name: pack_folder(folder) for name, (_, folder) in steps.items()}
    for name, (step, folder) in steps.items():
        key = name.partition("@")[2]
        assert step.run(params, ws, *([key] if key else [])) == metrics[name], name
        assert pack_folder(folder) == made[name], name


@pytest.mark.skipif(not LONG, reason="minutes; FASHION_OPS_LONG=1 runs it")
@pytest.mark.parametrize("step", ["train_landmarker", "dfa_stage@3"])
def test_the_driver_is_killed_then_a_node_is_lost(cluster: Cluster, ws: Workspace, step: str) -> None:
    """A stage of two networks keeps the first one when the second is interrupted."""
    name, _, key = step.partition("@")
    params = write_params(ws, **{name: LONG_RUNS[name]})
    module, folder = (dfa_stage, ws.dfa("3")) if key else (train_landmarker, ws.landmarker)
    killed = Driver(cluster, ws, step)
    wait_for_epoch(ws, 4, killed)
    os.killpg(killed.process.pid, signal.SIGKILL)
    killed.process.wait(PATIENCE)
    bereft = Driver(cluster, ws, step)
    wait_for_epoch(ws, 36, bereft)
    cluster.kill("west")
    cluster.add("west")
    metrics = bereft.finish()[step]
    files = pack_folder(folder)
    assert resumed(ws, step.replace("@", "-")) == [True, True]
    assert module.run(params, ws, *([key] if key else [])) == metrics
    assert pack_folder(folder) == files


@pytest.mark.skipif(not LONG, reason="minutes; FASHION_OPS_LONG=1 runs it")
def test_an_elastic_training_goes_on_with_the_node_that_is_left(
    cluster: Cluster, ws: Workspace
) -> None:
    elastic = {"distributed": SETTINGS | {"min_devices": 1}}
    write_params(ws, train_landmarker={"epochs": 40}, **elastic)
    driver = Driver(cluster, ws, "train_landmarker")
    wait_for_epoch(ws, 2, driver)
    cluster.kill("west")
    assert driver.finish()["train_landmarker"]["loss"] < 2
    assert resumed(ws, "train_landmarker") == [False, True]
    # of two workers and a batch of three, one is left over
    cluster.add("west")
    write_params(ws, train_landmarker={"epochs": 2, "batch_size": 3}, distributed=SETTINGS)
    metrics = Driver(cluster, ws, "train_landmarker").finish()["train_landmarker"]
    files = pack_folder(ws.landmarker)
    alone = write_params(
        ws,
        train_landmarker={"epochs": 2, "batch_size": 3},
        distributed=SETTINGS | {"devices": 1},
    )
    assert train_landmarker.run(alone, ws) == metrics
    assert pack_folder(ws.landmarker) == files


def resumed(ws: Workspace, name: str) -> list[bool]:
    """Of each attempt of the last run of a training whether it resumed from a checkpoint."""
    text = (ws.checkpoints / "timesheets" / f"{name}.json").read_text()
    return [attempt["resumed"] for attempt in json.loads(text)["jobs"][0]["attempts"]]
