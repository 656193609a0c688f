"""One optimisation run, by Lightning: the base of the methods' modules, ``fit`` and its options.

A run that is stopped and resumed equals an uninterrupted one, bit for bit on the same machine: the
order of samples depends on (seed, epoch), augmentation on (seed, step), and each epoch ends with a
checkpoint that replaces the previous one atomically.

Several devices share a run by Lightning's DDP. Each takes its share of every batch, so that batches,
steps and learning rates are those of a run on one device. Their processes are spawned within ``fit``;
the caller, and what it writes, stays in one process. Losses are normalised within each share and
gradients averaged, as in the published multi-GPU runs. On GPUs batch norm uses the whole batch (a share
may be a few images); on CPUs, where torch has no such layer, it uses each share.
"""

import hashlib
import logging
import math
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lightning as L
import numpy as np
import torch
from lightning.pytorch.strategies import DDPStrategy
from torch import nn
from torch.utils.data import DataLoader, Dataset

from fashion_ops.files.publishing import sweep, temporary
from fashion_ops.methods.parts.augment import step_generator
from fashion_ops.methods.parts.fingerprint import fingerprint_of
from fashion_ops.methods.parts.memory import keep_freed_memory
from fashion_ops.methods.parts.schedule import EpochSampler, learning_rates
from fashion_ops.params import TrainingConfig

GRADIENT_NORM = 5.0  # gradients are clipped to this norm

OnEpoch = Callable[[int, dict[str, float]], None]
Validate = Callable[[nn.Module], dict[str, float]]  # a model in eval mode to metrics


@dataclass(frozen=True)
class TrainerOptions:
    """How a training run is carried out; the result does not depend on it.

    Attributes:
        checkpoint: file that every epoch is saved to and that the run resumes from.
        on_epoch: called with (epochs done, mean losses of the epoch).
        validate: called with the model in eval mode after each epoch; its metrics join the losses.
        loader_workers: processes that read and cut images.
        devices: number of devices that share each batch: GPUs, or processes where there is none. With
            several, everything given to the run must pickle, and an error in one of them is raised as
            torch's ``ProcessRaisedException``.
        bar: show a progress bar.
    """

    checkpoint: Path | None = None
    on_epoch: OnEpoch | None = None
    validate: Validate | None = None
    loader_workers: int = 0
    devices: int = 1
    bar: bool = False


class TrainingModule(L.LightningModule):
    """Base of the methods' modules: AdamW, a learning rate and a random generator for each step.

    Subclasses set ``self.model`` and implement ``losses``. Its entry ``loss`` is minimised; all entries
    are averaged over the epoch and kept in ``history``.
    """

    model: nn.Module

    def __init__(self, config: TrainingConfig, seed: int) -> None:
        super().__init__()
        self.config, self.seed = config, seed
        self.data = ""  # fingerprint of what it is trained on
        self.sums: dict[str, float] = {}
        self.history: list[dict[str, float]] = []

    def identity(self) -> dict[str, str]:
        """Values, by name, that must be equal in a run and in the checkpoint that it resumes from."""
        shapes = [(name, tuple(p.shape)) for name, p in self.model.named_parameters()]
        return {
            "method": type(self).__name__,
            "architecture": hashlib.sha256(repr(shapes).encode()).hexdigest()[:16],
            "seed": str(self.seed),
            "training data": self.data,
            **{name: str(value) for name, value in self.config.model_dump().items()},
        }

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the identity to a checkpoint."""
        checkpoint["identity"] = self.identity()

    def get_extra_state(self) -> dict[str, Any]:
        """Return the history, saved with the weights in checkpoints and when a spawned process ends."""
        return {"history": self.history}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Restore what ``get_extra_state`` returned."""
        self.history = state["history"]

    def setup(self, stage: str) -> None:
        """Silence Lightning in each process."""
        _quiet()  # a spawned process does not inherit the settings

    def losses(
        self, batch: dict[str, torch.Tensor], generator: torch.Generator
    ) -> dict[str, torch.Tensor]:
        """Compute the losses of one batch, by name; ``loss`` is minimised.

        Args:
            batch: tensors on the device of the model.
            generator: source of randomness, on the same device.
        """
        raise NotImplementedError

    @property
    def progress(self) -> float:
        """Completed share of the run, 0..1."""
        return self.global_step / max(1, int(self.trainer.estimated_stepping_batches))

    def on_train_epoch_start(self) -> None:
        """Begin new sums of the losses."""
        self.sums = {}

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        """Compute the losses of a batch, add them to the epoch's sums, return the one to minimise."""
        generator = step_generator(self.seed, self.global_step, self.device, self.global_rank)
        losses = self.losses(batch, generator)
        for name, value in losses.items():
            self.sums[name] = self.sums.get(name, 0.0) + float(value.detach())
        return losses["loss"]

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Clip the gradients."""
        # Not by the Trainer, which refuses fused optimizers (because of fp16); they are 5x faster.
        clip_gradients(self)

    def configure_optimizers(self) -> Any:
        """Make AdamW, without weight decay for biases and norms, and the learning rate schedule."""
        matrices = [p for p in self.model.parameters() if p.ndim > 1]
        vectors = [p for p in self.model.parameters() if p.ndim <= 1]
        groups = [
            {"params": matrices, "weight_decay": self.config.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=self.config.lr, fused=True)
        schedule = learning_rates(optimizer, self.config, int(self.trainer.estimated_stepping_batches))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class EpochEnd(L.Callback):
    """After each epoch: validate the model, write the checkpoint, report the metrics."""

    def __init__(
        self, checkpoint: Path | None, on_epoch: OnEpoch | None, validate: Validate | None = None
    ) -> None:
        self.checkpoint, self.on_epoch, self.validate = checkpoint, on_epoch, validate

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Append the epoch's mean losses and metrics to the history, save and report them.

        Raises:
            FloatingPointError: the mean of ``loss`` is not finite.
        """
        assert isinstance(pl_module, TrainingModule)
        names = list(pl_module.sums)
        sums = torch.tensor([pl_module.sums[name] for name in names], dtype=torch.float64)
        sums = trainer.strategy.reduce(sums.to(pl_module.device), reduce_op="mean")
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
        if self.checkpoint is not None:
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


