"""The colour augmentation of CenterNet (released code), for a whole batch on its device.

Brightness, contrast and saturation in random order, then noise along the principal axes of RGB. Each is
affine in the colour of a pixel, so that all four are one 3x3 matrix and one offset for each image.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from fashion_ops.methods.parts.augment import MEAN, STD
from fashion_ops.methods.parts.precision import constants, full_precision

GRAY = (0.299, 0.587, 0.114)
# Eigenvalues and eigenvectors (columns; rows are R, G, B) of colours over ImageNet, in units of 0..1.
AXES_VALUES = (0.2141788, 0.01817699, 0.00341571)
AXES = (
    (-0.56089297, 0.71832671, 0.41158938),
    (-0.5832747, 0.00994535, -0.81221408),
    (-0.58752847, -0.69563484, 0.41340352),
)


def color_change(
    gray_mean: Float[Tensor, " b"], jitter: float, lighting: float, generator: torch.Generator
) -> tuple[Float[Tensor, "b 3 3"], Float[Tensor, "b 3"]]:
    """Draw a random colour change ``x -> matrix x + offset`` for each image, RGB in 0..1, not clipped.

    Args:
        gray_mean: mean gray of each image before the change; contrast scales colours around it.
        jitter: brightness, contrast and saturation are each scaled by 1 + U(-jitter, jitter).
        lighting: std of the noise along each axis, relative to its eigenvalue.
        generator: source of randomness.

    Returns:
        The matrices and the offsets.
    """
    b, device = len(gray_mean), gray_mean.device
    alpha = 1 + (torch.rand(b, 3, generator=generator, device=device) * 2 - 1) * jitter
    order = torch.rand(b, 3, generator=generator, device=device).argsort(1)
    noise = torch.randn(b, 3, generator=generator, device=device) * lighting
    gray = constants(GRAY, alpha)
    # Contrast and saturation blend with the gray of the original image, in any order:
    # M x + o becomes alpha (M x + o) + (1 - alpha) gray.
    matrix = torch.eye(3, device=device).repeat(b, 1, 1)
    offset = torch.zeros(b, 3, device=device)
    for place in range(3):
        change = order[:, place : place + 1]
        a = alpha.gather(1, change)
        contrast, saturation = (change == 1) * (1 - a), (change == 2) * (1 - a)
        matrix = a[..., None] * matrix + saturation[..., None] * gray
        offset = a * offset + contrast * gray_mean[:, None]
    axes = torch.stack([constants(row, alpha) for row in AXES])
    values = constants(AXES_VALUES, alpha)
    return matrix, offset + (noise * values) @ axes.T


@full_precision()
def normalize_changed(
    pixels: Float[Tensor, "b 3 h w"], jitter: float, lighting: float, generator: torch.Generator
) -> Float[Tensor, "b 3 h w"]:
    """Change the colours of each image (RGB in 0..1) at random and ``normalize`` it, in place.

    Works image by image, so that the working set stays in the cache of the processor.

    Args:
        pixels: RGB in 0..1; overwritten.
        jitter: as of ``color_change``.
        lighting: as of ``color_change``.
        generator: source of randomness.

    Returns:
        ``pixels``.
    """
    gray_mean = pixels.mean((2, 3)) @ constants(GRAY, pixels)
    matrix, offset = color_change(gray_mean, jitter, lighting, generator)
    mean, std = constants(MEAN, pixels), constants(STD, pixels)
    offset, matrix = (offset - mean) / std, matrix / std[:, None]
    planes = pixels.new_empty(pixels.shape[1:])
    changed = torch.empty_like(planes)
    for x, by, plus in zip(pixels, matrix, offset, strict=True):
        planes.copy_(x)
        torch.addmm(plus[:, None], by, planes.flatten(1), out=changed.view(3, -1))
        x.copy_(changed)
    return pixels
