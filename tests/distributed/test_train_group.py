"""Trainings of one model as Ray Train jobs: two machines that share nothing, a driver without models.

Real nodes by ``ray start`` in namespaces of their own (see ``ray_nodes``). Each training is compared
with the same one on two devices of one machine without Ray.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import yaml
from ray_nodes import Cluster, possible
from untrained_models import make_catalog, tiny_params

from fashion_ops.distributed.payload import pack_folder
from fashion_ops.params import Params, load_params
from fashion_ops.steps import (
    train_landmarker,
)
from fashion_ops.workspace import Workspace

PATIENCE = 400  # seconds; a quiet machine needs a tenth
EPOCHS = 30
LONG = bool(os.environ.get("FASHION_OPS_LONG"))
SETTINGS = {"devices": 2, "wait_for_node": 300.0, "checkpoint_minutes": 0.0}
pytestmark = pytest.mark.skipif(not possible(), reason="needs root and Linux namespaces")


class Driver:
    """``modelless_driver`` in the folder of a workspace; what it prints is ``log``."""

    def __init__(self, cluster: Cluster, ws: Workspace, *steps: str) -> None:
        self.log = ws.root / "driver.log"
        program = Path(__file__).parents[1] / "modelless_driver.py"
        with self.log.open("a") as log:
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


def write_params(ws: Workspace, **sections: dict) -> Params:
    """Write ``tiny_params`` with two devices and some keys changed to ``params.yaml``; returns them."""
    params = tiny_params(ws, **sections).model_dump(mode="json", by_alias=True)
    params["distributed"] |= SETTINGS
    ws.params.write_text(yaml.safe_dump(params))
    return load_params(ws.params)


def wait_for_epoch(ws: Workspace, number: int, driver: Driver) -> None:
    """Wait until the driver has the checkpoint of this epoch, counted from 1."""
    deadline = time.monotonic() + PATIENCE
    while True:
        assert driver.process.poll() is None, driver.log.read_text()
        assert time.monotonic() < deadline, driver.log.read_text()
        files = [path for path in ws.checkpoints.glob("*.ckpt") if path.is_file()]
        if files and torch.load(files[0], weights_only=False)["epoch"] + 1 >= number:
            return
        time.sleep(0.05)


def test_a_worker_is_killed_and_the_weights_are_those_of_two_devices_without_ray(
    cluster: Cluster, ws: Workspace
) -> None:
    params = write_params(ws, train_landmarker={"epochs": EPOCHS})
    driver = Driver(cluster, ws, "train_landmarker")
    wait_for_epoch(ws, 2, driver)
    cluster.processes("west", "TrainWorker")[0].kill()
    metrics = driver.finish()["train_landmarker"]
    files = pack_folder(ws.landmarker)
    attempts = json.loads((ws.checkpoints / "timesheets" / "train_landmarker.json").read_text())
    assert [attempt["resumed"] for attempt in attempts["jobs"][0]["attempts"]] == [False, True]
    assert not list(ws.checkpoints.glob("*.ckpt"))
    assert train_landmarker.run(params, ws) == metrics
    assert pack_folder(ws.landmarker) == files
