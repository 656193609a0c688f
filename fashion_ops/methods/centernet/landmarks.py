"""Where a landmark is: from the coarse position to the heatmap's evidence, one of two ways.

P landmarks as flat lists: image and channel say whose map, ``coarse`` (P, 2) where the garment's
centre puts it, ``boxes`` (P, 4) the garment; all in grid coordinates. Both ways give grid positions
(P, 2) and scores (P,). With ``fixed`` no shape depends on a value, which a graph for export needs.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from fashion_ops.methods.centernet.peaks import local_maxima

CANDIDATES = 100  # of a landmark map, at most
MIN_CANDIDATE = 0.1  # heatmap score under which a candidate is none
MAX_DISTANCE = 0.3  # of the box's longer side, between coarse position and candidate
MASK_SIGMAS = 9.0  # the mask's sigma is the box's shorter side over this (3.2.4)
CHUNK = 1024  # landmarks whose maps are masked at once, which bounds the memory

Maps = dict[str, Float[Tensor, "b c h w"]]


def masked_maximum(
    maps: Maps, image: Tensor, channel: Tensor, coarse: Tensor, boxes: Tensor, fixed: bool
) -> tuple[Tensor, Tensor]:
    """Technique 4: the largest value of the landmark's map times a Gaussian around ``coarse`` (eq. 4).

    The Gaussian's sigma is a ninth of the box's shorter side; the score is the masked value, which is
    the paper's "penalty in proportion to the distance".
    """
    wanted = (image, channel, coarse, boxes)
    if fixed:
        return _masked(maps, *wanted)
    found = [_masked(maps, *part) for part in zip(*(x.split(CHUNK) for x in wanted), strict=True)]
    where, score = zip(*found, strict=True)
    return torch.cat(where), torch.cat(score)


def _masked(
    maps: Maps, image: Tensor, channel: Tensor, coarse: Tensor, boxes: Tensor
) -> tuple[Tensor, Tensor]:
    """``masked_maximum`` of some landmarks.

    The Gaussian is a product of one over x and one over y, so a row's best cell does not depend on y:
    one pass over each map finds the best row, and the best cell lies in it.
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
    found = torch.stack([x, y], -1) + offset
    # Nothing may be left under the mask; not every runtime keeps what is smaller than a normal number.
    left = score > torch.finfo(score.dtype).tiny
    return torch.where(left[:, None], found, coarse), score


def nearest_candidate(
    maps: Maps, image: Tensor, channel: Tensor, coarse: Tensor, boxes: Tensor, fixed: bool
) -> tuple[Tensor, Tensor]:
    """CenterNet's refinement: the nearest candidate, or ``coarse`` where that is not trusted."""
    heat = maps["hm_hp"]
    _, _, h, w = heat.shape
    score, cells = _candidates(heat, fixed)
    every = torch.arange(heat.shape[0], device=heat.device)[:, None, None]
    shift = maps["hp_offset"].permute(0, 2, 3, 1)[every, cells // w, cells % w]
    place = torch.stack([cells % w, cells // w], -1) + shift  # (B, K, T, 2)
    score, place = score[image, channel], place[image, channel]  # (P, T), (P, T, 2)
    far = (place - coarse[:, None]).square().sum(-1)
    far, at = far.masked_fill(score <= MIN_CANDIDATE, torch.inf).min(-1)
    nearest = place.gather(1, at[:, None, None].expand(-1, 1, 2))[:, 0]
    score = score.gather(1, at[:, None])[:, 0]
    longest = (boxes[:, 2:] - boxes[:, :2]).amax(-1)
    inside = ((nearest >= boxes[:, :2]) & (nearest <= boxes[:, 2:])).all(-1)
    trusted = inside & (far.sqrt() <= MAX_DISTANCE * longest)
    x, y = coarse.floor().long().unbind(-1)
    on_map = (x >= 0) & (x < w) & (y >= 0) & (y < h)
    at_coarse = heat[image, channel, y.clamp(0, h - 1), x.clamp(0, w - 1)] * on_map
    return (
        torch.where(trusted[:, None], nearest, coarse),
        torch.where(trusted, score, at_coarse),
    )


def _candidates(heat: Tensor, fixed: bool) -> tuple[Tensor, Tensor]:
    """Scores and flat cells (B, K, T) of each landmark map's local maxima; spare ones have score 0.

    T is ``CANDIDATES``; where ``fixed`` is not asked for and no map has so many usable ones, their
    largest number is enough, which spares sorting whole maps.
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
