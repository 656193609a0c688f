"""Connects to Ray and counts how many tasks its nodes can run at once."""

import os
import secrets
import time
import warnings
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import ray
from ray._private.services import canonicalize_bootstrap_address_or_die
from ray._private.utils import get_num_cpus
from ray.autoscaler.sdk import request_resources

from fashion_ops.distributed.schedule import tasks_at_once
from fashion_ops.params import Distributed
from fashion_ops.services import (
    Service,
    ServiceError,
    await_answer,
    listens,
    speaks_grpc,
    split_host,
)

# A process of Ray that talks to a node whose machine is gone learns of it after these two; Ray's own
# take minutes. The nodes of a cluster need the same in their environment, see infra/ray/Dockerfile.
KEEPALIVE = {
    "RAY_grpc_client_keepalive_time_ms": "15000",
    "RAY_grpc_client_keepalive_timeout_ms": "15000",
}
POLL_SECONDS = 0.5
START_ATTEMPTS = 12
NODE_MINUTES = 15.0  # that work without nodes waits, if distributed.wait_for_node is not longer


def connect(settings: Distributed) -> None:
    """Join the Ray cluster at ``RAY_ADDRESS``, or start Ray on this machine if it is not set.

    A second call in the same process does nothing. The code of ``fashion_ops`` is sent to the cluster,
    whose nodes need the same versions of Python, Ray and torch.

    Raises:
        ServiceError: the head of the cluster does not answer; Ray itself would try for a quarter of an
            hour.
    """
    if ray.is_initialized():
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_ENABLE_UV_RUN_RUNTIME_ENV", "0")  # workers use this interpreter
    for name, value in KEEPALIVE.items():
        os.environ.setdefault(name, value)
    hide = {"RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1"}  # a task without GPUs sees none
    address = os.environ.get("RAY_ADDRESS") or "local"
    common: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
    if address == "local":
        cpus = max(usable_cpus(), settings.cpus_per_task)
        os.environ |= hide
        start_ray(address, num_cpus=cpus, include_dashboard=False, **common)
    else:
        package = str(Path(__file__).parent.parent)
        await_head(address)
        ray.init(address, runtime_env={"py_modules": [package], "env_vars": hide}, **common)


def usable_cpus() -> int:
    """The processors that this process may use, at least 1: of the machine, its mask and its cgroup."""
    allowed = int(get_num_cpus(override_docker_cpu_warning=True))
    with suppress(AttributeError):  # not on every system
        allowed = min(allowed, len(os.sched_getaffinity(0)))
    return max(allowed, 1)


def await_head(address: str) -> None:
    """Ask the head of a Ray cluster whether it answers.

    Args:
        address: value of ``RAY_ADDRESS``: ``HOST:PORT``, ``ray://HOST:PORT`` or ``auto``, for which Ray
            looks up the cluster of this host.

    Raises:
        ServiceError: it does not answer, or the address is not valid.
    """
    remedy = "check that the head runs, RAY_ADDRESS and the network; without RAY_ADDRESS Ray runs here"
    try:
        found = canonicalize_bootstrap_address_or_die(address) if address == "auto" else address
        host, port = split_host(found)
    except ConnectionError as error:
        raise ServiceError(
            f"RAY_ADDRESS={address}: no Ray cluster runs on this host: {remedy}"
        ) from error
    except ValueError as error:
        raise ServiceError(f"RAY_ADDRESS={address}: {error}, such as head:6379") from error
    encrypted = os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true")
    probe = listens(host, port) if encrypted else speaks_grpc(host, port)
    await_answer(Service("Ray", found, remedy), probe)


def start_ray(address: str, **options: Any) -> None:
    """Call ``ray.init``, up to ``START_ATTEMPTS`` times if it exceeds Ray's start-up timeouts.

    Ray's code fixes these timeouts: 15 s until the agents have reported their ports, 30 s for a node. A
    busy machine may need longer at first; a repeated attempt is faster, because more of Ray is in the
    page cache.

    Args:
        address: ``local`` to start Ray on this machine, or the address of a Ray cluster.
        options: further arguments of ``ray.init``.

    Raises:
        Exception: the error of ``ray.init``, if it is another one or the last attempt fails.
    """
    if address == "local":
        # Without a token in the environment, Ray writes one into the home folder. A process keeps its
        # first token, so later changes of the variable have no effect.
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    for attempt in range(START_ATTEMPTS):
        try:
            ray.init(address, **options)
            return
        except Exception as error:
            ray.shutdown()
            if "timed out during startup" not in str(error) or attempt == START_ATTEMPTS - 1:
                raise


