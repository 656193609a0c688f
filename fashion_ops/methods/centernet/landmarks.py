"""Smoothing heatmaps, finding their maxima, and refining landmarks from coarse positions.

Landmarks come as flat lists of P: ``image`` and ``channel`` (P,) say which heatmap, ``coarse`` (P, 2)
is where the garment's centre puts the landmark, ``boxes`` (P, 4) are the garments' boxes; all in grid
coordinates (see ``codec``). Both refinements return grid positions (P, 2) and scores (P,). With
``fixed`` no shape depends on a value, which a graph for export needs.
"""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from fashion_ops.methods.centernet.codec import decode_points

CANDIDATES = 100  # most candidates of one landmark map
MIN_CANDIDATE = 0.1  # a candidate's heatmap value must be above this
MAX_DISTANCE = 0.3  # from coarse position to candidate, as a share of the box's longer side
MASK_SIGMAS = 9.0  # the mask's sigma is the box's shorter side divided by this (3.2.4)
CHUNK = 1024  # landmarks whose maps are masked at once; bounds the memory

Maps = dict[str, Float[Tensor, "b _ h w"]]


def smooth(heat: Float[Tensor, "b c h w"], sigma: float) -> Float[Tensor, "b c h w"]:
    """Smooth heatmaps with a 3x3 Gaussian (technique 2, DeepMark++ eq. 2), padded with zeros.

    Args:
        heat: heatmaps after the sigmoid.
        sigma: standard deviation in cells; 0 returns the heatmaps unchanged.
    """
    if sigma == 0:
        return heat
    side = float(np.exp(-0.5 / sigma**2))
    line = heat.new_tensor([side, 1.0, side]) / (1 + 2 * side)
    channels = heat.shape[1]
    kernel = (line[:, None] * line)[None, None].expand(channels, 1, 3, 3)
    return F.conv2d(heat, kernel, padding=1, groups=channels)


