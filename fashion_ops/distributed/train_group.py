"""One training by several workers on any nodes, as a Ray Train job.

Lightning's DDP shares every batch among the workers. The first worker reports the epochs and sends each
checkpoint to the job store, as the worker of a task does; nothing is written to Ray Train's storage,
which all nodes would have to share. If a worker or its node dies, Ray Train starts all workers again,
as soon as there are enough nodes, from the last checkpoint. The first worker of each node fetches the
images for all workers of the node.
"""

import os
import socket
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import ray
from ray import cloudpickle
from ray.exceptions import RayError, RayTaskError

from fashion_ops.distributed.job_store import scratch
from fashion_ops.distributed.payload import even_share
from fashion_ops.distributed.worker import (
    Payload,
    WorkerLost,
    fetch_chunks,
    reporting,
    this_node,
)

COLLECTIVE_SECONDS = 1800  # after which a worker counts as lost to the others


@dataclass(frozen=True)
class GroupPlan:
    """How many workers share a training, and what each of them gets."""

    fewest: int  # with fewer the training waits
    most: int  # above ``fewest`` the training grows when nodes join, and shrinks when they leave
    cpus: int
    gpus: int  # 0 or 1
    max_retries: int
    in_background: bool  # see ``CheckpointSender``


def run_group(
    work: bytes, payload: Payload, name: str, key: str, job_store: Any, plan: GroupPlan
) -> Any:
    """Run one job as a Ray Train job; a task on the driver's node, which takes no CPU.

    Args:
        work: the function ``work`` of ``fan_out``, pickled. It is called with a fourth argument, the
            ``Group`` of ``methods.parts.trainer``.
        payload: the input of the job; its ``prepared`` is a ``TrainingJob``.
        name: name of the job.
        key: name of its checkpoint.
        job_store: handle of the ``JobStore`` actor.
        plan: its workers.

    Returns:
        What ``work`` returned on the first worker.

    Raises:
        WorkerLost: workers or nodes were lost more than ``plan.max_retries`` times.
        Exception: any other exception of a worker, which is final.
    """
    from ray.train import ControllerError, TrainingFailedError

    config = {
        "work": work,
        "payload": payload,
        "name": name,
        "key": key,
        "job_store": job_store,
        "in_background": plan.in_background,
    }
    for attempt in range(plan.max_retries + 1):
        try:
            return _run_workers(name, config, plan)
        except TrainingFailedError as error:
            cause = _cause(error)
            # Ray Train itself does not try again if a worker is lost while the group is set up
            again = isinstance(error, ControllerError) and isinstance(cause, WorkerLost)
            if not again or attempt == plan.max_retries:
                raise cause from None
    raise AssertionError("no attempt")


def _run_workers(name: str, config: dict[str, Any], plan: GroupPlan) -> Any:
    """Run ``_share_training(config)`` on the workers of a plan; returns the result of the first."""
    from ray.train import FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    fixed = plan.fewest == plan.most
    with tempfile.TemporaryDirectory() as storage:  # for Ray Train's own notes, on this node
        trainer = TorchTrainer(
            _share_training,
            train_loop_config=config,
            torch_config=_torch_config(),
            scaling_config=ScalingConfig(
                num_workers=plan.most if fixed else (plan.fewest, plan.most),
                use_gpu=plan.gpus > 0,
                resources_per_worker={"CPU": plan.cpus} | ({"GPU": 1} if plan.gpus else {}),
            ),
            run_config=RunConfig(
                name=name.replace(" ", "-"),
                storage_path=storage,
                failure_config=FailureConfig(max_failures=plan.max_retries),
                callbacks=[_stop_at_mistake()],
            ),
        )
        return trainer.fit().return_value


def _torch_config() -> Any:
    """Ray Train's set-up of torch, over the network interface that Ray itself uses.

    Gloo would look up the host name of the worker, which may not resolve, or only to 127.0.1.1.
    """
    from ray.train.torch import TorchConfig

    base: Any = TorchConfig().backend_cls

    class Backend(base):
        def on_start(self, worker_group: Any, backend_config: Any) -> None:
            worker_group.execute(_use_interface_of_ray)
            super().on_start(worker_group, backend_config)

    class Config(TorchConfig):
        @property
        def backend_cls(self) -> Any:
            return Backend

    return Config(timeout_s=COLLECTIVE_SECONDS)


def _use_interface_of_ray() -> None:
    """Let gloo and NCCL use the network interface with this node's address in Ray."""
    address = ray.util.get_node_ip_address()
    for name, entries in psutil.net_if_addrs().items():
        if any(entry.address == address for entry in entries):
            os.environ.setdefault("GLOO_SOCKET_IFNAME", name)
            os.environ.setdefault("NCCL_SOCKET_IFNAME", name)


def _stop_at_mistake() -> Any:
    """A callback that ends a job whose worker raised a final exception; Ray Train would try again."""
    from ray.train import UserCallback

    class StopAtMistake(UserCallback):
        def after_exception(self, run_context: Any, worker_exceptions: dict[int, Exception]) -> None:
            errors = worker_exceptions.values()
            if not any(map(_is_loss, errors)):  # else the others failed because of it
                for error in errors:
                    if not _is_transient(error):
                        raise error

    return StopAtMistake()


def _is_loss(error: BaseException) -> bool:
    """Whether an exception says that Ray has lost a worker."""
    from ray.train.v2._internal.exceptions import RayTrainError

    return isinstance(error, RayError | RayTrainError)


def _is_transient(error: BaseException) -> bool:
    """Whether an exception of a worker means that it or another one was lost."""
    return _is_loss(error) or isinstance(error, ConnectionError | TimeoutError)


