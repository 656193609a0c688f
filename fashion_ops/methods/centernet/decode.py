"""From six maps to garments, for a whole batch on its device (facts a.5)."""

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn import functional as F

from fashion_ops.methods.centernet.targets import from_grid

TOP = 100  # garments a picture, and candidates a landmark map
MIN_CANDIDATE = 0.1  # heatmap score under which a candidate is none
MAX_DISTANCE = 0.3  # of the box's longer side, between displacement and candidate


@dataclass(frozen=True)
class Decoded:
    """The best garments of each picture, best first; input pixels."""

    boxes: Float[Tensor, "b n 4"]
    scores: Float[Tensor, "b n"]
    category: Int[Tensor, "b n"]
    landmarks: Float[Tensor, "b n k 3"]


def local_maxima(heat: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """Keep cells that are the largest of their 3x3 surroundings, zero the rest."""
    return heat * (F.max_pool2d(heat, 3, stride=1, padding=1) == heat)


def pick(maps: Float[Tensor, "b c h w"], cells: Int[Tensor, "b n"]) -> Float[Tensor, "b n c"]:
    """A map's values at flat cells ``y * W + x``."""
    flat = maps.flatten(2)
    return flat.gather(2, cells[:, None].expand(-1, flat.shape[1], -1)).transpose(1, 2)


def merge_flipped(
    maps: dict[str, Float[Tensor, "b c h w"]],
    flipped: dict[str, Float[Tensor, "b c h w"]],
    mirror: Int[Tensor, " k"],
) -> dict[str, Float[Tensor, "b c h w"]]:
    """Maps of pictures averaged with those of the mirrored pictures (facts a.6).

    ``reg`` and ``hp_offset`` stay those of the pictures as they are. A displacement counts from its
    cell's left edge, so it mirrors as x -> 1 - x.

    Args:
        maps: of ``CenterNet.forward``, heatmaps after the sigmoid.
        flipped: the same for the mirrored pictures.
        mirror: permutation of the grouping's channels under a flip.
    """
    back = {name: flipped[name].flip(-1) for name in ("hm", "wh", "hps", "hm_hp")}
    moved = back["hps"].unflatten(1, (-1, 2))[:, mirror]
    turned = torch.stack([1 - moved[:, :, 0], moved[:, :, 1]], 2).flatten(1, 2)
    back |= {"hps": turned, "hm_hp": back["hm_hp"][:, mirror]}
    return {**maps, **{name: (maps[name] + other) / 2 for name, other in back.items()}}


def decode(maps: dict[str, Float[Tensor, "b c h w"]], min_score: float = 0.0) -> Decoded:
    """Garments out of the maps of ``CenterNet.forward``, heatmaps after the sigmoid.

    At most ``TOP`` a picture; N is the largest number of a picture with at least ``min_score`` (at
    least 1), so a picture with fewer has some below it.

    A landmark is the heatmap candidate nearest to where the centre's displacement points, unless that
    candidate lies outside the box, scores under 0.1, or is farther than 0.3 of the box's longer side;
    then it is the displaced point itself, with the heatmap's value there as its score.
    """
    heat, points = maps["hm"], maps["hm_hp"]
    _, c, h, w = heat.shape
    scores, index = local_maxima(heat).flatten(1).topk(min(TOP, c * h * w))
    most = max(1, int((scores >= min_score).sum(1).max()))
    scores, index = scores[:, :most], index[:, :most]
    category, cells = index // (h * w) + 1, index % (h * w)
    corner = torch.stack([cells % w, cells // w], -1).float()  # (B, N, 2)
    center = corner + pick(maps["reg"], cells)
    extent = pick(maps["wh"], cells).clamp_min(0)
    boxes = torch.cat([center - extent / 2, center + extent / 2], -1)
    moved = corner[:, :, None] + pick(maps["hps"], cells).unflatten(2, (-1, 2))  # (B, N, K, 2)

    found, found_score = _candidates(points, maps["hp_offset"])
    nearest, score = _nearest(moved, found, found_score)
    keep = _trusted(moved, nearest, score, boxes)
    landmarks = torch.where(keep[..., None], nearest, moved)
    score = torch.where(keep, score, _score_at(points, moved))
    return Decoded(
        from_grid(boxes), scores, category, torch.cat([from_grid(landmarks), score[..., None]], -1)
    )


def _candidates(points: Tensor, offset: Tensor) -> tuple[Tensor, Tensor]:
    """Peaks of each landmark map: grid positions (B, K, T, 2) and scores (B, K, T)."""
    b, k, h, w = points.shape
    score, cells = local_maxima(points).flatten(2).topk(min(TOP, h * w))
    shift = pick(offset, cells.flatten(1)).view(b, k, -1, 2)
    return torch.stack([cells % w, cells // w], -1) + shift, score


def _nearest(moved: Tensor, found: Tensor, score: Tensor) -> tuple[Tensor, Tensor]:
    """The usable candidate nearest to each displaced point: (B, N, K, 2) and its score (B, N, K)."""
    usable = score > MIN_CANDIDATE
    most = max(1, int(usable.sum(-1).max()))  # candidates come best first
    found, score, usable = found[:, :, :most], score[:, :, :most], usable[:, :, :most]
    far = torch.cdist(moved.transpose(1, 2), found, compute_mode="donot_use_mm_for_euclid_dist")
    far = far.masked_fill(~usable[:, :, None], torch.inf)  # (B, K, N, T)
    at = far.argmin(-1)
    nearest = found.gather(2, at[..., None].expand(-1, -1, -1, 2)).transpose(1, 2)
    return nearest, (score * usable).gather(2, at).transpose(1, 2)


def _trusted(moved: Tensor, nearest: Tensor, score: Tensor, boxes: Tensor) -> Bool[Tensor, "b n k"]:
    """Whether the heatmap's candidate replaces the displaced point."""
    low, high = boxes[:, :, None, :2], boxes[:, :, None, 2:]
    inside = ((nearest >= low) & (nearest <= high)).all(-1)
    longest = (high - low).amax(-1)
    return inside & (score > MIN_CANDIDATE) & ((nearest - moved).norm(dim=-1) <= MAX_DISTANCE * longest)


def _score_at(points: Tensor, where: Tensor) -> Float[Tensor, "b n k"]:
    """The landmark maps' values in the cells of grid positions (B, N, K, 2); 0 outside."""
    _, _, h, w = points.shape
    x, y = where.floor().long().unbind(-1)
    inside = (x >= 0) & (x < w) & (y >= 0) & (y < h)
    cells = (y.clamp(0, h - 1) * w + x.clamp(0, w - 1)).transpose(1, 2)
    return points.flatten(2).gather(2, cells).transpose(1, 2) * inside
