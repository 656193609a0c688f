"""Augmentation of a whole batch on its device: one affine warp and one colour change for each image.

The landmarkers' zoom is that of HRNet and PoseFix: the side of the area that is cut is N(1, s), clipped
to 1 - s and 1 + s. The other methods draw the logarithm of the zoom.

Randomness comes from a generator that the caller seeds for each step, so that a resumed run draws the
same augmentations as an uninterrupted one.
"""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor
from torch.nn import functional as F

from fashion_ops.methods.parts.precision import constants, full_precision

MEAN = (0.485, 0.456, 0.406)  # ImageNet, RGB
STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class Warp:
    """Strength of the augmentation; with zeros everywhere it cuts the centre crop.

    Attributes:
        flip: probability of a horizontal flip.
        rotation: standard deviation of the angle, degrees; the angle is clipped to twice that.
        scale: standard deviation of the logarithm of the zoom, which is clipped to twice that.
        shift: standard deviation of the shift, relative to the crop.
        color: largest relative change of a channel.
        side: standard deviation, and largest amount, of the change of the side of the area that is cut,
            relative to the crop. It takes the place of ``scale``.
        rotated: probability of a rotation (HRNet and PoseFix: 0.6).
    """

    flip: float = 0.0
    rotation: float = 0.0
    scale: float = 0.0
    shift: float = 0.0
    color: float = 0.0
    side: float = 0.0
    rotated: float = 1.0


def reach(size: tuple[int, int], warp: Warp) -> tuple[int, int]:
    """Compute the size (width, height) of the smallest region that holds every crop under ``warp``.

    A shift counts with three standard deviations.

    Args:
        size: crop (width, height), pixels.
        warp: strength of the augmentation.
    """
    most = math.radians(min(2 * warp.rotation, 90))
    side = 1 + warp.side if warp.side else math.exp(2 * warp.scale)
    extents = []
    for along, across in (size, size[::-1]):
        worst = min(most, math.atan2(across, along))  # beyond it the rotated crop is shorter again
        extent = side * (along * math.cos(worst) + across * math.sin(worst)) + 6 * warp.shift * along
        extents.append(math.ceil(extent - 1e-6))
    return extents[0], extents[1]


def step_generator(seed: int, step: int, device: torch.device, rank: int = 0) -> torch.Generator:
    """Make the random generator of one optimisation step on device number ``rank`` of a run."""
    number = seed * 1_000_003 + rank * 7_368_787_777 + step
    return torch.Generator(device=device).manual_seed(number % 2**63)


