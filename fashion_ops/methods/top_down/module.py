"""Train the landmarker: augmentation on the device, the loss of its head and auxiliary losses."""

from dataclasses import dataclass, field, fields

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fashion_ops.methods.parts.augment import Warp, normalize, warp_batch
from fashion_ops.methods.parts.heatmaps import CellGrid, Crop, heatmap_targets
from fashion_ops.methods.parts.position_constraint import Constraint
from fashion_ops.methods.parts.schedule import auxiliary_weight
from fashion_ops.methods.parts.training_module import TrainingModule
from fashion_ops.methods.top_down.decode import DecodeConfig
from fashion_ops.methods.top_down.loss import (
    as_logits,
    expected_shares,
    heatmap_loss,
    label_loss,
    rle_loss,
    simcc_loss,
)
from fashion_ops.methods.top_down.model import Landmarker
from fashion_ops.params import TrainingConfig
from fashion_ops.taxonomy import Grouping


@dataclass(frozen=True)
class LandmarkerSettings:
    """How the landmarker is trained, besides the optimisation itself.

    Attributes:
        crop: (width, height) in pixels.
        heatmap_sigma: standard deviation of the target Gaussians of heatmaps, cells.
        loss: of heatmaps, ``mse | cross_entropy``.
        warp: augmentation.
        decoding: names the head, says where the cells of heatmaps lie and whether the maps of other
            categories are masked.
        constraint: the position constraint loss, or None.
        label_alpha: initial weight of the pseudo-label loss.
        label_decay: see ``auxiliary_weight``.
    """

    crop: Crop
    heatmap_sigma: float
    loss: str
    warp: Warp
    decoding: DecodeConfig = field(default_factory=DecodeConfig)
    constraint: Constraint | None = None
    label_alpha: float = 0.0
    label_decay: tuple[float, float] = (0.33, 0.67)


class LandmarkerModule(TrainingModule):
    """Trains a landmarker on batches of ``Regions``.

    Args:
        model: the network.
        backbone: name of its backbone.
        config: the optimisation.
        settings: targets, losses and augmentation.
        grouping: of the output channels.
        seed: of order and augmentation.
    """

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
        self.grid = CellGrid(settings.crop, settings.decoding.cells)
        self.grouping = grouping.name
        self.register_buffer("mirror", torch.from_numpy(grouping.mirror()), persistent=False)
        self.register_buffer("channels", torch.from_numpy(grouping.mask), persistent=False)

    def identity(self) -> dict[str, str]:
        """Return the identity of the base with the grouping, the backbone and every setting by name."""
        settings = {f.name: str(getattr(self.settings, f.name)) for f in fields(self.settings)}
        names = {"grouping": self.grouping, "backbone": self.backbone}
        return {**super().identity(), **settings, **names}

    def networks(self) -> list[nn.Module]:
        """The backbone, which the network is called through with and without pseudo-labels."""
        assert isinstance(self.model, Landmarker)
        return [self.model.trunk]

    def losses(self, batch: dict[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
        """Compute the loss of the head, ``position`` if set, and ``label`` until its weight is 0.

        The first has the name of the head (``heatmap``, ``simcc`` or ``rle``); ``loss`` is their
        weighted sum.

        Args:
            batch: of ``Regions``.
            generator: draws the augmentation.
        """
        s = self.settings
        mirror = self.get_buffer("mirror")
        crops, landmarks = warp_batch(
            batch["region"], batch["landmarks"], s.crop, mirror, s.warp, generator
        )
        crops = normalize(crops).contiguous(memory_format=torch.channels_last)
        model = self.model
        assert isinstance(model, Landmarker)
        alpha = auxiliary_weight(self.progress, s.label_alpha, s.label_decay)
        labels = alpha and model.clusters
        output, logits = model.with_labels(crops) if labels else (model(crops), None)
        if s.decoding.head == "heatmap":
            out = self._heatmap_losses(output, landmarks, batch["category"])
        else:
            out = self._point_losses(output, landmarks)
        if logits is not None:
            out["label"] = label_loss(logits, batch["soft_label"], batch["category"])
            out["loss"] = out["loss"] + alpha * out["label"]
        return out

    def _heatmap_losses(
        self, heat: Float[Tensor, "b k h w"], landmarks: Float[Tensor, "b k 3"], category: Tensor
    ) -> dict[str, Tensor]:
        """The losses of heatmaps; ``landmarks`` in crop pixels, ``category`` (B,) 1..13."""
        s = self.settings
        target, weight = heatmap_targets(landmarks, self.grid, s.heatmap_sigma)
        if s.decoding.channel_mask:
            heat = heat * self.get_buffer("channels")[category - 1][..., None, None]
        heatmap = heatmap_loss(heat, target, weight, s.loss)
        out = {"loss": heatmap, "heatmap": heatmap}
        if s.constraint is not None:
            cells = self.grid.to_cells(landmarks[..., :2])
            out["position"] = s.constraint.of_heatmaps(as_logits(heat, s.loss), cells, weight > 0)
            out["loss"] = out["loss"] + s.constraint.weight * out["position"]
        return out

    def _point_losses(
        self, output: Float[Tensor, "b k n"], landmarks: Float[Tensor, "b k 3"]
    ) -> dict[str, Tensor]:
        """The losses of a SimCC or RLE head; ``landmarks`` in crop pixels.

        No loss counts landmarks without a label, so that a mask of channels would change nothing.
        """
        s, model = self.settings, self.model
        assert isinstance(model, Landmarker)
        if s.decoding.head == "simcc":
            of_head = simcc_loss(output, landmarks, s.crop)
        else:
            of_head = rle_loss(output, landmarks, s.crop, model.flow)
        out = {"loss": of_head, s.decoding.head: of_head}
        if s.constraint is not None:
            predicted, true = expected_shares(output, landmarks[..., :2], s.crop, s.decoding.head)
            out["position"] = s.constraint.of_points(predicted, true, landmarks[..., 2] > 0)
            out["loss"] = of_head + s.constraint.weight * out["position"]
        return out
