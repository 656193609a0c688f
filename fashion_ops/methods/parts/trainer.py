"""One optimisation run, by Lightning: ``fit`` and its options, checkpoints, several devices.

A run that is stopped and resumed equals an uninterrupted one, bit for bit on the same machine: the
order of samples depends on (seed, epoch), augmentation on (seed, step), and an epoch ends with a
checkpoint that replaces the previous one atomically.

Several devices share a run by Lightning's DDP. Each takes its share of every batch, so that batches,
steps and learning rates are those of a run on one device. Their processes are spawned within ``fit``;
the caller, and what it writes, stays in one process. Losses are normalised within each share and
gradients averaged, as in the published multi-GPU runs. On GPUs batch norm uses the whole batch (a share
may be a few images); on CPUs, where torch has no such layer, it uses each share. Batches are copied to
GPUs from pinned memory, without a wait.
"""

import math
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.plugins.precision import MixedPrecision, Precision
from lightning.pytorch.strategies import DDPStrategy
from torch import nn
from torch.utils.data import DataLoader, Dataset

from fashion_ops.files.publishing import sweep, temporary
from fashion_ops.methods.parts.device import select_device
from fashion_ops.methods.parts.fingerprint import fingerprint_of
from fashion_ops.methods.parts.loader_workers import BATCH_SECONDS, no_batch, prepare_sockets
from fashion_ops.methods.parts.memory import keep_freed_memory
from fashion_ops.methods.parts.precision import training_dtype
from fashion_ops.methods.parts.schedule import EpochSampler
from fashion_ops.methods.parts.training_module import TrainingModule, quiet_lightning
from fashion_ops.params import Distributed

OnEpoch = Callable[[int, dict[str, float]], None]
Validate = Callable[[nn.Module], dict[str, float]]  # a model in eval mode to metrics


@dataclass(frozen=True)
class Group:
    """Processes that exist already, maybe on several machines, and share a run: this is one of them.

    Attributes:
        size: number of processes.
        strategy: makes what tells Lightning of the others, a new one for each run; None if there are
            none.
    """

    size: int
    strategy: Callable[[], DDPStrategy] | None = None


@dataclass(frozen=True)
class TrainerOptions:
    """How a training run is carried out; on one kind of device the result does not depend on it.

    Attributes:
        checkpoint: file that epochs are saved to and that the run resumes from.
        checkpoint_minutes: least time between two checkpoints, and before the first one; 0 saves every
            epoch. Writing weights and optimizer of a big network can take as long as a short epoch.
        on_epoch: called with (epochs done, mean losses of the epoch).
        validate: called with the model in eval mode after each epoch; its metrics join the losses.
        device: ``auto``, ``cpu`` or ``cuda``, see ``select_device``.
        loader_workers: processes that read and cut images; the batches do not depend on their number.
        compile: whether ``torch.compile`` compiles the network, which takes minutes at the start and
            changes results by rounding.
        devices: number of devices that share each batch: GPUs, or processes where there is none. With
            several, everything given to the run must pickle, and an error in one of them is raised as
            torch's ``ProcessRaisedException``.
        bar: show a progress bar.
        group: the processes that share each batch, instead of ``devices``, which are then not spawned.
    """

    checkpoint: Path | None = None
    checkpoint_minutes: float = 0.0
    on_epoch: OnEpoch | None = None
    validate: Validate | None = None
    device: str = "auto"
    loader_workers: int = 0
    compile: bool = False
    devices: int = 1
    bar: bool = False
    group: Group | None = None

    @classmethod
    def of(cls, settings: Distributed, **options: Any) -> "TrainerOptions":
        """Take device, loader workers and ``compile`` from ``distributed``, the rest as given."""
        return cls(
            device=settings.device,
            loader_workers=settings.loader_workers,
            compile=settings.compile,
            **options,
        )


