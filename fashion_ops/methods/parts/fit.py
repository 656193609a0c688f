"""One optimisation run: Lightning for the loop, precision and checkpoints; order and noise by seed.

A run that stops and resumes equals one that never stopped, bit for bit on the same machine: the order
of samples depends on (seed, epoch), augmentation on (seed, step), and each epoch ends in a checkpoint
written beside and moved into place.
"""

import logging
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import lightning as L
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, Sampler

from fashion_ops.methods.parts.augment import step_generator
from fashion_ops.params import Fit

GRADIENT_NORM = 5.0  # gradients are shortened to this

OnEpoch = Callable[[int, dict[str, float]], None]


class EpochSampler(Sampler[int]):
    """A permutation that depends on (seed, epoch) only; Lightning tells it the epoch."""

    def __init__(self, size: int, seed: int) -> None:
        self.size, self.seed, self.epoch = size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return self.size

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        return iter(torch.randperm(self.size, generator=generator).tolist())


class FitModule(L.LightningModule):
    """Base of the methods' modules: AdamW under a one-cycle learning rate, a generator per step.

    Subclasses set ``self.model`` and implement ``losses(batch, generator) -> dict`` whose ``loss``
    entry is minimised; every entry is averaged over the epoch and reported.
    """

    model: nn.Module

    def __init__(self, fit: Fit, seed: int) -> None:
        super().__init__()
        self.fit, self.seed = fit, seed
        self.sums: dict[str, float] = {}

    def losses(
        self, batch: dict[str, torch.Tensor], generator: torch.Generator
    ) -> dict[str, torch.Tensor]:
        """The losses of one batch."""
        raise NotImplementedError

    @property
    def progress(self) -> float:
        """How much of the run is done, 0..1."""
        return self.global_step / max(1, int(self.trainer.estimated_stepping_batches))

    def on_train_epoch_start(self) -> None:
        self.sums = {}

    def training_step(self, batch: dict[str, torch.Tensor], batch_idx: int) -> torch.Tensor:
        losses = self.losses(batch, step_generator(self.seed, self.global_step, self.device))
        for name, value in losses.items():
            self.sums[name] = self.sums.get(name, 0.0) + float(value.detach())
        return losses["loss"]

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        # Not by the Trainer: Lightning refuses fused optimizers (for fp16's sake), 5x faster a step.
        nn.utils.clip_grad_norm_(self.parameters(), GRADIENT_NORM)

    def configure_optimizers(self) -> Any:
        matrices = [p for p in self.model.parameters() if p.ndim > 1]
        vectors = [p for p in self.model.parameters() if p.ndim <= 1]
        groups = [
            {"params": matrices, "weight_decay": self.fit.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=self.fit.lr, fused=True)
        steps = max(3, int(self.trainer.estimated_stepping_batches))
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            max_lr=self.fit.lr,
            total_steps=steps,
            pct_start=max(0.1, 2 / steps),  # a rise of a single step divides by zero
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


class EpochEnd(L.Callback):
    """After each epoch: write the checkpoint, then tell the caller the epoch's mean losses."""

    def __init__(self, checkpoint: Path | None, on_epoch: OnEpoch | None) -> None:
        self.checkpoint, self.on_epoch = checkpoint, on_epoch
        self.history: list[dict[str, float]] = []

    def state_dict(self) -> dict[str, Any]:
        return {"history": self.history}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.history = state_dict["history"]

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        assert isinstance(pl_module, FitModule)
        means = {k: v / max(1, trainer.num_training_batches) for k, v in pl_module.sums.items()}
        if not torch.isfinite(torch.tensor(means["loss"])):
            raise FloatingPointError(
                f"epoch {trainer.current_epoch}: the loss is {means['loss']}; lower the learning rate "
                f"(now {pl_module.fit.lr})"
            )
        self.history.append(means)
        if self.checkpoint is not None:
            partial = self.checkpoint.with_suffix(".partial")
            trainer.save_checkpoint(partial)
            partial.replace(self.checkpoint)
        if self.on_epoch is not None:
            self.on_epoch(trainer.current_epoch + 1, means)


def wants_bf16(precision: str, device_type: str) -> bool:
    """Whether ``precision`` (auto, fp32, bf16) means bf16 here: auto asks what the hardware offers."""
    if precision != "auto":
        return precision == "bf16"
    if device_type == "cuda":
        return torch.cuda.is_bf16_supported()
    return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """The autocast context of a forward pass at this precision."""
    return torch.autocast(device.type, torch.bfloat16, enabled=wants_bf16(precision, device.type))


def fit(
    module: FitModule,
    dataset: Dataset[Any],
    *,
    checkpoint: Path | None = None,
    on_epoch: OnEpoch | None = None,
    loader_workers: int = 0,
    bar: bool = False,
) -> list[dict[str, float]]:
    """Train ``module`` on ``dataset`` by ``module.fit``; resume from ``checkpoint`` if it exists.

    ``dataset`` gives whole batches through ``__getitems__``. Returns the mean losses of each epoch.

    Raises:
        ValueError: the data set is empty.
        FloatingPointError: the loss left the finite numbers.
    """
    size = len(dataset)  # type: ignore[arg-type]
    if size == 0:
        raise ValueError("nothing to train on: the data set is empty")
    _quiet()
    L.seed_everything(module.seed, verbose=False)
    loader: DataLoader[Any] = DataLoader(
        dataset,
        batch_size=min(module.fit.batch_size, size),
        sampler=EpochSampler(size, module.seed),
        drop_last=True,
        collate_fn=lambda batch: batch,
        num_workers=loader_workers,
    )
    end = EpochEnd(checkpoint, on_epoch)
    accelerator = "cuda" if torch.cuda.is_available() else "cpu"
    trainer = L.Trainer(
        max_epochs=module.fit.epochs,
        accelerator=accelerator,
        devices=1,
        precision="bf16-mixed" if wants_bf16(module.fit.precision, accelerator) else "32-true",
        callbacks=[end],
        logger=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=bar and sys.stderr.isatty(),
    )
    resume = checkpoint if checkpoint is not None and checkpoint.is_file() else None
    module.train()  # a loaded model comes in eval mode, which would freeze its normalisation
    module.model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    trainer.fit(module, loader, ckpt_path=resume, weights_only=False)
    return end.history


def _quiet() -> None:
    """Lightning's advice (workers, tips, unused GPU) says nothing about these runs."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning.*")
    warnings.filterwarnings("ignore", message=".*lr_scheduler.step.*")
