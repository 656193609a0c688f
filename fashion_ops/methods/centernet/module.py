"""The training step of the detector: augment on the device, encode targets, compute the losses."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from fashion_ops.methods.centernet.data import warp_images
from fashion_ops.methods.centernet.loss import detection_losses
from fashion_ops.methods.centernet.model import CenterNet
from fashion_ops.methods.centernet.targets import Radius, make_targets
from fashion_ops.methods.parts.augment import Warp, normalize
from fashion_ops.methods.parts.color import normalize_changed
from fashion_ops.methods.parts.position_constraint import Constraint
from fashion_ops.methods.parts.training_module import TrainingModule
from fashion_ops.params import TrainingConfig


@dataclass(frozen=True)
class DetectorSettings:
    """Augmentation, targets and losses of a training run.

    Attributes:
        warp: flip, zoom, shift and colour change.
        center_radius: rule of the Gaussians' radius, see ``gaussian_radius``.
        center_reach: cells around a centre that regress too, see ``make_targets``.
        category_weight: weight of ``category_loss``.
        jitter: see ``color_change``.
        lighting: see ``color_change``.
        constraint: position constraint on the displacements, or None.
    """

    warp: Warp
    center_radius: Radius
    center_reach: int = 0
    category_weight: float = 0.0
    jitter: float = 0.0
    lighting: float = 0.0
    constraint: Constraint | None = None


class CenterNetModule(TrainingModule):
    """Trains ``CenterNet`` on batches of ``Images``.

    Args:
        model: the network.
        config: the optimisation.
        settings: augmentation, targets and losses.
        mirror: permutation of the grouping's channels under a flip.
        seed: of everything random.
    """

    def __init__(
        self,
        model: CenterNet,
        config: TrainingConfig,
        settings: DetectorSettings,
        mirror: Tensor,
        seed: int,
    ) -> None:
        super().__init__(config, seed)
        self.model = model
        self.settings = settings
        self.register_buffer("mirror", mirror, persistent=False)

    def networks(self) -> list[nn.Module]:
        """Backbone and neck; the heads are read at the targets, whose number changes."""
        assert isinstance(self.model, CenterNet)
        return [self.model.backbone, self.model.neck]

    def losses(self, batch: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """Compute the losses of a batch of ``Images``, by name, and their weighted sum ``loss``.

        Each is the mean over the stacks. ``generator`` draws the augmentation.
        """
        pixels, boxes, landmarks = warp_images(
            batch, self.get_buffer("mirror"), self.settings.warp, generator
        )
        s = self.settings
        targets = make_targets(
            boxes,
            batch["category"],
            landmarks,
            pixels.shape[-1],
            s.center_radius,
            s.center_reach,
        )
        model = self.model
        assert isinstance(model, CenterNet)
        if s.jitter or s.lighting:
            pixels = normalize_changed(pixels, s.jitter, s.lighting, generator)
        else:
            pixels = normalize(pixels)
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        outputs = model.at_cells(pixels, targets.centers, targets.points)
        stacks = [detection_losses(maps, targets, s.category_weight, s.constraint) for maps in outputs]
        return {name: torch.stack([losses[name] for losses in stacks]).mean() for name in stacks[0]}
