"""Jobs that take several GPUs beside jobs that take one, on a real Ray that believes it has two."""

import os
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import ray

from fashion_ops.distributed import cluster
from fashion_ops.distributed import driver as driver_module
from fashion_ops.distributed.cluster import start_ray, usable_cpus
from fashion_ops.distributed.driver import Driver
from fashion_ops.distributed.fan_out import Job, fan_out
from fashion_ops.distributed.payload import count_devices
from fashion_ops.params import Distributed, Params
from fashion_ops.services import ServiceError

GROUPS = {"fixed": None, "elastic": 1}  # the fewest workers of a Ray Train job


@pytest.fixture
def two_gpus() -> Iterator[None]:
    folder = tempfile.mkdtemp(prefix="ray-")  # short: Unix sockets allow 107 characters
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_TMPDIR", folder)
        patch.delenv("RAY_ADDRESS", raising=False)
        ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
        start_ray("local", num_cpus=3, num_gpus=2, include_dashboard=False, log_to_driver=False)
        yield
        ray.shutdown()
    shutil.rmtree(folder, ignore_errors=True)


def test_ray_gets_the_processors_that_this_process_may_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The least of machine, mask and quota of the cgroup, of which a container may have a part."""
    from ray._private import utils

    quota = tmp_path / "cpu.max"
    other = dict.fromkeys(("cpu_quota_file_name", "cpuset_file_name"), str(tmp_path / "none"))
    of_file = partial(utils._get_docker_cpus, **other, cpu_max_file_name=str(quota))
    monkeypatch.setattr(utils, "_get_docker_cpus", of_file)
    monkeypatch.setattr("multiprocessing.cpu_count", lambda: 64)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {1, 2, 3})
    got = {}
    for share in ("max", "200000", "150000", "50000", "900000"):
        quota.write_text(f"{share} 100000\n")
        got[share] = usable_cpus()
    assert got == {"max": 3, "200000": 2, "150000": 1, "50000": 1, "900000": 3}


def test_gpus_that_no_task_asks_for_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster.ray, "cluster_resources", lambda: {"CPU": 8.0, "GPU": 4.0})
    monkeypatch.setattr(cluster, "slots_now", lambda cpus, gpus: 8)
    with pytest.warns(UserWarning, match="gpus_per_task is 0: tasks use no GPU, though Ray has 4"):
        assert cluster.usable_gpus(Distributed()) == 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        cluster.usable_gpus(Distributed(device="cpu"))
        cluster.usable_gpus(Distributed(gpus_per_task=0.5))


def test_a_wait_for_nodes_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    slots = iter([0, 0, 1, 2, 2])
    monkeypatch.setenv("RAY_ADDRESS", "head:6379")
    monkeypatch.setattr(cluster, "POLL_SECONDS", 0)
    monkeypatch.setattr(cluster, "request_resources", lambda bundles: None)
    monkeypatch.setattr(cluster, "slots_now", lambda cpus, gpus: next(slots))
    monkeypatch.setattr(cluster.ray, "cluster_resources", dict)
    with pytest.warns(UserWarning, match="waiting 900 s at most for Ray nodes with room for 2 tasks"):
        cluster.usable_gpus(Distributed(wait_for_node=900), tasks=2)
    assert next(slots, None) is None  # the wait was over when there were two


def test_a_fan_out_that_has_lost_all_nodes_says_so_and_gives_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    slots, now = [0, 1, 0, 0], [0.0]  # the third count comes late: the node may have gone just then
    for name in ("_start_job_store", "_on_this_node"):
        monkeypatch.setattr(driver_module, name, lambda *_: None)
    monkeypatch.setattr(cluster, "slots_now", lambda cpus, gpus: slots.pop(0))
    monkeypatch.setattr(driver_module, "POLL_SECONDS", 0)
    monkeypatch.setattr(cluster.time, "monotonic", lambda: now[0])
    settings = Distributed(wait_for_node=1200)
    driver = Driver("finetune", [], report_devices, settings, 0.5, tmp_path, None)
    for now[0] in (0.0, 1200.0, 9000.0):  # a node comes just in time, and goes
        driver.submit()
        assert driver.wait() == []
    said = capsys.readouterr().err
    assert said.count("no node has 1 CPUs and 0.5 GPUs for a task; waiting for one, 20 minutes") == 1
    now[0] = 10201.0
    driver.submit()
    with pytest.raises(ServiceError, match=r"for 20 minutes; add one .* goes on from the checkpoints"):
        driver.wait()


def report_devices(job: Any, checkpoint: Path | None, on_epoch: Any) -> dict[str, Any]:
    start = time.monotonic()
    time.sleep(0.3)
    visible = os.environ["CUDA_VISIBLE_DEVICES"]
    return {
        "visible": visible,
        "devices": count_devices(job, 16, 500),
        "at": (start, time.monotonic()),
    }


def test_a_wide_job_has_the_gpus_to_itself(
    two_gpus: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Distributed(gpus_per_task=1, gpus_of={"trousers": 2, "short_sleeve_top": 4})
    names = {"short_sleeve_top": 9, "trousers": 7, "skirt": 5, "vest": 4, "sling": 3}
    jobs = [
        Job(n, n, cost, lambda n=n: settings.devices_for(n), gpus=settings.gpus_for(n))
        for n, cost in names.items()
    ]
    completed: dict[str, Any] = {}
    fan_out("finetune", jobs, report_devices, completed.__setitem__, settings, tmp_path)
    assert {
        n: sorted(completed[n]["visible"].split(",")) for n in ("trousers", "short_sleeve_top")
    } == {
        "trousers": ["0", "1"],
        "short_sleeve_top": ["0", "1"],  # there are no four
    }
    assert "short_sleeve_top is to take 4 GPUs, the largest node has 2" in capsys.readouterr().err
    assert {n: completed[n]["devices"] for n in names} == {
        "short_sleeve_top": 2,
        "trousers": 2,
        "skirt": 1,
        "vest": 1,
        "sling": 1,
    }
    begin, end = completed["trousers"]["at"]
    others = [completed[n]["at"] for n in names if n != "trousers"]
    assert all(b >= end or e <= begin for b, e in others)
    driver = Driver("finetune", [], report_devices, settings, 0.5, tmp_path, None)
    whole = [Job(name, name, 1, dict, workers=4, fewest=fewest) for name, fewest in GROUPS.items()]
    granted = [driver._grant(job) for job in whole]  # workers take whole GPUs, of any nodes
    assert [(job.workers, job.gpus, driver._slots_of(job)) for job in granted] == [
        (2, 2.0, 4),
        (4, 4.0, 8),
    ]
    assert "fixed is to take 4 devices, the nodes have 2" in capsys.readouterr().err
    driver.stop()


@pytest.mark.parametrize(
    ("distributed", "said"),
    [
        ({"gpus_per_task": 1, "gpus_of": {"jeans": 2}}, r"distributed\.gpus_of: unknown \['jeans'\]"),
        ({"gpus_per_task": 2, "gpus_of": {"skirt": 1}}, r"gpus_of \{'skirt': 1\}: must be at least"),
        ({"gpus_of": {"skirt": 2}}, "and that above 0; it is 0"),
        ({"devices": 2, "min_devices": 4}, "min_devices 4: must be at most devices, 2"),
    ],
)
def test_gpus_that_make_no_sense(distributed: dict, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Params.model_validate({"distributed": distributed})
