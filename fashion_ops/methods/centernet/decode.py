"""From six maps to garments with the four techniques of DeepMark++ (3.2), a whole batch on its device.

Order: 2 smooth the heatmaps, find the centres, 4 refine each landmark under a mask (or by the nearest
candidate, as CenterNet does: facts a.5), 3 blend with the displaced point, 1 rescore. Suppression of
doubles and the fusion of flips and scales live beside this file (``suppress``, ``fuse``).

Grid coordinates as in ``targets``: the middle of the cell (x, y) is (x + 0.5, y + 0.5). A garment has
only the landmarks of its category: M slots, in the category's order.

Inside, garments and landmarks are flat lists (D garments, P of their landmarks), so that a batch costs
what it holds and not what it could hold. ``decode_fixed`` keeps every slot instead: no shape depends on
the data, which a graph for export needs; the two share everything else.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from fashion_ops.methods.centernet.targets import from_grid
from fashion_ops.params import PostProcess
from fashion_ops.taxonomy import CATEGORIES, Grouping

TOP = 100  # garments a picture, and candidates a landmark map
MIN_CANDIDATE = 0.1  # heatmap score under which a candidate is none
MAX_DISTANCE = 0.3  # of the box's longer side, between displacement and candidate
CHUNK = 1024  # landmarks whose maps are masked at once, which bounds the memory
MASK_SIGMAS = 9.0  # the mask's sigma is the box's shorter side over this (3.2.4)

Maps = dict[str, Float[Tensor, "b c h w"]]


@dataclass(frozen=True)
class Decoded:
    """The best garments of each picture, best first; input pixels. Spare slots have score 0."""

    boxes: Float[Tensor, "b n 4"]
    scores: Float[Tensor, "b n"]
    category: Int[Tensor, "b n"]
    landmarks: Float[Tensor, "b n m 3"]


@dataclass(frozen=True)
class _Garments:
    """D garments of a batch: picture, cell (x, y), category from 0, score; and their P landmarks."""

    picture: Int[Tensor, " d"]
    x: Int[Tensor, " d"]
    y: Int[Tensor, " d"]
    category: Int[Tensor, " d"]
    score: Float[Tensor, " d"]
    owner: Int[Tensor, " p"]  # garment of each landmark
    slot: Int[Tensor, " p"]  # its place in the category's order
    channel: Int[Tensor, " p"]  # its group


def grouping_slots(grouping: Grouping) -> Int[Tensor, "13 m"]:
    """The channel of each of a category's own landmarks, M = 39 at most; -1 pads."""
    slots = np.full((len(CATEGORIES), max(c.num_landmarks for c in CATEGORIES)), -1)
    for c in CATEGORIES:
        slots[c.id - 1, : c.num_landmarks] = grouping.channels(c.id)
    return torch.from_numpy(slots)


def smooth(heat: Float[Tensor, "b c h w"], sigma: float) -> Float[Tensor, "b c h w"]:
    """Technique 2: a 3x3 Gaussian (eq. 2), its weights adding up to 1, zeros around; 0 changes nothing.

    Args:
        heat: heatmaps after the sigmoid.
        sigma: standard deviation in cells.
    """
    if sigma == 0:
        return heat
    side = float(np.exp(-0.5 / sigma**2))
    line = heat.new_tensor([side, 1.0, side]) / (1 + 2 * side)
    channels = heat.shape[1]
    kernel = (line[:, None] * line)[None, None].expand(channels, 1, 3, 3)
    return F.conv2d(heat, kernel, padding=1, groups=channels)