def local_maxima(heat: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """Keep cells that are the largest of their 3x3 neighbourhood and set the others to 0.

    ``heat`` must not be negative.
    """
    wide = F.pad(heat, (1, 1, 1, 1))  # zeros are enough; ten times as fast as max_pool2d on a CPU
    wide = torch.maximum(torch.maximum(wide[..., :-2], wide[..., 1:-1]), wide[..., 2:])
    peak = torch.maximum(torch.maximum(wide[..., :-2, :], wide[..., 1:-1, :]), wide[..., 2:, :])
    return heat * (peak == heat)


def masked_maximum(
    maps: Maps, image: Tensor, channel: Tensor, coarse: Tensor, boxes: Tensor, fixed: bool
) -> tuple[Tensor, Tensor]:
    """Find the maximum of each heatmap under a Gaussian mask around ``coarse`` (technique 4, eq. 4).

    The Gaussian's sigma is a ninth of the box's shorter side. The score is the masked value, which is
    the paper's "penalty in proportion to the distance". Where the mask leaves nothing, the position is
    ``coarse``. Arguments and results are those of the module.
    """
    landmarks = (image, channel, coarse, boxes)
    if fixed:
        return _masked_maximum(maps, *landmarks)
    chunks = zip(*(values.split(CHUNK) for values in landmarks), strict=True)
    positions, scores = zip(*(_masked_maximum(maps, *chunk) for chunk in chunks), strict=True)
    return torch.cat(positions), torch.cat(scores)


def _masked_maximum(
    maps: Maps, image: Tensor, channel: Tensor, coarse: Tensor, boxes: Tensor
) -> tuple[Tensor, Tensor]:
    """Do what ``masked_maximum`` does, all landmarks at once.

    The Gaussian is a product of one over x and one over y, so the best cell of a row does not depend
    on y: one pass over each map finds the best row, and the best cell lies in it.
    """
    _, _, h, w = maps["hm_hp"].shape
    sigma = ((boxes[:, 2:] - boxes[:, :2]).amin(-1) / MASK_SIGMAS).clamp_min(1e-3)
    scale = (0.5 / sigma**2)[:, None]
    steps = torch.arange(max(h, w), device=coarse.device, dtype=coarse.dtype) + 0.5
    mask_x = torch.exp(-scale * (steps[:w] - coarse[:, :1]) ** 2)
    mask_y = torch.exp(-scale * (steps[:h] - coarse[:, 1:]) ** 2)
    heat = maps["hm_hp"][image, channel]  # (P, H, W), a copy
    score, y = (heat.mul_(mask_x[:, None]).amax(-1) * mask_y).max(-1)
    row = maps["hm_hp"][image, channel, y]
    x = (row * mask_x).argmax(-1)
    offset = maps["hp_offset"][image, :, y, x]
    position = decode_points(offset, torch.stack([x, y], -1))
    # The mask may leave nothing; not every runtime keeps subnormal numbers.
    has_peak = score > torch.finfo(score.dtype).tiny
    return torch.where(has_peak[:, None], position, coarse), score


def nearest_candidate(
    maps: Maps, image: Tensor, channel: Tensor, coarse: Tensor, boxes: Tensor, fixed: bool
) -> tuple[Tensor, Tensor]:
    """Find the local maximum of each heatmap nearest to ``coarse`` (CenterNet's refinement).

    ``coarse`` itself is returned, with the heatmap's value there, if the maximum lies outside the box,
    scores at most 0.1 or is farther away than 0.3 of the box's longer side. Arguments and results are
    those of the module.
    """
    heat = maps["hm_hp"]
    _, _, h, w = heat.shape
    score, cells = _candidates(heat, fixed)
    every = torch.arange(heat.shape[0], device=heat.device)[:, None, None]
    offset = maps["hp_offset"].permute(0, 2, 3, 1)[every, cells // w, cells % w]
    position = decode_points(offset, torch.stack([cells % w, cells // w], -1))  # (B, K, T, 2)
    score, position = score[image, channel], position[image, channel]  # (P, T), (P, T, 2)
    distance = (position - coarse[:, None]).square().sum(-1)
    distance, best = distance.masked_fill(score <= MIN_CANDIDATE, torch.inf).min(-1)
    nearest = position.gather(1, best[:, None, None].expand(-1, 1, 2))[:, 0]
    score = score.gather(1, best[:, None])[:, 0]
    longest = (boxes[:, 2:] - boxes[:, :2]).amax(-1)
    inside = ((nearest >= boxes[:, :2]) & (nearest <= boxes[:, 2:])).all(-1)
    trusted = inside & (distance.sqrt() <= MAX_DISTANCE * longest)
    x, y = coarse.floor().long().unbind(-1)
    on_map = (x >= 0) & (x < w) & (y >= 0) & (y < h)
    at_coarse = heat[image, channel, y.clamp(0, h - 1), x.clamp(0, w - 1)] * on_map
    return (
        torch.where(trusted[:, None], nearest, coarse),
        torch.where(trusted, score, at_coarse),
    )


def _candidates(heat: Tensor, fixed: bool) -> tuple[Tensor, Tensor]:
    """Find scores and flat cells y * W + x, (B, K, T) each, of the local maxima of landmark maps.

    Maps with fewer than T maxima are padded with score 0. T is ``CANDIDATES``. Without ``fixed``, T is
    the largest number of maxima above ``MIN_CANDIDATE`` in a map if that is smaller, which avoids
    sorting whole maps.
    """
    b, k, h, w = heat.shape
    peaks = local_maxima(heat).flatten(2)
    if not fixed:
        row, cell = (peaks.flatten(0, 1) > MIN_CANDIDATE).nonzero(as_tuple=True)
        count = row.bincount(minlength=b * k)
        most = max(1, int(count.max()))
        if most <= CANDIDATES:
            rank = torch.arange(len(row), device=row.device) - (count.cumsum(0) - count)[row]
            score, cells = peaks.new_zeros(b * k, most), row.new_zeros(b * k, most)
            score[row, rank], cells[row, rank] = peaks.flatten(0, 1)[row, cell], cell
            return score.view(b, k, most), cells.view(b, k, most)
    return tuple(peaks.topk(min(CANDIDATES, h * w)))  # type: ignore[return-value]