def usable_gpus(settings: Distributed, tasks: int = 1) -> float:
    """Number of GPUs that a task gets, by default: ``distributed.gpus_per_task``.

    It is 0, with a warning, if Ray runs on this machine only and the machine has no GPU; and a warning
    says when it is 0 beside GPUs that ``distributed.device`` allows. On a Ray cluster, this waits up to
    ``distributed.wait_for_node`` seconds for nodes that can run as many tasks at once, and says so.

    Args:
        settings: CPUs and GPUs of a task.
        tasks: number of tasks that are to run at once.

    Raises:
        ValueError: no node has as many CPUs and GPUs as a task needs.
    """
    cpus, gpus = settings.cpus_per_task, settings.gpus_per_task
    if os.environ.get("RAY_ADDRESS"):
        bundle = {"CPU": float(cpus)} | ({"GPU": gpus} if gpus else {})
        deadline = time.monotonic() + settings.wait_for_node
        if slots_now(cpus, gpus) < tasks and settings.wait_for_node:
            warnings.warn(
                f"waiting {settings.wait_for_node:g} s at most for Ray nodes with room for {tasks} "
                f"tasks of {cpus} CPUs and {gpus:g} GPUs (distributed.wait_for_node)",
                stacklevel=3,
            )
        while slots_now(cpus, gpus) < tasks and time.monotonic() < deadline:
            request_resources(bundles=[bundle] * tasks)
            time.sleep(POLL_SECONDS)
    elif gpus and not ray.cluster_resources().get("GPU"):
        warnings.warn(
            f"distributed.gpus_per_task is {gpus:g}, but there is no GPU: training on CPUs",
            stacklevel=3,
        )
        gpus = 0.0
    present = ray.cluster_resources().get("GPU", 0)
    if not gpus and present and settings.device != "cpu":
        warnings.warn(
            f"distributed.gpus_per_task is 0: tasks use no GPU, though Ray has {present:g}; set it "
            "above 0, or distributed.device to cpu",
            stacklevel=3,
        )
    if slots_now(cpus, gpus) == 0:
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        available = "; ".join(f"{n.get('CPU', 0):g} CPUs and {n.get('GPU', 0):g} GPUs" for n in nodes)
        raise ValueError(
            f"distributed.cpus_per_task is {cpus} and distributed.gpus_per_task {gpus:g}, but no node "
            f"has as many: {available}. Add one, lower these values, or set "
            "distributed.wait_for_node if nodes start on demand"
        )
    return gpus


class SlotWatch:
    """Counts the slots of the present nodes; without any it says so once, and gives up in time.

    A slot has the CPUs and GPUs of one task. Patience is that of a node that starts on demand, or
    ``NODE_MINUTES`` if that is longer.

    Args:
        settings: CPUs of a task; ``wait_for_node``.
        gpus: of a task.
        warn: called with a sentence whenever slots are counted and there is none.
        kept: what another run need not do again, in words.
    """

    def __init__(
        self, settings: Distributed, gpus: float, warn: Callable[[str], None], kept: str
    ) -> None:
        self._cpus, self._gpus, self._warn, self._kept = settings.cpus_per_task, gpus, warn, kept
        self._patience = max(settings.wait_for_node, 60 * NODE_MINUTES)
        self._lost_at: float | None = None  # when the last slot was found to be gone
        self._lost_for = 0.0  # seconds, when slots were counted last

    def count(self) -> int:
        """The number of slots, busy or not."""
        if slots := slots_now(self._cpus, self._gpus):
            self._lost_at, self._lost_for = None, 0.0
            return slots
        now = time.monotonic()
        self._lost_at = now if self._lost_at is None else self._lost_at
        self._lost_for = now - self._lost_at
        minutes = self._patience / 60
        self._warn(f"no node has {self._room}; waiting for one, {minutes:g} minutes at most")
        return 0

    def check(self) -> None:
        """Raise ServiceError if there has been no slot for too long."""
        if self._lost_for > self._patience:
            raise ServiceError(
                f"Ray cluster: no node has had {self._room} for {self._patience / 60:g} minutes; add "
                f"one and run this again, which goes on from {self._kept}"
            )

    @property
    def _room(self) -> str:
        """What a task needs of a node, in words."""
        return f"{self._cpus} CPUs and {self._gpus:g} GPUs for a task"


def most_gpus() -> float:
    """Number of GPUs of the node that has the most; 0 if no node has any."""
    return max((node["Resources"].get("GPU", 0) for node in ray.nodes() if node["Alive"]), default=0)


def slots_now(cpus: int, gpus: float) -> int:
    """Number of tasks with these resources that the present nodes can run at once, busy or not."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return sum(tasks_at_once(n.get("CPU", 0), n.get("GPU", 0), cpus, gpus) for n in nodes)
