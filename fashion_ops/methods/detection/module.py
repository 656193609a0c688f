"""The training step of Cascade R-CNN and HTC: mirror images at random, compute the network's losses."""

from typing import Any

import torch
from torch import Tensor, nn

from fashion_ops.methods.detection.model import CascadeRCNN
from fashion_ops.methods.detection.targets import mirror_boxes
from fashion_ops.methods.parts.training_module import TrainingModule
from fashion_ops.params import TrainingConfig


class DetectionModule(TrainingModule):
    """Trains ``CascadeRCNN`` on batches of ``LabelledImages``.

    Args:
        model: the network.
        config: the optimisation.
        flip: probability of mirroring an image.
        seed: of everything random.
    """

    fixed_shapes = False  # images keep their shape

    def __init__(self, model: CascadeRCNN, config: TrainingConfig, flip: float, seed: int) -> None:
        super().__init__(config, seed)
        self.model = model
        self.flip = flip

    def networks(self) -> list[nn.Module]:
        """The backbone with its pyramid; what follows depends on the boxes."""
        assert isinstance(self.model, CascadeRCNN)
        return [self.model.backbone]

    def losses(self, batch: dict[str, Any], generator: torch.Generator) -> dict[str, Tensor]:
        """Compute the losses of a batch of ``LabelledImages``, by name, and their sum ``loss``.

        ``generator`` draws the flips and seeds what torchvision draws.
        """
        device = generator.device
        flips = torch.rand(len(batch["images"]), generator=generator, device=device) < self.flip
        pairs = [
            _mirrored(image, target) if flip else (image, target)
            for image, target, flip in zip(
                batch["images"], batch["targets"], flips.tolist(), strict=True
            )
        ]
        seed = int(torch.randint(2**62, (), generator=generator, device=device))
        # torchvision draws sizes and samples from the global generators
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(seed)
            losses = self.model([p.float() / 255 for p, _ in pairs], [t for _, t in pairs])
        return {"loss": torch.stack(list(losses.values())).sum(), **losses}


def _mirrored(image: Tensor, target: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
    """Mirror an image (3, H, W), its boxes in edge coordinates and its masks if it has any."""
    mirrored = {**target, "boxes": mirror_boxes(target["boxes"], image.shape[-1])}
    if "masks" in target:
        mirrored["masks"] = target["masks"].flip(-1)
    return image.flip(-1), mirrored
