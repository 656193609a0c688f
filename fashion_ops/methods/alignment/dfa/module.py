"""Training one network of the cascade: augment, label, and the three losses."""

from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from fashion_ops.methods.alignment.crops import from_pixels
from fashion_ops.methods.alignment.dfa.labels import PseudoLabels
from fashion_ops.methods.alignment.dfa.loss import label_loss, position_loss, visibility_loss
from fashion_ops.methods.alignment.dfa.model import StageNet
from fashion_ops.methods.parts.augment import Warp, normalize, warp_batch
from fashion_ops.methods.parts.position_constraint import Constraint
from fashion_ops.methods.parts.schedule import auxiliary_weight, learning_rates
from fashion_ops.methods.parts.trainer import TrainingModule
from fashion_ops.params import TrainingConfig

MOMENTUM = 0.9


@dataclass(frozen=True)
class StageSettings:
    """How a network is trained, besides the optimisation itself.

    ``visibility_weight``, ``label_weight``: alpha and beta of eq. 3; ``decay``: t1 and t2 of eq. 4 as
    shares of the run; ``as_printed``: eq. 4's ramp as the paper prints it. ``constraint``: PCLoss on
    the positions, the network's and not the offsets.
    """

    warp: Warp = field(default_factory=Warp)
    visibility_weight: float = 1.0
    label_weight: float = 1.0
    decay: tuple[float, float] = (0.33, 0.67)
    as_printed: bool = False
    optimizer: Literal["adamw", "sgd"] = "adamw"
    constraint: Constraint | None = None


class StageModule(TrainingModule):
    """A ``StageNet`` on batches of ``AlignmentSamples``.

    Args:
        model: the network.
        fit: its optimisation.
        settings: augmentation and weights of the losses.
        labels: its pseudo-labels; None for a network without them.
        mirror: permutation (n,) of the landmarks under a horizontal flip.
        seed: of augmentation and order.
    """

    def __init__(
        self,
        model: StageNet,
        config: TrainingConfig,
        settings: StageSettings,
        labels: PseudoLabels | None,
        mirror: Tensor,
        seed: int,
    ) -> None:
        super().__init__(config, seed)
        self.model, self.settings, self.labels = model, settings, labels
        both = torch.cat([mirror, mirror + len(mirror)]) if model.cascade else mirror
        self.register_buffer("mirror", both, persistent=False)

    def losses(self, batch: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """Eq. 3.

        The weights fall to 0 for the trunk, as eq. 4 wants it; the heads of visibility and
        pseudo-labels go on learning from a trunk that no longer listens: stage 3 is routed by them.
        """
        s, model = self.settings, self.model
        assert isinstance(model, StageNet)
        crops = batch["crop"]
        n, size = model.landmarks, crops.shape[-1]
        mirror = self.get_buffer("mirror")
        pixels, points = warp_batch(crops, batch["landmarks"], (size, size), mirror, s.warp, generator)
        pixels = normalize(pixels).contiguous(memory_format=torch.channels_last)
        positions = from_pixels(points[..., :2], size)
        true, previous = positions[:, :n], positions[:, n:] if model.cascade else None
        visibility = points[:, :n, 2].long()
        observed, slots = visibility > 0, batch["slots"]
        share = auxiliary_weight(self.progress, 1.0, s.decay, s.as_printed)
        out = model(pixels, previous, share)
        loss = position = position_loss(out.positions, true, observed)
        told = {"position": position}
        if s.constraint is not None:
            apart = s.constraint.of_points(out.positions, true, observed)
            told["position_constraint"] = apart
            loss = loss + s.constraint.weight * apart
        if s.visibility_weight:
            told["visibility"] = visibility_loss(out.visibility, 2 - visibility, slots)
            loss = loss + s.visibility_weight * told["visibility"]
        if self.labels is not None and s.label_weight:
            told["label"] = label_loss(out.labels, self._soft(true, previous, observed))
            loss = loss + s.label_weight * told["label"]
        return {"loss": loss, **told}

    @torch.no_grad()
    def _soft(self, true: Tensor, previous: Tensor | None, observed: Tensor) -> Tensor:
        """Pseudo-labels of the crops as they were warped: a mirrored garment is of another cluster."""
        assert self.labels is not None
        before = None if previous is None else previous.double().cpu().numpy()
        soft = self.labels.soft(true.double().cpu().numpy(), before, observed.cpu().numpy())
        return torch.from_numpy(soft).to(true)

    def configure_optimizers(self) -> Any:
        """AdamW as everywhere, or the paper's SGD with momentum."""
        if self.settings.optimizer == "adamw":
            return super().configure_optimizers()
        optimizer = torch.optim.SGD(
            self.model.parameters(),
            lr=self.config.lr,
            momentum=MOMENTUM,
            weight_decay=self.config.weight_decay,
        )
        schedule = learning_rates(optimizer, self.config, int(self.trainer.estimated_stepping_batches))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}
