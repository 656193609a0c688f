"""Training GLE: augment on the device, heatmap loss, position constraint; modules join on the way."""

import torch
from torch import Tensor

from fashion_ops.methods.alignment.gle.config import GLESettings
from fashion_ops.methods.alignment.gle.model import GLE
from fashion_ops.methods.alignment.gle.targets import cone_targets
from fashion_ops.methods.parts.augment import Warp, normalize, warp_batch
from fashion_ops.methods.parts.position_constraint import Constraint
from fashion_ops.methods.parts.trainer import TrainingModule
from fashion_ops.methods.top_down.loss import as_logits, heatmap_loss


class GLEModule(TrainingModule):
    """GLE on ``Regions`` batches.

    Args:
        model: with ``joined`` False it gets its modules after ``settings.warm_start`` of the run.
        settings: of the run.
        mirror: permutation (K,) of the landmarks under a horizontal flip.
        constraint: PCLoss on integral coordinates, or None.
        seed: of order and augmentation.
    """

    def __init__(
        self,
        model: GLE,
        settings: GLESettings,
        mirror: Tensor,
        constraint: Constraint | None,
        seed: int,
    ) -> None:
        super().__init__(settings, seed)
        self.model, self.settings, self.constraint = model, settings, constraint
        self.warp = Warp(
            settings.flip, settings.rotation, settings.scale, settings.shift, settings.color
        )
        self.register_buffer("mirror", mirror, persistent=False)

    def losses(self, batch: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """Heatmap loss, and the position constraint where there is one."""
        s, model = self.settings, self.model
        assert isinstance(model, GLE)
        mirror = self.get_buffer("mirror")
        crops, landmarks = warp_batch(
            batch["region"], batch["landmarks"], s.crop, mirror, self.warp, generator
        )
        crops = normalize(crops).contiguous(memory_format=torch.channels_last)
        if not model.joined and self.progress >= s.warm_start:
            model.join(crops)
        heat = model(crops)
        points, labelled = landmarks[..., :2], landmarks[..., 2] > 0
        target = cone_targets(points, s.crop, s.radius * s.crop[0])
        loss = heatmap_loss(heat, target, labelled.float(), s.loss)
        if self.constraint is None:
            return {"loss": loss, "heatmap": loss}
        apart = self.constraint.of_heatmaps(as_logits(heat, s.loss), points, labelled)
        total = loss + self.constraint.weight * apart
        return {"loss": total, "heatmap": loss, "position_constraint": apart}