def clip_gradients(model: nn.Module) -> None:
    """Clip the norm of all gradients together to ``GRADIENT_NORM``; smaller ones are not touched."""
    parameters = [p for p in model.parameters() if p.grad is not None]
    norm = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
    if norm > GRADIENT_NORM:
        nn.utils.clip_grads_with_norm_(parameters, GRADIENT_NORM, norm)


def uses_bf16(precision: str, device_type: str) -> bool:
    """Whether ``precision`` means bf16: ``bf16`` does, ``auto`` does if the hardware supports it.

    Args:
        precision: ``auto``, ``fp32`` or ``bf16``.
        device_type: ``cuda`` or ``cpu``.
    """
    if precision != "auto":
        return precision == "bf16"
    if device_type == "cuda":
        return torch.cuda.is_bf16_supported()
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """Make the autocast context of a forward pass on ``device``.

    ``precision`` is ``auto``, ``fp32`` or ``bf16``, see ``uses_bf16``.
    """
    return torch.autocast(device.type, torch.bfloat16, enabled=uses_bf16(precision, device.type))


def fit(
    module: TrainingModule,
    dataset: Dataset[Any],
    options: TrainerOptions | None = None,
    weights: np.ndarray | None = None,
) -> list[dict[str, float]]:
    """Train ``module`` on ``dataset`` with the settings in ``module.config``.

    Args:
        module: the model with its losses.
        dataset: returns whole batches from ``__getitems__``.
        options: how the run is carried out; None is the defaults.
        weights: (N,) relative frequency of each sample; None draws each once an epoch.

    Returns:
        The mean losses of each epoch, and the metrics of ``options.validate``.

    Raises:
        ValueError: the data set is empty, a batch can't be divided evenly, or the checkpoint is of
            another run; the message says what differs.
        FloatingPointError: the loss is no longer finite.
    """
    options = options or TrainerOptions()
    devices, checkpoint = options.devices, options.checkpoint
    size = len(dataset)  # type: ignore[arg-type]
    if size == 0:
        raise ValueError("nothing to train on: the data set is empty")
    batch = min(module.config.batch_size, size)
    if batch % devices:
        raise ValueError(
            f"a batch of {batch} can't be shared by {devices} devices; set batch_size to a multiple of "
            f"{devices} that is no larger than the data set, {size}"
        )
    _quiet()
    L.seed_everything(module.seed, verbose=False)
    resume = checkpoint if checkpoint is not None and checkpoint.is_file() else None
    module.data = "" if checkpoint is None else fingerprint_of(dataset, weights)
    sampler = EpochSampler(dataset, module.seed, weights)
    sampler.set_epoch(_next_epoch(resume, module))  # Lightning does so after workers begin to read
    loader: DataLoader[Any] = DataLoader(
        dataset,
        batch_size=batch // devices,
        sampler=sampler,
        drop_last=True,
        collate_fn=_whole_batch,
        num_workers=options.loader_workers,
    )
    accelerator = "cuda" if torch.cuda.is_available() else "cpu"
    keep_freed_memory()
    trainer = L.Trainer(
        max_epochs=module.config.epochs,
        accelerator=accelerator,
        devices=devices,
        # DLA has projections that no loss depends on
        strategy=DDPStrategy(start_method="spawn", find_unused_parameters=True)
        if devices > 1
        else "auto",
        sync_batchnorm=devices > 1 and accelerator == "cuda",
        use_distributed_sampler=False,
        precision="bf16-mixed" if uses_bf16(module.config.precision, accelerator) else "32-true",
        callbacks=[EpochEnd(checkpoint, options.on_epoch, options.validate)],
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=options.bar and sys.stderr.isatty(),
    )
    module.history = []
    module.train()  # a loaded model is in eval mode, which would freeze its normalisation
    module.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    trainer.fit(module, loader, ckpt_path=resume, weights_only=False)
    return module.history


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


def _whole_batch(batch: Any) -> Any:
    """Return what ``__getitems__`` of the data set returned, which is a batch already."""
    return batch


def _quiet() -> None:
    """Silence Lightning's advice (workers, tips, unused GPU), which does not apply to these runs."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning.*")
    warnings.filterwarnings("ignore", message=".*lr_scheduler.step.*")
    warnings.filterwarnings("ignore", message="Grad strides do not match")  # of 1x1 kernels, two names
