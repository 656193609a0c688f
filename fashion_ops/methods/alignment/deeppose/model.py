"""Patches around the current estimates, and one network per landmark that corrects its estimate."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from fashion_ops.methods.alignment.vgg import VGGBackbone
from fashion_ops.methods.parts.precision import full_precision

PATCH = 120 / 224  # side of a patch over that of the crop


class PatchNet(nn.Module):
    """The CNN of one landmark: maps patches to corrections, in sides of the patch.

    Args:
        backbone: a name of ``alignment.vgg``.
        input_size: side of the enlarged patches, pixels.
        pretrained: torchvision's name of the weights, or None.
        dropout: after fc6 and fc7.
    """

    def __init__(self, backbone: str, input_size: int, pretrained: str | None, dropout: float) -> None:
        super().__init__()
        self.trunk = VGGBackbone(backbone, input_size, pretrained)
        self.fc7 = nn.Linear(self.trunk.width, self.trunk.width)
        if self.trunk.fc7_pretrained is not None:
            self.fc7.load_state_dict(self.trunk.fc7_pretrained.state_dict())
        self.dropout = nn.Dropout(dropout)
        self.offset = nn.Linear(self.trunk.width, 2)
        nn.init.normal_(self.offset.weight, std=0.001)
        nn.init.zeros_(self.offset.bias)

    def forward(self, patches: Float[Tensor, "b 3 s s"]) -> Float[Tensor, "b 2"]:
        """Predict corrections x, y, in sides of the patch, from normalised patches."""
        x = self.dropout(F.relu(self.trunk(patches)))
        x = self.dropout(F.relu(self.fc7(x)))
        with full_precision():
            return self.offset(x.float())


class PatchStage(nn.Module):
    """Stage 2 or 3: one ``PatchNet`` for each of ``landmarks``; other arguments as of ``PatchNet``."""

    def __init__(
        self, backbone: str, input_size: int, landmarks: int, pretrained: str | None, dropout: float
    ) -> None:
        super().__init__()
        self.nets = nn.ModuleList(
            PatchNet(backbone, input_size, pretrained, dropout) for _ in range(landmarks)
        )

    def forward(
        self, pixels: Float[Tensor, "b 3 s s"], previous: Float[Tensor, "b n 2"]
    ) -> Float[Tensor, "b n 2"]:
        """Correct normalised positions.

        Args:
            pixels: whole crops that ``normalize`` has normalised.
            previous: current positions.
        """
        offsets = [net(cut_patches(pixels, previous[:, i])) for i, net in enumerate(self.nets)]
        return previous + PATCH * torch.stack(offsets, 1)


@full_precision()
def cut_patches(
    pixels: Float[Tensor, "b c s s"], centers: Float[Tensor, "b 2"]
) -> Float[Tensor, "b c s s"]:
    """Cut patches around normalised positions and enlarge them to the size of the crop.

    What lies beyond the crop is 0.
    """
    b = len(pixels)
    theta = pixels.new_zeros(b, 2, 3, dtype=torch.float32)
    theta[:, 0, 0] = theta[:, 1, 1] = PATCH
    theta[:, :, 2] = 2 * centers  # grid_sample's coordinates run from -1 to 1
    grid = F.affine_grid(theta, list(pixels.shape), align_corners=False)
    patches = F.grid_sample(pixels.float(), grid, align_corners=False)
    return patches.contiguous(memory_format=torch.channels_last)
