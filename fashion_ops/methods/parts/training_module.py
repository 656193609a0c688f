"""The base of the methods' training modules: losses summed on the device, clipping, AdamW.

A step never waits for the GPU: losses are read once an epoch, and gradients are clipped without looking
at their norm on the host.
"""

import hashlib
import logging
import warnings
from typing import Any

import lightning as L
import torch
from torch import nn

from fashion_ops.methods.parts.augment import step_generator
from fashion_ops.methods.parts.schedule import learning_rates
from fashion_ops.params import TrainingConfig


class TrainingModule(L.LightningModule):
    """Base of the methods' modules: AdamW, a learning rate and a random generator for each step.

    Subclasses set ``self.model`` and implement ``losses``. Its entry ``loss`` is minimised; all entries
    are averaged over the epoch and kept in ``history``.
    """

    model: nn.Module
    fixed_shapes = True  # whether all batches have one shape, for which cuDNN may search algorithms

    def __init__(self, config: TrainingConfig, seed: int) -> None:
        super().__init__()
        self.config, self.seed = config, seed
        self.data = ""  # fingerprint of what it is trained on
        self.compiles, self.matmul_precision = False, "highest"
        self.sums: dict[str, torch.Tensor] = {}
        self.history: list[dict[str, float]] = []

    def networks(self) -> list[nn.Module]:
        """The modules that hold most of a step's work, which ``torch.compile`` compiles."""
        return [self.model]

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
        """Silence Lightning, allow TF32 on a GPU and compile the networks, in each process."""
        quiet_lightning()  # a spawned process does not inherit the settings
        self.matmul_precision = torch.get_float32_matmul_precision()
        if self.trainer.strategy.root_device.type == "cuda":
            torch.set_float32_matmul_precision("high")
        if self.compiles:
            for network in self.networks():
                network.compile()

    def teardown(self, stage: str) -> None:
        """Undo what ``setup`` did."""
        torch.set_float32_matmul_precision(self.matmul_precision)
        for network in self.networks():
            network._compiled_call_impl = None

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
            value = value.detach().double()
            self.sums[name] = self.sums[name] + value if name in self.sums else value
        return losses["loss"]

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Clip the gradients to ``config.clip_gradients``."""
        # Not by the Trainer, which refuses fused optimizers (because of fp16); they are 5x faster.
        scaler = getattr(self.trainer.precision_plugin, "scaler", None)
        if scaler is not None and getattr(optimizer, "_step_supports_amp_scaling", False):
            scaler.unscale_(optimizer)  # a fused optimizer would do so within its step, after this
        if self.config.clip_gradients is not None:
            clip_gradients(self, self.config.clip_gradients)

    def configure_optimizers(self) -> Any:
        """Make AdamW, without weight decay for biases and norms, and the learning rate schedule."""
        trained = [p for p in self.model.parameters() if p.requires_grad]
        matrices = [p for p in trained if p.ndim > 1]
        vectors = [p for p in trained if p.ndim <= 1]
        groups = [
            {"params": matrices, "weight_decay": self.config.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=self.config.lr, fused=True)
        schedule = learning_rates(optimizer, self.config, int(self.trainer.estimated_stepping_batches))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}


def clip_gradients(model: nn.Module, limit: float) -> None:
    """Clip the norm of all gradients together to ``limit``; smaller ones are not touched.

    On a GPU the host does not wait for the norm: smaller gradients are multiplied by exactly 1.
    """
    parameters = [p for p in model.parameters() if p.grad is not None]
    norm = nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
    if norm.device.type == "cpu" and not norm > limit:
        return  # looking costs nothing there, and multiplying does
    excess = torch.where(norm > limit, norm, 0.0)  # 0 makes torch's coefficient 1
    nn.utils.clip_grads_with_norm_(parameters, limit, excess)


def quiet_lightning() -> None:
    """Silence Lightning's advice (workers, tips, unused GPU), which does not apply to these runs."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="lightning.*")
    warnings.filterwarnings("ignore", message=".*lr_scheduler.step.*")
    warnings.filterwarnings("ignore", message="Grad strides do not match")  # of 1x1 kernels, two names
