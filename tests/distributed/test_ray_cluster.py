"""A cluster that shares nothing: the driver killed, interrupted, a node lost; the weights don't notice.

Real nodes by ``ray start`` in namespaces of their own (see ``ray_nodes``), real training of a tiny
landmarker, the real command line around it.
"""

import json
import os
import pickle
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from finetune_job import make_job
from ray_nodes import Cluster, possible

from fashion_ops.distributed.timesheet import Timesheet
from fashion_ops.steps import finetune

EPOCHS = 9
PATIENCE = 400  # seconds; a quiet machine needs a tenth

# ``fashion-ops finetune`` with two jobs of our making: vest is short, skirt takes a while.
DRIVER = """
import os, pickle, socket, sys, time
from dataclasses import dataclass, replace
from pathlib import Path
import fashion_ops.distributed.by_category as fan
from fashion_ops.cli import app
from fashion_ops.distributed.fan_out import Job, fan_out
from fashion_ops.workspace import publish

HOME = Path.cwd()

@dataclass(frozen=True)
class Prepared:
    images: list
    finetune: bytes
    home: str

def work(job, checkpoint, on_epoch):
    from fashion_ops.steps import finetune  # the driver needs no torch

    def report(epoch, metrics):
        on_epoch(epoch, metrics)
        time.sleep(0.5)
    given = replace(pickle.loads(job.finetune), images=job.images)
    result = finetune.work(given, checkpoint, report)
    seen = os.path.exists(job.home + "/driver.py")
    return {"files": result.files, "host": socket.gethostname(), "seen": seen}

def run_all(module, params, ws, categories, *_):
    step = "finetune"

    def prepare(name):
        images = pickle.loads((HOME / f"{name}.images").read_bytes())
        return Prepared(images, (HOME / name).read_bytes(), str(HOME))

    def on_result(name, result):
        with publish(HOME / "completed" / name) as folder:
            (folder / "result").write_bytes(pickle.dumps(result))

    costs = {"vest": 2.0, "skirt": 1.0}
    jobs = [
        Job(name, f"key-{name}", cost, lambda name=name: prepare(name), "images")
        for name, cost in costs.items()
        if not (HOME / "completed" / name).exists()
    ]
    fan_out(
        step, jobs, work, on_result, params.distributed, ws.checkpoints,
        timesheet=HOME / "timesheet.json",
        on_epoch=lambda name, epoch, metrics: print(name, epoch, flush=True),
    )

fan.run_all, fan.unfinished = run_all, lambda step, ws: ["skirt"]
app(["finetune"])
"""


class Driver:
    """A driver process in its own folder and session; what it prints."""

    def __init__(self, cluster: Cluster) -> None:
        self.log = cluster.folder / f"driver-{time.monotonic_ns()}.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                (sys.executable, "driver.py"),
                cwd=cluster.folder / "home",
                env=cluster.env,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait_for(self, line: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while line not in self.lines():
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.1)

    def lines(self) -> list[str]:
        return self.log.read_text().splitlines()

    def end(self, number: int) -> int:
        os.killpg(self.process.pid, number)
        return self.process.wait(PATIENCE)


def checkpoints(home: Path) -> list[str]:
    """Names of the checkpoints; the records of writers beside them are a folder."""
    return [path.name for path in (home / ".checkpoints").iterdir() if path.is_file()]


@pytest.mark.skipif(not possible(), reason="needs root and Linux namespaces")
def test_driver_killed_then_interrupted_then_its_node_lost(tmp_path: Path) -> None:
    jobs = {"vest": make_job(tmp_path, 1, 1), "skirt": make_job(tmp_path, 2, EPOCHS)}
    uninterrupted = {name: finetune.work(job).files for name, job in jobs.items()}
    with Cluster() as cluster:
        home = cluster.folder / "home"
        home.mkdir()
        (home / "driver.py").write_text(DRIVER)
        (home / "params.yaml").write_text("distributed: {wait_for_node: 300, checkpoint_minutes: 0}")
        for name, job in jobs.items():
            (home / name).write_bytes(pickle.dumps(replace(job, images=[])))
            (home / f"{name}.images").write_bytes(pickle.dumps(job.images))
        cluster.add("east")

        killed = Driver(cluster)
        killed.wait_for("skirt 2")
        assert killed.end(signal.SIGKILL) == -signal.SIGKILL
        assert [path.name for path in (home / "completed").iterdir()] == ["vest"]
        assert "key-skirt" in checkpoints(home)

        interrupted = Driver(cluster)
        interrupted.wait_for("skirt 4")
        assert interrupted.end(signal.SIGINT) == 130, interrupted.log.read_text()
        assert "skirt 2" not in interrupted.lines() and "vest 1" not in interrupted.lines()
        assert checkpoints(home) == ["key-skirt"]
        assert [path.name for path in (home / "completed").iterdir()] == ["vest"]

        bereft = Driver(cluster)
        bereft.wait_for("skirt 6")
        assert "skirt 4" not in bereft.lines()
        cluster.kill("east")
        cluster.add("west")
        assert bereft.process.wait(PATIENCE) == 0, bereft.log.read_text()
        assert checkpoints(home) == []

        results = {
            name: pickle.loads((home / "completed" / name / "result").read_bytes()) for name in jobs
        }
        attempts = Timesheet.read(home / "timesheet.json").jobs[0].attempts
    assert {name: result["host"] for name, result in results.items()} == {
        "vest": "east",
        "skirt": "west",
    }
    assert not any(result["seen"] for result in results.values())  # the driver's files, from a worker
    assert [(attempt.node.split()[0], attempt.resumed) for attempt in attempts] == [
        ("east", True),
        ("west", True),
    ]
    for name, files in uninterrupted.items():
        assert results[name]["files"] == files, f"{name}: other weights than uninterrupted"
        assert len(json.loads(files["history.json"])) == jobs[name].config.epochs