def local_maxima(heat: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """Keep cells that are the largest of their 3x3 surroundings, zero the rest."""
    wide = F.pad(heat, (1, 1, 1, 1))  # heat is never negative; ten times as fast as max_pool2d here
    wide = torch.maximum(torch.maximum(wide[..., :-2], wide[..., 1:-1]), wide[..., 2:])
    peak = torch.maximum(torch.maximum(wide[..., :-2, :], wide[..., 1:-1, :]), wide[..., 2:, :])
    return heat * (peak == heat)


def smoothed(maps: Maps, post: PostProcess) -> Maps:
    """Maps with technique 2 applied to both kinds of heatmaps, where ``post`` wants it."""
    if not post.smooth:
        return maps
    return {
        **maps,
        "hm": smooth(maps["hm"], post.sigma_center),
        "hm_hp": smooth(maps["hm_hp"], post.sigma_landmark),
    }


def decode(
    maps: Maps, slots: Int[Tensor, "13 m"], post: PostProcess, min_score: float = 0.0, top: int = TOP
) -> Decoded:
    """Garments out of the maps of ``CenterNet.forward``, heatmaps after the sigmoid.

    Without technique 4 a landmark is the heatmap's local maximum nearest to where the centre's
    displacement points, unless that lies outside the box, scores under 0.1, or is farther than 0.3 of
    the box's longer side; then it is the displaced point itself, with the heatmap's value there.

    Args:
        maps: the six maps.
        slots: as of ``grouping_slots``.
        post: which techniques, with which parameters; flip, scales and NMS are not done here.
        min_score: centres below are not decoded. N is the largest number that a picture keeps.
        top: at most this many a picture.
    """
    maps = smoothed(maps, post)
    scores, category, x, y = _peaks(maps["hm"], top)
    picture, rank = (scores >= max(min_score, 1e-9)).nonzero(as_tuple=True)
    category = category[picture, rank]
    owner, slot = (slots[category] >= 0).nonzero(as_tuple=True)
    garments = _Garments(
        picture,
        x[picture, rank],
        y[picture, rank],
        category,
        scores[picture, rank],
        owner,
        slot,
        slots[category[owner], slot],
    )
    boxes, final, landmarks = _measure(maps, garments, slots.shape[1], post, fixed=False)
    b, most = len(scores), int(rank.max()) + 1 if len(rank) else 0

    def padded(values: Tensor) -> Tensor:
        out = values.new_zeros(b, most, *values.shape[1:])
        out[picture, rank] = values
        return out

    order = padded(final).sort(dim=1, descending=True, stable=True)
    every = torch.arange(b, device=scores.device)[:, None]
    return Decoded(
        padded(boxes)[every, order.indices],
        order.values,
        padded(category + 1)[every, order.indices],
        padded(landmarks)[every, order.indices],
    )


def decode_fixed(
    maps: Maps, slots: Int[Tensor, "13 m"], post: PostProcess, top: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """``decode`` with shapes that no value decides: boxes, scores, category and landmarks of ``top``.

    Landmarks beyond the category's own have score 0.
    """
    maps = smoothed(maps, post)
    scores, category, x, y = _peaks(maps["hm"], top)
    b, slot_count, device = scores.shape[0], slots.shape[1], scores.device
    pictures = torch.arange(b, device=device)[:, None]
    owner = torch.arange(b * top, device=device)[:, None].expand(-1, slot_count).flatten()
    slot = torch.arange(slot_count, device=device).expand(b * top, -1).flatten()
    category = category.flatten()
    garments = _Garments(
        pictures.expand(-1, top).flatten(),
        x.flatten(),
        y.flatten(),
        category,
        scores.flatten(),
        owner,
        slot,
        slots[category[owner], slot],
    )
    boxes, final, landmarks = _measure(maps, garments, slot_count, post, fixed=True)
    final, order = final.view(b, top).sort(dim=1, descending=True, stable=True)
    flat = (pictures * top + order).flatten()
    return (
        boxes[flat].view(b, top, 4),
        final,
        (category + 1)[flat].view(b, top),
        landmarks[flat].view(b, top, slot_count, 3),
    )


def _peaks(heat: Tensor, top: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Score, category from 0, x and y (B, top) of the best local maxima of the centre maps."""
    _, c, h, w = heat.shape
    scores, index = local_maxima(heat).flatten(1).topk(min(top, c * h * w))
    return scores, index // (h * w), index % w, index // w % h


def _measure(
    maps: Maps, g: _Garments, slot_count: int, post: PostProcess, fixed: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Boxes (D, 4) and landmarks (D, M, 3) in input pixels, and the final scores (D,)."""
    corner = torch.stack([g.x, g.y], -1).to(maps["hm"].dtype)

    def pair(name: str) -> Tensor:
        return maps[name][g.picture, :, g.y, g.x]

    center, extent = corner + pair("reg"), pair("wh").clamp_min(0)
    boxes = torch.cat([center - extent / 2, center + extent / 2], -1)
    picture, x, y = g.picture[g.owner], g.x[g.owner], g.y[g.owner]
    hps, channel = maps["hps"], g.channel.clamp_min(0)
    moved = torch.stack([hps[picture, 2 * channel, y, x], hps[picture, 2 * channel + 1, y, x]], -1)
    coarse = corner[g.owner] + moved
    wanted = (picture, channel, coarse, boxes[g.owner])
    if not post.mask:
        refined, score = _nearest_candidate(maps, *wanted, fixed)
    elif fixed:
        refined, score = _masked_maximum(maps, *wanted)
    else:
        parts = zip(*(x.split(CHUNK) for x in wanted), strict=True)
        found = [_masked_maximum(maps, *part) for part in parts]
        refined, score = (torch.cat(x) for x in zip(*found, strict=True))
    if post.blend:
        refined = post.gamma * refined + (1 - post.gamma) * coarse
    own = (g.channel >= 0).to(score.dtype)
    landmarks = refined.new_zeros(len(g.score), slot_count, 3)
    values = torch.cat([from_grid(refined), score[:, None]], -1) * own[:, None]
    landmarks = landmarks.index_put((g.owner, g.slot), values)
    final = g.score
    if post.rescore:
        count = torch.zeros_like(final).index_add(0, g.owner, own)
        mean = torch.zeros_like(final).index_add(0, g.owner, score * own) / count.clamp_min(1)
        final = post.alpha * final + (1 - post.alpha) * mean
    return from_grid(boxes), final, landmarks


def _masked_maximum(
    maps: Maps, picture: Tensor, channel: Tensor, coarse: Tensor, boxes: Tensor
) -> tuple[Tensor, Tensor]:
    """Technique 4: the largest value of the landmark's map times a Gaussian around ``coarse`` (eq. 4).

    The Gaussian is a product of one over x and one over y, so a row's best cell does not depend on y:
    one pass over each map finds the best row, and the best cell lies in it.

    Returns:
        grid positions (P, 2), and the masked values there (P,).
    """
    _, _, h, w = maps["hm_hp"].shape
    sigma = ((boxes[:, 2:] - boxes[:, :2]).amin(-1) / MASK_SIGMAS).clamp_min(1e-3)
    scale = (0.5 / sigma**2)[:, None]
    steps = torch.arange(max(h, w), device=coarse.device, dtype=coarse.dtype) + 0.5
    mask_x = torch.exp(-scale * (steps[:w] - coarse[:, :1]) ** 2)
    mask_y = torch.exp(-scale * (steps[:h] - coarse[:, 1:]) ** 2)
    heat = maps["hm_hp"][picture, channel]  # (P, H, W), a copy
    score, y = (heat.mul_(mask_x[:, None]).amax(-1) * mask_y).max(-1)
    row = maps["hm_hp"][picture, channel, y]
    x = (row * mask_x).argmax(-1)
    offset = maps["hp_offset"][picture, :, y, x]
    return torch.stack([x, y], -1) + offset, score


def _candidates(heat: Tensor, fixed: bool) -> tuple[Tensor, Tensor]:
    """Scores and flat cells (B, K, T) of each landmark map's local maxima; spare ones have score 0.

    T is ``TOP``; where ``fixed`` is not asked for and no map has as many usable ones, it is their
    largest number, which spares sorting whole maps.
    """
    b, k, h, w = heat.shape
    peaks = local_maxima(heat).flatten(2)
    if not fixed:
        row, cell = (peaks.flatten(0, 1) > MIN_CANDIDATE).nonzero(as_tuple=True)
        count = row.bincount(minlength=b * k)
        most = max(1, int(count.max()))
        if most <= TOP:
            rank = torch.arange(len(row), device=row.device) - (count.cumsum(0) - count)[row]
            score, cells = peaks.new_zeros(b * k, most), row.new_zeros(b * k, most)
            score[row, rank], cells[row, rank] = peaks.flatten(0, 1)[row, cell], cell
            return score.view(b, k, most), cells.view(b, k, most)
    return tuple(peaks.topk(min(TOP, h * w)))  # type: ignore[return-value]


def _nearest_candidate(
    maps: Maps, picture: Tensor, channel: Tensor, coarse: Tensor, boxes: Tensor, fixed: bool
) -> tuple[Tensor, Tensor]:
    """CenterNet's refinement: the nearest candidate, or ``coarse`` where that is not trusted."""
    heat = maps["hm_hp"]
    _, _, h, w = heat.shape
    score, cells = _candidates(heat, fixed)
    every = torch.arange(len(heat), device=heat.device)[:, None, None]
    shift = maps["hp_offset"].permute(0, 2, 3, 1)[every, cells // w, cells % w]
    place = torch.stack([cells % w, cells // w], -1) + shift  # (B, K, T, 2)
    score, place = score[picture, channel], place[picture, channel]  # (P, T), (P, T, 2)
    far = (place - coarse[:, None]).square().sum(-1)
    far, at = far.masked_fill(score <= MIN_CANDIDATE, torch.inf).min(-1)
    nearest = place.gather(1, at[:, None, None].expand(-1, 1, 2))[:, 0]
    score = score.gather(1, at[:, None])[:, 0]
    longest = (boxes[:, 2:] - boxes[:, :2]).amax(-1)
    inside = ((nearest >= boxes[:, :2]) & (nearest <= boxes[:, 2:])).all(-1)
    trusted = inside & (far.sqrt() <= MAX_DISTANCE * longest)
    x, y = coarse.floor().long().unbind(-1)
    on_map = (x >= 0) & (x < w) & (y >= 0) & (y < h)
    at_coarse = heat[picture, channel, y.clamp(0, h - 1), x.clamp(0, w - 1)] * on_map
    return (
        torch.where(trusted[:, None], nearest, coarse),
        torch.where(trusted, score, at_coarse),
    )