class EpochEnd(L.Callback):
    """After each epoch: validate the model, write the checkpoint if it is time, report the metrics."""

    def __init__(self, options: TrainerOptions) -> None:
        self.checkpoint, self.interval = options.checkpoint, 60 * options.checkpoint_minutes
        self.on_epoch, self.validate = options.on_epoch, options.validate
        self.saved = time.monotonic()

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Append the epoch's mean losses and metrics to the history, save and report them.

        Raises:
            FloatingPointError: the mean of ``loss`` is not finite.
        """
        assert isinstance(pl_module, TrainingModule)
        names = list(pl_module.sums)
        sums = torch.stack([pl_module.sums[name] for name in names])
        sums = trainer.strategy.reduce(sums, reduce_op="mean")
        values = (sums / max(1, trainer.num_training_batches)).tolist()
        means = dict(zip(names, values, strict=True))
        if not math.isfinite(means["loss"]):
            raise FloatingPointError(
                f"epoch {trainer.current_epoch}: the loss is {means['loss']}; lower the learning rate "
                f"(now {pl_module.config.lr})"
            )
        if self.validate is not None:  # in every process: all keep the same history
            pl_module.model.eval()
            means |= self.validate(pl_module.model)
            pl_module.model.train()
        pl_module.history.append(means)
        if self.checkpoint is not None and self._is_time(trainer):
            sweep(self.checkpoint.parent)
            partial = temporary(self.checkpoint)
            try:
                trainer.save_checkpoint(partial)  # every process takes part, the first one writes
                if trainer.is_global_zero:
                    partial.replace(self.checkpoint)
            finally:
                partial.unlink(missing_ok=True)
        if self.on_epoch is not None and trainer.is_global_zero:
            self.on_epoch(trainer.current_epoch + 1, means)

    def _is_time(self, trainer: L.Trainer) -> bool:
        """Whether the first process says that the interval between checkpoints has passed."""
        now = time.monotonic()
        due = bool(trainer.strategy.broadcast(now - self.saved >= self.interval))
        if due:
            self.saved = now
        return due


def fit(
    module: TrainingModule,
    dataset: Dataset[Any],
    options: TrainerOptions | None = None,
    weights: np.ndarray | None = None,
) -> list[dict[str, float]]:
    """Train ``module`` on ``dataset`` with the settings in ``module.config``.

    Args:
        module: the model with its losses; at the end it is on the device of the training.
        dataset: returns whole batches from ``__getitems__``.
        options: how the run is carried out; None is the defaults.
        weights: (N,) relative frequency of each sample; None draws each once an epoch.

    Returns:
        The mean losses of each epoch, and the metrics of ``options.validate``.

    Raises:
        ValueError: the data set is empty, a batch can't be divided evenly, or the checkpoint is of
            another run (the message says what differs); the device is ``cuda`` and there is none; or
            ``torch.compile`` fails.
        FloatingPointError: the loss is no longer finite.
        TimeoutError: the loader workers send no batch.
    """
    options = options or TrainerOptions()
    device = select_device(options.device)
    group, checkpoint = options.group, options.checkpoint
    devices = options.devices if group is None else group.size
    size = len(dataset)  # type: ignore[arg-type]
    if size == 0:
        raise ValueError("nothing to train on: the data set is empty")
    batch = min(module.config.batch_size, size)
    if batch % devices:
        raise ValueError(
            f"a batch of {batch} can't be shared by {devices} devices; set batch_size to a multiple of "
            f"{devices} that is no larger than the data set, {size}"
        )
    quiet_lightning()
    L.seed_everything(module.seed, verbose=False)
    resume = checkpoint if checkpoint is not None and checkpoint.is_file() else None
    module.data = "" if checkpoint is None else fingerprint_of(dataset, weights)
    sampler = EpochSampler(dataset, module.seed, weights)
    sampler.set_epoch(_next_epoch(resume, module))  # Lightning does so after workers begin to read
    if options.loader_workers:
        prepare_sockets()
    loader: DataLoader[Any] = DataLoader(
        dataset,
        batch_size=batch // devices,
        sampler=sampler,
        drop_last=True,
        collate_fn=_whole_batch,
        num_workers=options.loader_workers,
        persistent_workers=options.loader_workers > 0,
        timeout=BATCH_SECONDS if options.loader_workers else 0,
        pin_memory=device.type == "cuda",  # Lightning then copies without waiting
    )
    keep_freed_memory()
    trainer = L.Trainer(
        max_epochs=module.config.epochs,
        accelerator=device.type,
        devices=devices if group is None else "auto" if group.size > 1 else 1,
        strategy=_strategy(options),
        sync_batchnorm=devices > 1 and device.type == "cuda",
        use_distributed_sampler=False,
        plugins=[_precision_plugin(module.config.precision, device.type)],
        benchmark=device.type == "cuda" and module.fixed_shapes,
        callbacks=[EpochEnd(options)],
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=options.bar and sys.stderr.isatty(),
    )
    module.history, module.compiles = [], options.compile
    module.train()  # a loaded model is in eval mode, which would freeze its normalisation
    module.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    try:
        trainer.fit(module, loader, ckpt_path=resume, weights_only=False)
    except Exception as error:
        if isinstance(error, RuntimeError) and (silent := no_batch(error)):
            raise silent from error
        if options.compile and type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
            why = str(error).strip().partition("\n")[0]
            raise ValueError(
                f"distributed.compile: torch.compile fails on this machine: {why}; set it to false"
            ) from error
        raise
    module.model.to(device)  # Lightning has moved it to the CPU
    return module.history


def _strategy(options: TrainerOptions) -> DDPStrategy | str:
    """How the processes of a run work together; ``auto`` for a single one."""
    if options.group is not None:
        return "auto" if options.group.strategy is None else options.group.strategy()
    if options.devices == 1:
        return "auto"
    # DLA has projections that no loss depends on
    return DDPStrategy(start_method="spawn", find_unused_parameters=True)


def _next_epoch(checkpoint: Path | None, module: TrainingModule) -> int:
    """Read from a checkpoint the epoch, counted from 0, that a run resumes with; 0 if it is None.

    Raises:
        ValueError: the checkpoint is of another run; the message says what differs.
    """
    if checkpoint is None:
        return 0
    saved = torch.load(checkpoint, map_location="cpu", weights_only=False, mmap=True)
    before, now = saved.get("identity", {}), module.identity()
    differ = [f"{k} {before.get(k)} (here {v})" for k, v in now.items() if before.get(k) != v]
    if differ:
        raise ValueError(
            f"{checkpoint}: of another run, with {', '.join(differ)}; delete it to start over"
        )
    return saved["epoch"] + 1


def _precision_plugin(precision: str, device_type: str) -> Precision:
    """Make Lightning's plugin for ``precision`` on a device, see ``training_dtype``.

    In fp16 the loss is scaled up, so that small gradients do not vanish.
    """
    dtype = training_dtype(precision, device_type)
    if dtype is torch.float32:
        return Precision()
    if dtype is torch.bfloat16:
        return MixedPrecision("bf16-mixed", device_type)
    return MixedPrecision("16-mixed", device_type, torch.amp.GradScaler(device_type))


def _whole_batch(batch: Any) -> Any:
    """Return what ``__getitems__`` of the data set returned, which is a batch already."""
    return batch
