"""The refiner's networks: a crop and an input pose in, one map of logits a landmark out.

- ``PoseFix`` is the published network: a ResNet that reads the crop and the n pose maps together,
  three transposed convolutions, n maps at stride 4 (Moon et al., CVPR 2019, section 4).
- ``LandmarkerPoseFix`` starts from a finetuned landmarker and needs few steps of training: its backbone
  reads the crop, the pose maps are added after the stem through a convolution that starts at zero, and
  the input pose is a prior for the output. Without training it returns nearly its input pose.

Both are called as ``model(crops, points, known) -> logits``; the refined landmark is the soft-argmax.
"""

import math

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from fashion_ops.methods.parts.backbones import Backbone, Deconvolutions, landmarker_backbone
from fashion_ops.methods.parts.heatmaps import STRIDE, Crop, render_gaussians, to_cells
from fashion_ops.methods.parts.published_weights import load_timm
from fashion_ops.methods.top_down.heads import heatmap_head

POSE_GAIN = 4.4  # published: peaks of 255 beside pixels of +-127; here pixels are divided by their std
PRIOR_SIGMA = 1.5  # cells
PRIOR_FLOOR = 1e-5  # how unlikely a landmark far from its input is, before any evidence
HEATMAP_GAIN = 8.0  # makes logits of a heatmap whose peaks are 1


def pose_maps(
    points: Float[Tensor, "b n 2"],
    known: Bool[Tensor, "b n"],
    crop_size: torch.Size,
    *,
    stride: int,
    sigma: float,
) -> Float[Tensor, "b n h w"]:
    """Draw Gaussians of peak 1 at the input pose; the map of an unknown landmark is zero.

    Args:
        points: x, y in crop pixels.
        known: which landmarks the input pose has.
        crop_size: crop (height, width) in pixels.
        stride: crop pixels a cell.
        sigma: crop pixels.
    """
    size = (crop_size[1] // stride, crop_size[0] // stride)
    maps = render_gaussians(to_cells(points, stride), size, sigma / stride)
    return maps * known[..., None, None]


class PoseFix(nn.Module):
    """The published network.

    Args:
        backbone: ``resnet50 | resnet101 | resnet152`` of timm.
        landmarks: their number n.
        pose_sigma: of the input-pose Gaussians, crop pixels (published: 7 at 192x256, 9 at 288x384).
        pretrained: timm's name of the weights such as ``tv_in1k``, or None.

    Raises:
        OSError: the pretrained weights can't be loaded.
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
        self.neck = Deconvolutions(2048, 256).layers
        self.head = nn.Conv2d(256, landmarks, 1)
        nn.init.normal_(self.head.weight, std=0.001)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]

    def forward(
        self,
        crops: Float[Tensor, "b 3 h w"],
        points: Float[Tensor, "b n 2"],
        known: Bool[Tensor, "b n"],
    ) -> Float[Tensor, "b n h4 w4"]:
        """Compute logits over the cells for every landmark.

        Args:
            crops: that ``normalize`` has normalised.
            points: x, y of the input pose in crop pixels.
            known: which landmarks the input pose has.
        """
        pose = pose_maps(points, known, crops.shape[-2:], stride=1, sigma=self.pose_sigma)
        x = torch.cat([crops, POSE_GAIN * pose.to(crops.dtype)], 1)
        return self.head(self.neck(self.trunk(x)[-1])).float()


class LandmarkerPoseFix(nn.Module):
    """The network of a landmarker that also takes a pose.

    Its logits are those of a posterior: evidence from the image plus ``log(Gaussian + floor)``
    around the input landmark, weighted by a learned exponent for each landmark. The floor lets evidence
    outweigh an input that is far off.

    Args:
        backbone: name of the landmarker's backbone.
        landmarks: their number n.
        pose_sigma: of the input-pose Gaussians, crop pixels.
        crop: (width, height) in pixels, which a ViT is made for.
    """

    def __init__(
        self, backbone: str, landmarks: int, pose_sigma: float, crop: Crop | None = None
    ) -> None:
        super().__init__()
        self.pose_sigma = pose_sigma
        self.trunk = landmarker_backbone(backbone, crop=crop)
        cells = self.trunk.stem_stride // STRIDE  # of the pose maps, a side of one of the stem's
        self.read_pose = nn.Conv2d(landmarks, self.trunk.stem_channels, cells, cells, bias=False)
        nn.init.zeros_(self.read_pose.weight)
        self.head = heatmap_head(self.trunk, landmarks)
        self.trust = nn.Parameter(torch.ones(landmarks))

    def load_landmarker(
        self, backbone: Backbone, head: nn.Module, channels: Tensor, gain: float
    ) -> None:
        """Copy the weights of a landmarker's backbone and of some output channels of its head.

        Only heatmaps are evidence of the kind that is computed here. Beside another head the copy
        begins with hardly any evidence, and its output with the input pose.

        Args:
            backbone: of the landmarker.
            head: of the landmarker.
            channels: (n,) output channels of this category.
            gain: 1 where the head gives logits, ``HEATMAP_GAIN`` where it gives heatmaps.
        """
        self.trunk.load_state_dict(backbone.state_dict())
        assert self.head.bias is not None
        if not isinstance(head, nn.Conv2d):
            nn.init.normal_(self.head.weight, std=0.001)
            nn.init.zeros_(self.head.bias)
            return
        with torch.no_grad():
            assert head.bias is not None
            self.head.weight.copy_(head.weight[channels] * gain)
            self.head.bias.copy_(head.bias[channels] * gain)

    def forward(
        self,
        crops: Float[Tensor, "b 3 h w"],
        points: Float[Tensor, "b n 2"],
        known: Bool[Tensor, "b n"],
    ) -> Float[Tensor, "b n h4 w4"]:
        """Compute logits over the cells for every landmark.

        Args:
            crops: that ``normalize`` has normalised.
            points: x, y of the input pose in crop pixels.
            known: which landmarks the input pose has.
        """
        hw = crops.shape[-2:]
        pose = pose_maps(points, known, hw, stride=STRIDE, sigma=self.pose_sigma)
        x = self.trunk.stem(crops) + self.read_pose(pose)
        evidence = self.head(self.trunk.stages(x)[0]).float()
        near = pose_maps(points, known, hw, stride=STRIDE, sigma=PRIOR_SIGMA * STRIDE)
        prior = torch.log(near + PRIOR_FLOOR) - math.log(PRIOR_FLOOR)
        return evidence + self.trust[:, None, None] * prior
