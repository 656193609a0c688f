"""Training of GLE: augmentation on the device, heatmap loss, position constraint, late modules."""

import numpy as np
import torch
from torch import Tensor

from fashion_ops.methods.alignment.gle.model import GLE
from fashion_ops.methods.alignment.gle.targets import cone_targets
from fashion_ops.methods.parts.augment import Warp, normalize, warp_batch
from fashion_ops.methods.parts.position_constraint import constraint_of
from fashion_ops.methods.parts.training_module import TrainingModule
from fashion_ops.methods.top_down.loss import as_logits, heatmap_loss
from fashion_ops.params import GLEConfig


class GLEModule(TrainingModule):
    """GLE on batches of ``Regions``.

    Args:
        model: if its ``joined`` is False, its modules join after ``config.warm_start`` of the run.
        config: of the run.
        mirror: permutation (K,) of the landmarks under a horizontal flip.
        seed: of order and augmentation.
    """

    config: GLEConfig

    def __init__(self, model: GLE, config: GLEConfig, mirror: np.ndarray, seed: int) -> None:
        super().__init__(config, seed)
        self.model = model
        self.warp = Warp(config.flip, config.rotation, config.scale, config.shift, config.color)
        self.constraint = constraint_of(
            config.position_constraint,
            config.position_constraint_k,
            config.position_constraint_parts,
            mirror,
        )
        self.register_buffer("mirror", torch.from_numpy(mirror), persistent=False)

    def losses(self, batch: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """Compute the losses ``heatmap`` and, if its weight is not 0, ``position_constraint``.

        ``loss`` is their weighted sum. The modules join when it is their time.

        Args:
            batch: of ``Regions``.
            generator: draws the augmentation.
        """
        config, model = self.config, self.model
        assert isinstance(model, GLE)
        mirror = self.get_buffer("mirror")
        crops, landmarks = warp_batch(
            batch["region"], batch["landmarks"], config.crop, mirror, self.warp, generator
        )
        crops = normalize(crops).contiguous(memory_format=torch.channels_last)
        if not model.has_joined and self.progress >= config.warm_start:
            model.join(crops)
        heat = model(crops)
        points, labelled = landmarks[..., :2], landmarks[..., 2] > 0
        target = cone_targets(points, config.crop, config.radius * config.crop[0])
        loss = heatmap_loss(heat, target, labelled.float(), config.loss)
        if self.constraint is None:
            return {"loss": loss, "heatmap": loss}
        penalty = self.constraint.of_heatmaps(as_logits(heat, config.loss), points, labelled)
        total = loss + self.constraint.weight * penalty
        return {"loss": total, "heatmap": loss, "position_constraint": penalty}
