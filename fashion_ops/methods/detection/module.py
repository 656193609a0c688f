"""Training Cascade R-CNN and HTC: mirror at random, then the network's own losses."""

from typing import Any

import torch
from torch import Tensor

from fashion_ops.methods.detection.inference import mirror
from fashion_ops.methods.detection.model import CascadeRCNN
from fashion_ops.methods.parts.fit import FitModule
from fashion_ops.params import Fit


class DetectionModule(FitModule):
    """A ``CascadeRCNN`` on ``LabelledPictures`` batches.

    Args:
        model: the network.
        fit: how to optimise.
        flip: probability of mirroring a picture.
        seed: of everything random.
    """

    def __init__(self, model: CascadeRCNN, fit: Fit, flip: float, seed: int) -> None:
        super().__init__(fit, seed)
        self.model = model
        self.flip = flip

    def losses(self, batch: dict[str, Any], generator: torch.Generator) -> dict[str, Tensor]:
        """The losses by name and their sum ``loss``."""
        device = generator.device
        flips = torch.rand(len(batch["pictures"]), generator=generator, device=device) < self.flip
        pairs = [
            _mirrored(picture, target) if flip else (picture, target)
            for picture, target, flip in zip(
                batch["pictures"], batch["targets"], flips.tolist(), strict=True
            )
        ]
        seed = int(torch.randint(2**62, (), generator=generator, device=device))
        # torchvision draws sizes and samples from the global generators
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(seed)
            each = self.model([p.float() / 255 for p, _ in pairs], [t for _, t in pairs])
        return {"loss": torch.stack(list(each.values())).sum(), **each}


def _mirrored(picture: Tensor, target: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
    turned = {**target, "boxes": mirror(target["boxes"], picture.shape[-1])}
    if "masks" in target:
        turned["masks"] = target["masks"].flip(-1)
    return picture.flip(-1), turned
