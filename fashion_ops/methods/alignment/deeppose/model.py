"""Patches around the current estimates, and one network per landmark that corrects its estimate.

As Table 5 of the DFA paper says, every network learns visibility beside its correction.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from fashion_ops.methods.alignment.dfa.model import STATES, StageNet
from fashion_ops.methods.alignment.vgg import VGGBackbone
from fashion_ops.methods.parts.precision import full_precision

PATCH = 120 / 224  # side of a patch over that of the crop


class PatchNet(nn.Module):
    """The CNN of one landmark: maps patches to corrections, in sides of the patch, and visibility.

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
        self.visibility = nn.Linear(self.trunk.width, STATES)
        for head in (self.offset, self.visibility):
            nn.init.normal_(head.weight, std=0.001)
            nn.init.zeros_(head.bias)

    def forward(
        self, patches: Float[Tensor, "b 3 s s"], share: float = 1.0
    ) -> tuple[Float[Tensor, "b 2"], Float[Tensor, "b 3"]]:
        """Predict from normalised patches; ``share`` as of ``StageNet``.

        Returns:
            Corrections x, y, in sides of the patch; logits of visible, occluded and inexistent.
        """
        x = self.dropout(F.relu(self.trunk(patches)))
        x = self.dropout(F.relu(self.fc7(x)))
        with full_precision():
            x = x.float()
            auxiliary = x if share == 1.0 else share * x + (1 - share) * x.detach()
            return self.offset(x), self.visibility(auxiliary)


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
        self,
        pixels: Float[Tensor, "b 3 s s"],
        previous: Float[Tensor, "b n 2"],
        share: float = 1.0,
    ) -> tuple[Float[Tensor, "b n 2"], Float[Tensor, "b n 3"]]:
        """Correct normalised positions.

        Args:
            pixels: whole crops that ``normalize`` has normalised.
            previous: current positions.
            share: as of ``StageNet``.

        Returns:
            New positions, normalised; logits of visible, occluded and inexistent.
        """
        out = [net(cut_patches(pixels, previous[:, i]), share) for i, net in enumerate(self.nets)]
        offsets, visibility = (torch.stack(parts, 1) for parts in zip(*out, strict=True))
        return previous + PATCH * offsets, visibility

    def warm_start(self, first: StageNet) -> None:
        """Start every network from the backbone and fc7 of DeepPose's first stage."""
        for net in self.nets:
            assert isinstance(net, PatchNet)
            net.trunk.load_state_dict(first.trunk.state_dict())
            net.fc7.load_state_dict(first.fc7.state_dict())


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
