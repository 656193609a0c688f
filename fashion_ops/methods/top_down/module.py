"""Training the landmarker: augment on the device, heatmap loss, fading pseudo-label loss."""

from dataclasses import dataclass, field, fields

import torch
from torch import Tensor

from fashion_ops.methods.parts.augment import Warp, normalize, warp_batch
from fashion_ops.methods.parts.position_constraint import Constraint
from fashion_ops.methods.parts.schedule import auxiliary_weight
from fashion_ops.methods.parts.trainer import TrainingModule
from fashion_ops.methods.top_down.cells import to_cells
from fashion_ops.methods.top_down.decode import Reading
from fashion_ops.methods.top_down.loss import as_logits, heatmap_loss, label_loss
from fashion_ops.methods.top_down.model import Landmarker
from fashion_ops.methods.top_down.targets import heatmap_targets
from fashion_ops.params import TrainingConfig
from fashion_ops.taxonomy import Grouping


@dataclass(frozen=True)
class LandmarkerSettings:
    """How the landmarker is trained, besides the optimisation itself."""

    crop: tuple[int, int]
    heatmap_sigma: float
    loss: str
    warp: Warp
    reading: Reading = field(default_factory=Reading)
    constraint: Constraint | None = None
    label_alpha: float = 0.0
    label_decay: tuple[float, float] = (0.33, 0.67)


class LandmarkerModule(TrainingModule):
    """Landmarker on ``Regions`` batches; ``backbone`` is the name to call its network by."""

    def __init__(
        self,
        model: Landmarker,
        backbone: str,
        config: TrainingConfig,
        settings: LandmarkerSettings,
        grouping: Grouping,
        seed: int,
    ) -> None:
        super().__init__(config, seed)
        self.model = model
        self.backbone = backbone
        self.settings = settings
        self.grouping = grouping.name
        self.register_buffer("mirror", torch.from_numpy(grouping.mirror()), persistent=False)
        self.register_buffer("channels", torch.from_numpy(grouping.mask), persistent=False)

    def identity(self) -> dict[str, str]:
        """With grouping, backbone and every setting by name."""
        settings = {f.name: str(getattr(self.settings, f.name)) for f in fields(self.settings)}
        return {
            **super().identity(),
            **settings,
            "grouping": self.grouping,
            "backbone": self.backbone,
        }

    def losses(self, batch: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """Heatmap loss; PCLoss where it is asked for; pseudo-label loss while its weight lasts."""
        s = self.settings
        mirror = self.get_buffer("mirror")
        crops, landmarks = warp_batch(
            batch["region"], batch["landmarks"], s.crop, mirror, s.warp, generator
        )
        crops = normalize(crops).contiguous(memory_format=torch.channels_last)
        target, weight = heatmap_targets(landmarks, s.crop, s.heatmap_sigma, s.reading.cells)
        model = self.model
        assert isinstance(model, Landmarker)
        alpha = auxiliary_weight(self.progress, s.label_alpha, s.label_decay)
        labels = alpha and model.clusters
        heat, logits = model.with_labels(crops) if labels else (model(crops), None)
        if s.reading.channel_mask:
            heat = heat * self.get_buffer("channels")[batch["category"] - 1][..., None, None]
        heatmap = heatmap_loss(heat, target, weight, s.loss)
        out = {"loss": heatmap, "heatmap": heatmap}
        if s.constraint is not None:
            cells = to_cells(landmarks[..., :2], s.crop, s.reading.cells)
            out["position"] = s.constraint.of_heatmaps(as_logits(heat, s.loss), cells, weight > 0)
            out["loss"] = out["loss"] + s.constraint.weight * out["position"]
        if logits is not None:
            out["label"] = label_loss(logits, batch["soft_label"], batch["category"])
            out["loss"] = out["loss"] + alpha * out["label"]
        return out
