"""Training the landmarker: augment on the device, heatmap loss, fading pseudo-label loss."""

from dataclasses import dataclass

import torch
from torch import Tensor

from fashion_ops.methods.parts.augment import Warp, normalize, warp_batch
from fashion_ops.methods.parts.fit import FitModule
from fashion_ops.methods.parts.schedule import auxiliary_weight
from fashion_ops.methods.top_down.loss import heatmap_loss, label_loss
from fashion_ops.methods.top_down.model import Landmarker
from fashion_ops.methods.top_down.targets import heatmap_targets
from fashion_ops.params import Fit


@dataclass(frozen=True)
class LandmarkerSettings:
    """How the landmarker is trained, besides the optimisation itself."""

    crop: tuple[int, int]
    heatmap_sigma: float
    loss: str
    warp: Warp
    label_alpha: float = 0.0
    label_decay: tuple[float, float] = (0.33, 0.67)


class LandmarkerModule(FitModule):
    """Landmarker on ``Regions`` batches; ``mirror`` is the grouping's flip permutation."""

    def __init__(
        self, model: Landmarker, fit: Fit, settings: LandmarkerSettings, mirror: Tensor, seed: int
    ) -> None:
        super().__init__(fit, seed)
        self.model = model
        self.settings = settings
        self.register_buffer("mirror", mirror, persistent=False)

    def losses(self, batch: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """Heatmap loss, and the pseudo-label loss while its weight lasts."""
        s = self.settings
        mirror = self.get_buffer("mirror")
        crops, landmarks = warp_batch(
            batch["region"], batch["landmarks"], s.crop, mirror, s.warp, generator
        )
        crops = normalize(crops).contiguous(memory_format=torch.channels_last)
        target, weight = heatmap_targets(landmarks, s.crop, s.heatmap_sigma)
        model = self.model
        assert isinstance(model, Landmarker)
        alpha = auxiliary_weight(self.progress, s.label_alpha, s.label_decay)
        if not (alpha and model.clusters):
            loss = heatmap_loss(model(crops), target, weight, s.loss)
            return {"loss": loss, "heatmap": loss}
        heat, logits = model.with_labels(crops)
        heatmap = heatmap_loss(heat, target, weight, s.loss)
        label = label_loss(logits, batch["soft_label"], batch["category"])
        return {"loss": heatmap + alpha * label, "heatmap": heatmap, "label": label}
