"""Joining or starting Ray, and counting how many tasks fit on the nodes that are there."""

import os
import secrets
import time
import warnings
from pathlib import Path
from typing import Any

import ray
from ray.autoscaler.sdk import request_resources

from fashion_ops.distributed.schedule import tasks_at_once
from fashion_ops.params import Distributed

POLL_SECONDS = 0.5
START_ATTEMPTS = 12


def connect(settings: Distributed) -> None:
    """Join the cluster of ``RAY_ADDRESS``, or start Ray on this machine; once a process.

    A cluster gets this package sent along; it needs the same Python, Ray and torch installed.
    """
    if ray.is_initialized():
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")  # workers use this interpreter
    hide = {"RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1"}  # a task without GPUs sees none
    address = os.environ.get("RAY_ADDRESS") or "local"
    common: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    if address == "local":
        cpus = max(os.cpu_count() or 1, settings.cpus_per_task)
        os.environ |= hide
        start_ray(address, num_cpus=cpus, include_dashboard=False, **common)
    else:
        package = str(Path(__file__).parent.parent)
        ray.init(address, runtime_env={"py_modules": [package], "env_vars": hide}, **common)


def start_ray(address: str, **options: Any) -> None:
    """``ray.init``, again and again where a busy machine takes longer than Ray gives itself.

    Its raylet ends when the two agents have not told it their ports after 15 s, and a node that is not
    there after 30 s is given up. Both stand in Ray's code; each attempt finds more of it in memory.
    """
    if address == "local":
        # Ray's processes ask each other for a token; without ours it leaves one in the home folder.
        # A process keeps its first one, whatever the variable says later.
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    for attempt in range(START_ATTEMPTS):
        try:
            ray.init(address, **options)
            return
        except Exception as error:
            ray.shutdown()
            if "timed out during startup" not in str(error) or attempt == START_ATTEMPTS - 1:
                raise


def usable_gpus(settings: Distributed) -> float:
    """GPUs a task asks for: 0 with a warning where this machine has none.

    A cluster may still be starting, or scale from nothing: it is given ``distributed.wait_for_node`` seconds.
    """
    cpus, gpus = settings.cpus_per_task, settings.gpus_per_task
    if os.environ.get("RAY_ADDRESS"):
        bundle = {"CPU": float(cpus)} | ({"GPU": gpus} if gpus else {})
        deadline = time.monotonic() + settings.wait_for_node
        while slots_now(cpus, gpus) == 0 and time.monotonic() < deadline:
            request_resources(bundles=[bundle])
            time.sleep(POLL_SECONDS)
    elif gpus and not ray.cluster_resources().get("GPU"):
        warnings.warn(
            f"distributed.gpus_per_task is {gpus:g}, but there is no GPU: training on CPUs",
            stacklevel=3,
        )
        gpus = 0.0
    if slots_now(cpus, gpus) == 0:
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        have = "; ".join(f"{n.get('CPU', 0):g} CPUs and {n.get('GPU', 0):g} GPUs" for n in nodes)
        raise ValueError(
            f"distributed.cpus_per_task is {cpus} and distributed.gpus_per_task {gpus:g}, but no node has as many: "
            f"{have}. Add one, ask for less, or set distributed.wait_for_node where nodes come on demand"
        )
    return gpus


def most_gpus() -> float:
    """GPUs of the node that has most of them now."""
    return max((node["Resources"].get("GPU", 0) for node in ray.nodes() if node["Alive"]), default=0)


def slots_now(cpus: int, gpus: float) -> int:
    """How many tasks can run at once on the nodes that are there now."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return sum(tasks_at_once(n.get("CPU", 0), n.get("GPU", 0), cpus, gpus) for n in nodes)