def normalize(pixels: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
    """Normalise RGB in 0..1 to zero mean and unit variance by the statistics of ImageNet."""
    mean = constants(MEAN, pixels)[:, None, None]
    std = constants(STD, pixels)[:, None, None]
    return (pixels - mean) / std


@full_precision()
def warp_batch(
    regions: UInt8[Tensor, "b 3 hr wr"],
    landmarks: Float[Tensor, "b k 3"],
    size: tuple[int, int],
    mirror: Int[Tensor, " k"],
    warp: Warp,
    generator: torch.Generator,
) -> tuple[Float[Tensor, "b 3 h w"], Float[Tensor, "b k 3"]]:
    """Cut the middle of each region under a random similarity transform.

    Args:
        regions: RGB images, larger than ``size`` by a margin of the caller's choice, see ``reach``.
        landmarks: x, y in region pixels and visibility.
        size: crop (width, height).
        mirror: permutation (K,) of the landmarks under a horizontal flip.
        warp: strength of the augmentation.
        generator: source of randomness.

    Returns:
        Crops in 0..1 (before ``normalize``) and landmarks in crop pixels; landmarks that fall outside
        the crop get visibility 0.
    """
    b, device = len(regions), regions.device
    height_r, width_r = regions.shape[-2:]
    width, height = size
    if (width_r, height_r) == size and warp == Warp(flip=warp.flip):
        return _flip_batch(regions, landmarks, mirror, warp.flip, generator)
    normal = lambda: torch.randn(b, generator=generator, device=device)  # noqa: E731
    uniform = lambda: torch.rand(b, generator=generator, device=device)  # noqa: E731

    angle = (normal() * warp.rotation).clamp(-2 * warp.rotation, 2 * warp.rotation).deg2rad()
    if warp.rotated < 1:
        angle = angle * (uniform() < warp.rotated)
    if warp.side:
        zoom = 1 / (1 + normal() * warp.side).clamp(1 - warp.side, 1 + warp.side)
    else:
        zoom = torch.exp((normal() * warp.scale).clamp(-2 * warp.scale, 2 * warp.scale))
    shift = torch.stack([normal() * width, normal() * height], -1) * warp.shift
    flip = torch.where(uniform() < warp.flip, -1.0, 1.0)

    # crop offset from its middle -> region offset from its middle
    cos, sin = torch.cos(angle) / zoom, torch.sin(angle) / zoom
    linear = torch.stack([torch.stack([cos * flip, -sin], -1), torch.stack([sin * flip, cos], -1)], -2)
    half = constants(((width_r - 1) / 2, (height_r - 1) / 2), angle)
    middle = constants(((width - 1) / 2, (height - 1) / 2), angle)

    # The sampling grid is the sum of a row and a column, which is cheaper than a matrix product.
    unit = 2 / constants((width_r, height_r), angle)
    xs = torch.arange(width, device=device) - middle[0]
    ys = torch.arange(height, device=device) - middle[1]
    start = (half + shift + 0.5) * unit - 1
    rows = (linear[..., 0] * unit)[..., None] * xs
    columns = (linear[..., 1] * unit)[..., None] * ys + start[..., None]
    grid = torch.stack([rows[:, i, None] + columns[:, i, :, None] for i in (0, 1)], -1)
    crops = F.grid_sample(regions.float() / 255, grid, align_corners=False)
    if warp.color:
        gain = 1 + (torch.rand(b, 3, 1, 1, generator=generator, device=device) * 2 - 1) * warp.color
        lift = (uniform() * 2 - 1)[:, None, None, None] * warp.color / 2
        crops = crops.mul_(gain).add_(lift).clamp_(0, 1)

    points = landmarks[..., :2] - (half + shift)[:, None]
    points = points @ torch.linalg.inv(linear).transpose(1, 2) + middle
    visibility = landmarks[..., 2]
    flipped = (flip < 0)[:, None]
    points = torch.where(flipped[..., None], points[:, mirror], points)
    visibility = torch.where(flipped, visibility[:, mirror], visibility)
    return crops, _hide_outside(points, visibility, size)


def _flip_batch(
    images: UInt8[Tensor, "b 3 h w"],
    landmarks: Float[Tensor, "b k 3"],
    mirror: Int[Tensor, " k"],
    probability: float,
    generator: torch.Generator,
) -> tuple[Float[Tensor, "b 3 h w"], Float[Tensor, "b k 3"]]:
    """Do what ``warp_batch`` does with flips only, without resampling."""
    height, width = images.shape[-2:]
    draw = torch.rand(len(images), generator=generator, device=images.device)
    flipped = (draw < probability)[:, None, None]
    pixels = torch.where(flipped[..., None], images.flip(-1), images) / 255
    mirrored = landmarks[:, mirror]
    mirrored[..., 0] = width - 1 - mirrored[..., 0]
    points = torch.where(flipped, mirrored, landmarks)
    return pixels, _hide_outside(points[..., :2], points[..., 2], (width, height))


def _hide_outside(
    points: Float[Tensor, "b k 2"], visibility: Float[Tensor, "b k"], size: tuple[int, int]
) -> Float[Tensor, "b k 3"]:
    """Join points in crop pixels and visibility, which is set to 0 outside the crop (width, height)."""
    limit = constants((size[0] - 0.5, size[1] - 0.5), points)
    inside = ((points >= -0.5) & (points <= limit)).all(-1)
    return torch.cat([points, (visibility * inside)[..., None]], -1)