def _cause(error: Any) -> BaseException:
    """The final exception of a worker, or a ``WorkerLost`` if there is none."""
    failure = getattr(error, "controller_failure", None)
    if failure is not None and not _is_transient(failure):
        return failure
    lost = [*getattr(error, "worker_failures", {}).values(), failure or error][0]
    lost = lost.cause if isinstance(lost, RayTaskError) and lost.cause else lost
    return WorkerLost(f"lost after all retries: {(str(lost).splitlines() or [repr(lost)])[0]}")


def _share_training(config: dict[str, Any]) -> Any:
    """Take part in a training; Ray Train calls this on each worker with its ``train_loop_config``.

    Returns:
        The result of the first worker, None of the others.

    Raises:
        ConnectionError: another worker was lost.
    """
    try:
        with scratch() as folder:
            return _run_share(folder, **config)
    except RuntimeError as error:
        if _lost_another(error):
            raise ConnectionError(f"another worker was lost: {error}") from error
        raise


def _run_share(
    folder: Path,
    work: bytes,
    payload: Payload,
    name: str,
    key: str,
    job_store: Any,
    in_background: bool,
) -> Any:
    """Fetch checkpoint and input, do this worker's share, and wait for the others.

    Args:
        folder: scratch folder of this worker.
        work: see ``run_group``; also for the following arguments.
        payload: the input.
        name: of the job.
        key: of its checkpoint.
        job_store: handle of the actor.
        in_background: see ``CheckpointSender``.
    """
    from ray import train
    from ray.train.collective import barrier

    first = train.get_context().get_world_rank() == 0
    checkpoint = folder / "checkpoint"
    saved = _saved_checkpoint(job_store, name, key)
    if saved is not None:
        checkpoint.write_bytes(saved)
    del saved
    prepared = ray.get(payload.prepared)
    if payload.stream is not None:
        file = _shared_images(folder, lambda: fetch_chunks(job_store, name, payload.chunks))
        prepared = replace(prepared, **{payload.stream: file})
    group = _join_group(prepared.batch)
    function, result = cloudpickle.loads(work), None
    if first:
        with reporting(folder, checkpoint, name, key, job_store, in_background) as reporter:
            result = function(prepared, checkpoint, reporter, group)
        ray.get(job_store.end.remote(name))
    elif group is not None:
        function(prepared, checkpoint, None, group)
    barrier()  # others may still read the images of this node
    return result


def _saved_checkpoint(job_store: Any, name: str, key: str) -> bytes | None:
    """The checkpoint that all workers resume from, read once by the first; None if there is none."""
    from ray import train
    from ray.train.collective import barrier, broadcast_from_rank_zero

    reference = None
    if train.get_context().get_world_rank() == 0:
        data = ray.get(job_store.start.remote(name, key, this_node()))
        reference = None if data is None else [ray.put(data)]  # in a list, else Ray would resolve it
    shared = broadcast_from_rank_zero(reference)
    data: Any = None if shared is None else ray.get(shared[0])
    barrier()  # the first worker's object lives as long as it is referred to
    return data


def _shared_images(folder: Path, fetch: Callable[[], Any]) -> Path:
    """The file with all images on this node, which its first worker makes in its own ``folder``."""
    from ray import train
    from ray.train.collective import barrier
    from torch import distributed

    from fashion_ops.catalog.training_data import ImageReader

    context = train.get_context()
    file = ""
    if context.get_local_rank() == 0:
        file = str(ImageReader(fetch(), folder).path)
    barrier()  # it has no time limit, unlike the next call
    files: list[tuple[int, str]] = [(0, "")] * context.get_world_size()
    distributed.all_gather_object(files, (context.get_node_rank(), file))
    return Path(next(path for node, path in files if path and node == context.get_node_rank()))


def _join_group(batch: int) -> Any:
    """Form the group of the workers that split a batch evenly.

    Returns:
        A ``Group`` of ``methods.parts.trainer``; None on a worker that is left over.
    """
    from ray import train
    from ray.train.collective import broadcast_from_rank_zero
    from ray.train.lightning import RayDDPStrategy, RayLightningEnvironment
    from torch import distributed

    from fashion_ops.methods.parts.trainer import Group

    class Environment(RayLightningEnvironment):
        def world_size(self) -> int:
            return size

    context = train.get_context()
    rank, everyone = context.get_world_rank(), context.get_world_size()
    size = even_share(everyone, batch)
    if size < everyone:
        address = broadcast_from_rank_zero(_free_address() if rank == 0 else None)
        if rank >= size:
            return None
        backend = distributed.get_backend()
        distributed.destroy_process_group()
        limit = timedelta(seconds=COLLECTIVE_SECONDS)
        distributed.init_process_group(
            backend, f"tcp://{address}", timeout=limit, world_size=size, rank=rank
        )
    if size == 1:
        return Group(1)

    def strategy() -> RayDDPStrategy:
        # DLA has projections that no loss depends on
        return RayDDPStrategy(find_unused_parameters=True, cluster_environment=Environment())

    return Group(size, strategy)


def _free_address() -> str:
    """Address and free port of this node."""
    host = ray.util.get_node_ip_address()
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as free:
        free.bind(("", 0))
        port = free.getsockname()[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _lost_another(error: RuntimeError) -> bool:
    """Whether an exception of this worker says that torch no longer reaches another one."""
    from torch import distributed

    text = str(error)
    return isinstance(error, distributed.DistError) or any(
        words in text for words in ("gloo", "Connection closed by peer", "Connection reset by peer")
    )
