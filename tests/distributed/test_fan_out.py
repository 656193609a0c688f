"""Fan-out on a real local Ray: failures, killed workers, resuming, order, resources."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import ray
import torch
from finetune_job import make_job

from fashion_ops.distributed.fan_out import FanOutError, Job, fan_out
from fashion_ops.distributed.job_store import SCRATCH
from fashion_ops.distributed.payload import Result, publish_files
from fashion_ops.distributed.timesheet import Timesheet
from fashion_ops.methods.parts.training_module import TrainingModule
from fashion_ops.params import Distributed
from fashion_ops.steps import finetune
from fashion_ops.steps.finetune import FinetuneJob
from fashion_ops.taxonomy import CATEGORY_NAMES

EPOCHS = 5
EACH_EPOCH = Distributed(checkpoint_minutes=0)  # and the work waits until its checkpoint has arrived


@pytest.fixture(scope="module", autouse=True)
def local_ray() -> Iterator[None]:
    """Ray on this machine, its files in a short path (Unix sockets allow 107 characters)."""
    folder = tempfile.mkdtemp(prefix="ray-")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_TMPDIR", folder)
        patch.delenv("RAY_ADDRESS", raising=False)
        ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers can't import tests
        yield
        ray.shutdown()
    shutil.rmtree(folder, ignore_errors=True)


def chain(job: dict[str, Any], checkpoint: Path | None, on_epoch: Any) -> dict[str, Any]:
    """A stand-in for training: a chain of hashes, one link an epoch, that resumes like one.

    ``die_at``: kill this process after that many epochs, the first time it gets there.
    """
    assert checkpoint is not None
    epoch, state = 0, job["seed"].encode()
    if checkpoint.exists():
        head, state = checkpoint.read_bytes().split(b":", 1)
        epoch = int(head)
    start = epoch
    if job.get("error"):
        raise ValueError(job["error"])
    while epoch < EPOCHS:
        state, epoch = hashlib.sha256(state).digest(), epoch + 1
        checkpoint.write_bytes(b"%d:%b" % (epoch, state))
        on_epoch(epoch, {"loss": 1 / epoch})
        if job.get("die_at") == epoch and start == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        if job.get("flaky_at") == epoch and start == 0:
            raise ConnectionError("the line went dead")
    return {"state": state.hex(), "started_at": start, "openmp": os.environ.get("OMP_WAIT_POLICY")}


def job(name: str, cost: float = 1.0, **more: Any) -> Job:
    return Job(name, f"key-{name}", cost, lambda: {"seed": name} | more)


def run(jobs: list[Job], folder: Path, work: Any = chain, **settings: Any) -> dict[str, Any]:
    completed: dict[str, Any] = {}
    every = EACH_EPOCH.model_copy(update=settings)
    try:
        fan_out("finetune", jobs, work, completed.__setitem__, every, folder)
    except FanOutError as error:
        completed["error"] = error
    return completed


def expected(name: str) -> str:
    state = name.encode()
    for _ in range(EPOCHS):
        state = hashlib.sha256(state).digest()
    return state.hex()


def test_one_failure_leaves_twelve_completed_and_names_the_thirteenth(tmp_path: Path) -> None:
    bad = {"error": "learning rate is NaN"}
    jobs = [job(name, **(bad if name == "skirt" else {})) for name in CATEGORY_NAMES]
    completed = run(jobs, tmp_path)
    error = completed.pop("error")
    assert set(completed) == set(CATEGORY_NAMES) - {"skirt"}
    assert {name: r["state"] for name, r in completed.items()} == {n: expected(n) for n in completed}
    assert {r["openmp"] for r in completed.values()} == {os.environ["OMP_WAIT_POLICY"]}
    assert set(error.failures) == {"skirt"} and isinstance(error.failures["skirt"], ValueError)
    assert "finetune: 1 of 13 failed" in str(error) and "skirt: learning rate is NaN" in str(error)
    assert not any(tmp_path.iterdir())  # what completed needs no checkpoint


@pytest.mark.parametrize("trouble", ["die_at", "flaky_at"])
def test_a_lost_worker_resumes_and_the_result_is_the_same(tmp_path: Path, trouble: str) -> None:
    completed = run([job("skirt", **{trouble: 3}), job("vest")], tmp_path)
    assert completed["skirt"]["started_at"] == 3
    assert completed["skirt"]["state"] == expected("skirt")
    assert completed["vest"]["started_at"] == 0


def test_an_interrupted_driver_resumes_too_but_not_for_another_key(tmp_path: Path) -> None:
    (tmp_path / "key-skirt").write_bytes(b"5:" + bytes.fromhex(expected("skirt")))
    completed = run([job("skirt"), job("vest")], tmp_path)
    assert completed["skirt"]["started_at"] == 5 and completed["skirt"]["state"] == expected("skirt")
    assert completed["vest"]["started_at"] == 0


def test_without_retries_a_killed_worker_is_a_failure_that_keeps_its_resume_point(
    tmp_path: Path,
) -> None:
    completed = run([job("skirt", die_at=2), job("vest")], tmp_path, max_retries=0)
    assert "skirt: lost after all retries" in str(completed["error"])
    assert [path.name for path in tmp_path.iterdir()] == ["key-skirt"]
    again = run([job("skirt")], tmp_path)
    assert again["skirt"]["started_at"] == 2 and again["skirt"]["state"] == expected("skirt")


def test_what_cannot_be_prepared_or_recorded_is_a_failure_of_that_job(tmp_path: Path) -> None:
    completed: dict[str, Any] = {}

    def on_result(name: str, result: Any) -> None:
        if name == "skirt":
            raise OSError("disk is full")
        completed[name] = result

    def broken() -> Any:
        raise FileNotFoundError("data/catalog")

    jobs = [job("skirt"), job("vest"), Job("sling", "key-sling", 1, broken)]
    with pytest.raises(FanOutError) as caught:
        fan_out("refine", jobs, chain, on_result, EACH_EPOCH, tmp_path)
    assert set(completed) == {"vest"} and set(caught.value.failures) == {"skirt", "sling"}
    assert [path.name for path in tmp_path.iterdir()] == ["key-skirt"]


def killed_in_an_epoch(job: FinetuneJob, checkpoint: Path | None, on_epoch: Any) -> tuple[Result, bool]:
    """Real training that dies in the second step of its third epoch, the first time."""
    assert checkpoint is not None
    resumed, step = checkpoint.exists(), TrainingModule.training_step

    def deadly(module: TrainingModule, batch: Any, batch_idx: int) -> Any:
        if not resumed and module.current_epoch == 2 and batch_idx == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        return step(module, batch, batch_idx)

    TrainingModule.training_step = deadly
    try:
        return finetune.work(job, checkpoint, on_epoch), resumed
    finally:
        TrainingModule.training_step = step


def test_a_worker_killed_in_an_epoch_leaves_the_weights_as_if_it_had_not(tmp_path: Path) -> None:
    job = make_job(tmp_path, 3, EPOCHS)
    undisturbed = finetune.work(job)
    completed: dict[str, Any] = {}
    epochs: list[int] = []
    fan_out(
        "finetune",
        [Job("skirt", "key", 1, lambda: job, "images", EPOCHS)],
        killed_in_an_epoch,
        completed.__setitem__,
        EACH_EPOCH,
        tmp_path / "checkpoints",
        timesheet=tmp_path / "timesheet.json",
        on_epoch=lambda name, epoch, metrics: epochs.append(epoch),
    )
    assert completed["skirt"] == (undisturbed, True)
    assert epochs == [1, 2, 3, 4, 5]
    (ran,) = Timesheet.read(tmp_path / "timesheet.json").jobs
    assert [attempt.resumed for attempt in ran.attempts] == [False, True]
    assert not list(Path(tempfile.gettempdir()).glob(f"{SCRATCH}*/landmarker")), "the dead one's files"


def killed_once_something_has_arrived(
    job: tuple[FinetuneJob, Path], checkpoint: Path | None, on_epoch: Any
) -> tuple[Result, int]:
    """Real training that dies in an epoch after the first checkpoint has arrived in the background."""
    assert checkpoint is not None
    resumed_at = torch.load(checkpoint, weights_only=False)["epoch"] + 1 if checkpoint.exists() else 0
    step, (given, arrived) = TrainingModule.training_step, job

    def deadly(module: TrainingModule, batch: Any, batch_idx: int) -> Any:
        if not resumed_at and module.current_epoch == 3 and batch_idx == 1:
            while not arrived.exists():
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGKILL)
        return step(module, batch, batch_idx)

    TrainingModule.training_step = deadly
    try:
        return finetune.work(given, checkpoint, on_epoch), resumed_at
    finally:
        TrainingModule.training_step = step


def test_a_killed_worker_resumes_from_the_latest_checkpoint_that_arrived(tmp_path: Path) -> None:
    """It may be older than the last epoch; what follows is the same, and nothing is left behind.

    Two processes read the images, whose number changes no bit.
    """
    given = make_job(tmp_path, 5, EPOCHS)
    arrived = tmp_path / "checkpoints" / "key"
    completed: dict[str, Any] = {}
    epochs: list[int] = []
    fan_out(
        "finetune",
        [Job("skirt", "key", 1, lambda: (replace(given, loader_workers=2), arrived), None, EPOCHS)],
        killed_once_something_has_arrived,
        completed.__setitem__,
        Distributed(),
        tmp_path / "checkpoints",
        on_epoch=lambda name, epoch, metrics: epochs.append(epoch),
    )
    result, resumed_at = completed["skirt"]
    assert result == finetune.work(given)
    assert 1 <= resumed_at <= 3
    assert epochs == [1, 2, 3, *range(resumed_at + 1, EPOCHS + 1)]
    assert not any(arrived.parent.iterdir())


def on_two_devices(job: FinetuneJob, checkpoint: Path | None, on_epoch: Any) -> Result:
    """As on a worker that was given two GPUs; without any, two processes take their place."""
    os.environ["CUDA_VISIBLE_DEVICES"] = "0,1"
    try:
        return finetune.work(job, checkpoint, on_epoch)
    finally:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


def test_two_devices_share_one_category_and_still_report(tmp_path: Path) -> None:
    if torch.cuda.is_available():
        pytest.skip("made for processes")
    job = make_job(tmp_path, 4, 2)
    in_process = finetune.work(job)
    completed: dict[str, Any] = {}
    reported: list[tuple[int, float]] = []
    fan_out(
        "finetune",
        [Job("skirt", "key", 1, lambda: job, "images", 2)],
        on_two_devices,
        completed.__setitem__,
        Distributed(),
        tmp_path / "checkpoints",
        on_epoch=lambda name, epoch, metrics: reported.append((epoch, metrics["loss"])),
    )
    assert [epoch for epoch, _ in reported] == [1, 2]  # from a process that knows no Ray
    files = completed["skirt"].files
    assert [epoch["loss"] for epoch in json.loads(files["history.json"])] == [
        loss for _, loss in reported
    ]
    assert files != in_process.files  # each its own noise
    assert completed["skirt"].metrics["loss"] == pytest.approx(in_process.metrics["loss"], rel=0.3)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A folder on a disk of 256 kB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "none", folder], capture_output=True
    )
    if made.returncode:
        pytest.skip("needs the right to mount")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)


def large(job: dict[str, Any], checkpoint: Path | None, on_epoch: Any) -> bytes:
    """Checkpoints that grow over the disk in the third epoch."""
    assert checkpoint is not None
    for epoch in range(1, EPOCHS + 1):
        checkpoint.write_bytes(bytes([epoch]) * (20_000 if epoch < 3 else 300_000))
        on_epoch(epoch, {"loss": 1 / epoch})
    if job["seed"] == "skirt":
        raise ValueError("diverged")
    return bytes(300_000)


def test_a_full_disk_costs_resume_points_and_what_cannot_be_written(
    tmp_path: Path, small_disk: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def on_result(name: str, result: bytes) -> None:
        folder = (small_disk if name == "sling" else tmp_path) / "models" / name
        publish_files(folder, {"weights": result})

    jobs = [job("vest"), job("sling"), job("skirt")]
    with pytest.raises(FanOutError) as caught:
        fan_out(
            "finetune",
            jobs,
            large,
            on_result,
            EACH_EPOCH,
            small_disk,
            timesheet=small_disk / "t" / "sheet.json",
        )
    assert {name: type(cause) for name, cause in caught.value.failures.items()} == {
        "sling": OSError,
        "skirt": ValueError,
    }
    assert "sling: no space left on device" in str(caught.value)
    assert (tmp_path / "models" / "vest" / "weights").stat().st_size == 300_000
    assert capfd.readouterr().err.count("checkpoints are not written: [Errno 28]") == 1
    left = {str(path.relative_to(small_disk)) for path in small_disk.rglob("*") if path.is_file()}
    assert not [name for name in left if "partial" in name or "models" in name], left
    # The last ones that could be written stay, whole.
    assert {(small_disk / f"key-{name}").read_bytes() for name in ("skirt",)} == {b"\2" * 20_000}


def stamp(job: dict[str, Any], checkpoint: Path | None, on_epoch: Any) -> float:
    time.sleep(0.3)
    return time.monotonic()


def test_longest_first_and_prepared_only_when_needed(tmp_path: Path) -> None:
    order: list[str] = []
    ends: dict[str, float] = {}
    waiting: list[int] = []

    def named(name: str, cost: float) -> Job:
        def prepare() -> None:
            order.append(name)
            waiting.append(len(order) - len(ends))

        return Job(name, name, cost, prepare)

    cpus = os.cpu_count() or 1  # one task fills the machine
    jobs = [named("short", 1), named("long", 9), named("middle", 5), named("tiny", 0)]
    fan_out("finetune", jobs, stamp, ends.__setitem__, Distributed(cpus_per_task=cpus), tmp_path)
    assert order == ["long", "middle", "short", "tiny"]
    ended = sorted(ends, key=lambda name: ends[name])
    assert ended == order
    assert max(waiting) == 3  # the one that completes, the one that runs and the next


def test_no_gpu_falls_back_to_cpus_with_a_warning(tmp_path: Path) -> None:
    if ray.is_initialized() and ray.cluster_resources().get("GPU", 0) >= 1:
        pytest.skip("this machine has a GPU")
    with pytest.warns(UserWarning, match="there is no GPU"):
        completed = run([job("skirt")], tmp_path, gpus_per_task=1)
    assert completed["skirt"]["state"] == expected("skirt")


def test_a_task_larger_than_any_node_is_an_error(tmp_path: Path) -> None:
    run([job("vest")], tmp_path)
    with pytest.raises(ValueError, match=r"distributed\.cpus_per_task is 512"):
        fan_out(
            "finetune", [job("skirt")], chain, lambda *_: None, Distributed(cpus_per_task=512), tmp_path
        )
