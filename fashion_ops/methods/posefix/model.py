"""The refiner's networks: a crop and an input pose in, one map of logits a landmark out.

- ``PoseFix`` is the published network: a ResNet that reads the crop and the n pose maps together,
  three transposed convolutions, n maps at stride 4 (Moon et al., CVPR 2019, section 4).
- ``LandmarkerPoseFix`` starts from a finetuned landmarker and so learns in few steps: its trunk reads
  the crop, the pose maps join behind the stem through a convolution that starts at zero, and the
  input pose is a prior on the answer. Untrained it returns nearly what it was given.

Both are called as ``model(crops, points, known) -> logits``; the refined landmark is the soft-argmax.
"""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from fashion_ops.methods.parts.backbones import HRNet, SimpleBaseline, landmarker_trunk, load_timm
from fashion_ops.methods.parts.heatmaps import render_gaussians, to_cells

STRIDE = 4
POSE_GAIN = 4.4  # published: peaks of 255 beside pixels of +-127; ours are divided by their deviation
PRIOR_SIGMA = 1.5  # cells
PRIOR_FLOOR = 1e-5  # how unlikely a landmark far from its input is, before any evidence
HEATMAP_GAIN = 8.0  # makes logits of a heatmap whose peaks are 1


def pose_maps(
    points_BN2: Float[Tensor, "b n 2"],
    known_BN: Bool[Tensor, "b n"],
    crop_hw: torch.Size,
    *,
    stride: int,
    sigma: float,
) -> Float[Tensor, "b n h w"]:
    """Gaussians of peak 1 at the input pose; a zero map for an unknown landmark.

    Args:
        points_BN2: x, y in crop pixels.
        known_BN: which landmarks the input pose has.
        crop_hw: crop (height, width) in pixels.
        stride: crop pixels a cell.
        sigma: crop pixels.
    """
    size = (crop_hw[1] // stride, crop_hw[0] // stride)
    maps = render_gaussians(to_cells(points_BN2, stride), size, sigma / stride)
    return maps * known_BN[..., None, None]


class PoseFix(nn.Module):
    """The published network.

    Args:
        backbone: ``resnet50 | resnet101 | resnet152`` of timm.
        landmarks: n.
        pose_sigma: of the input-pose Gaussians, crop pixels (published: 7 at 192x256, 9 at 288x384).
        pretrained: timm's name of the weights such as ``tv_in1k``, or None.

    Raises:
        OSError: the pretrained weights can't be had.
    """

    def __init__(
        self, backbone: str, landmarks: int, pose_sigma: float, pretrained: str | None = None
    ) -> None:
        super().__init__()
        self.pose_sigma = pose_sigma
        self.trunk = load_timm(
            backbone, pretrained, "refine.pretrained", features_only=True, out_indices=(4,)
        )
        first = self.trunk.get_submodule("conv1")
        assert isinstance(first, nn.Conv2d)
        wider = nn.Conv2d(3 + landmarks, first.out_channels, 7, 2, 3, bias=False)
        nn.init.normal_(wider.weight, std=0.01)
        with torch.no_grad():
            wider.weight[:, :3] = first.weight
        self.trunk.set_submodule("conv1", wider)
        layers: list[nn.Module] = []
        channels = 2048
        for _ in range(3):
            deconv = nn.ConvTranspose2d(channels, 256, 4, 2, 1, bias=False)
            nn.init.normal_(deconv.weight, std=0.001)
            layers += [deconv, nn.BatchNorm2d(256), nn.ReLU(inplace=True)]
            channels = 256
        self.neck = nn.Sequential(*layers)
        self.head = nn.Conv2d(256, landmarks, 1)
        nn.init.normal_(self.head.weight, std=0.001)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]

    def forward(
        self,
        crops: Float[Tensor, "b 3 h w"],
        points: Float[Tensor, "b n 2"],
        known: Bool[Tensor, "b n"],
    ) -> Float[Tensor, "b n h4 w4"]:
        """Logits of every landmark's place; crops normalised, points in crop pixels."""
        pose = pose_maps(points, known, crops.shape[-2:], stride=1, sigma=self.pose_sigma)
        x = torch.cat([crops, POSE_GAIN * pose.to(crops.dtype)], 1)
        return self.head(self.neck(self.trunk(x)[-1])).float()


class LandmarkerPoseFix(nn.Module):
    """A landmarker's trunk that also reads a pose.

    The logits are those of a posterior: evidence from the image plus ``log(Gaussian + floor)``
    around the input landmark, weighted a landmark by a learned exponent. The floor lets evidence
    overrule an input that is far off.

    Args:
        backbone: the landmarker's.
        landmarks: n.
        pose_sigma: of the input-pose Gaussians, crop pixels.
    """

    def __init__(self, backbone: str, landmarks: int, pose_sigma: float) -> None:
        super().__init__()
        self.pose_sigma = pose_sigma
        self.trunk = landmarker_trunk(backbone)
        self.read_pose = nn.Conv2d(landmarks, self.trunk.stem_channels, 1, bias=False)
        nn.init.zeros_(self.read_pose.weight)
        self.head = nn.Conv2d(self.trunk.channels[0], landmarks, 1)
        self.trust = nn.Parameter(torch.ones(landmarks))

    def start_from(
        self, trunk: HRNet | SimpleBaseline, head: nn.Conv2d, channels: Tensor, gain: float
    ) -> None:
        """Take over a landmarker: its trunk, and its head's output channels of this category.

        Args:
            trunk: of the landmarker.
            head: of the landmarker.
            channels: (n,) this category's.
            gain: 1 where the head gives logits, ``HEATMAP_GAIN`` where it gives heatmaps.
        """
        self.trunk.load_state_dict(trunk.state_dict())
        with torch.no_grad():
            assert head.bias is not None and self.head.bias is not None
            self.head.weight.copy_(head.weight[channels] * gain)
            self.head.bias.copy_(head.bias[channels] * gain)

    def forward(
        self,
        crops: Float[Tensor, "b 3 h w"],
        points: Float[Tensor, "b n 2"],
        known: Bool[Tensor, "b n"],
    ) -> Float[Tensor, "b n h4 w4"]:
        """Logits of every landmark's place; crops normalised, points in crop pixels."""
        hw = crops.shape[-2:]
        pose = pose_maps(points, known, hw, stride=STRIDE, sigma=self.pose_sigma)
        x = self.trunk.stem(crops) + self.read_pose(pose)
        evidence = self.head(self.trunk.stages(x)[0]).float()
        near = pose_maps(points, known, hw, stride=STRIDE, sigma=PRIOR_SIGMA * STRIDE)
        prior = torch.log(near + PRIOR_FLOOR) - math.log(PRIOR_FLOOR)
        return evidence + self.trust[:, None, None] * prior
