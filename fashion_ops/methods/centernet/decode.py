"""From six maps to garments with the four techniques of DeepMark++ (3.2), a whole batch on its device.

Order: 2 smooth the heatmaps, find the centres, 4 refine each landmark under a mask (or by the nearest
candidate, as CenterNet does), 3 blend with the displaced point, 1 rescore. Suppression of
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

from fashion_ops.methods.centernet.landmarks import Maps, masked_maximum, nearest_candidate
from fashion_ops.methods.centernet.peaks import local_maxima, smooth
from fashion_ops.methods.centernet.targets import from_grid
from fashion_ops.params import PostProcess
from fashion_ops.taxonomy import CATEGORIES, Grouping

TOP = 100  # garments an image
IN_CACHE = 1 << 20  # cells of landmark maps that are decoded at once on a CPU, 4 MB


@dataclass(frozen=True)
class Decoded:
    """The best garments of each image, best first; input pixels. Spare slots have score 0."""

    boxes: Float[Tensor, "b n 4"]
    scores: Float[Tensor, "b n"]
    category: Int[Tensor, "b n"]
    landmarks: Float[Tensor, "b n m 3"]


@dataclass(frozen=True)
class Instances:
    """D garments of a batch by the cell (x, y) of their centre, category from 0; and P landmarks."""

    image: Int[Tensor, " d"]
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
        min_score: centres below are not decoded. N is the largest number that an image keeps.
        top: at most this many an image.
    """
    b, k, h, w = maps["hm_hp"].shape
    together = b if maps["hm_hp"].is_cuda else max(1, IN_CACHE // (k * h * w))
    parts = [
        _decode_part(
            {name: m[i : i + together] for name, m in maps.items()}, slots, post, min_score, top
        )
        for i in range(0, b, together)
    ]
    most = max((part.scores.shape[1] for part in parts), default=0)

    def joined(name: str) -> Tensor:
        values = [getattr(part, name) for part in parts]
        return torch.cat([torch.cat([v, _spare(v, most - v.shape[1])], 1) for v in values])

    return Decoded(joined("boxes"), joined("scores"), joined("category"), joined("landmarks"))


def _spare(values: Tensor, count: int) -> Tensor:
    """So many more slots for the garments (B, N, ...), all zero."""
    return values.new_zeros(len(values), count, *values.shape[2:])


def _decode_part(
    maps: Maps, slots: Int[Tensor, "13 m"], post: PostProcess, min_score: float, top: int
) -> Decoded:
    """``decode`` of some images."""
    maps = smoothed(maps, post)
    scores, category, x, y = find_centers(maps["hm"], top)
    image, rank = (scores >= max(min_score, 1e-9)).nonzero(as_tuple=True)
    category = category[image, rank]
    owner, slot = (slots[category] >= 0).nonzero(as_tuple=True)
    garments = Instances(
        image,
        x[image, rank],
        y[image, rank],
        category,
        scores[image, rank],
        owner,
        slot,
        slots[category[owner], slot],
    )
    boxes, final, landmarks = measure(maps, garments, slots.shape[1], post, fixed=False)
    b, most = len(scores), int(rank.max()) + 1 if len(rank) else 0

    def padded(values: Tensor) -> Tensor:
        out = values.new_zeros(b, most, *values.shape[1:])
        out[image, rank] = values
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
    scores, category, x, y = find_centers(maps["hm"], top)
    b, slot_count, device = scores.shape[0], slots.shape[1], scores.device
    images = torch.arange(b, device=device)[:, None]
    owner = torch.arange(b * top, device=device)[:, None].expand(-1, slot_count).flatten()
    slot = torch.arange(slot_count, device=device).expand(b * top, -1).flatten()
    category = category.flatten()
    garments = Instances(
        images.expand(-1, top).flatten(),
        x.flatten(),
        y.flatten(),
        category,
        scores.flatten(),
        owner,
        slot,
        slots[category[owner], slot],
    )
    boxes, final, landmarks = measure(maps, garments, slot_count, post, fixed=True)
    final, order = final.view(b, top).topk(top, dim=1)  # a sort that exports
    flat = (images * top + order).flatten()
    return (
        boxes[flat].view(b, top, 4),
        final,
        (category + 1)[flat].view(b, top),
        landmarks[flat].view(b, top, slot_count, 3),
    )


def find_centers(heat: Tensor, top: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Score, category from 0, x and y (B, top) of the best local maxima of the centre maps."""
    _, c, h, w = heat.shape
    scores, index = local_maxima(heat).flatten(1).topk(min(top, c * h * w))
    return scores, index // (h * w), index % w, index // w % h


def measure(
    maps: Maps, g: Instances, slot_count: int, post: PostProcess, fixed: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Boxes (D, 4) and landmarks (D, M, 3) in input pixels, and the final scores (D,)."""
    corner = torch.stack([g.x, g.y], -1).to(maps["hm"].dtype)

    def pair(name: str) -> Tensor:
        return maps[name][g.image, :, g.y, g.x]

    center, extent = corner + pair("reg"), pair("wh").clamp_min(0)
    boxes = torch.cat([center - extent / 2, center + extent / 2], -1)
    image, x, y = g.image[g.owner], g.x[g.owner], g.y[g.owner]
    hps, channel = maps["hps"], g.channel.clamp_min(0)
    moved = torch.stack([hps[image, 2 * channel, y, x], hps[image, 2 * channel + 1, y, x]], -1)
    coarse = corner[g.owner] + moved
    refine = masked_maximum if post.mask else nearest_candidate
    refined, score = refine(maps, image, channel, coarse, boxes[g.owner], fixed)
    if post.blend:
        refined = post.gamma * refined + (1 - post.gamma) * coarse
    own = (g.channel >= 0).to(score.dtype)
    landmarks = refined.new_zeros(g.score.shape[0], slot_count, 3)
    values = torch.cat([from_grid(refined), score[:, None]], -1) * own[:, None]
    landmarks = landmarks.index_put((g.owner, g.slot), values)
    final = g.score
    if post.rescore:
        count = torch.zeros_like(final).index_add(0, g.owner, own)
        mean = torch.zeros_like(final).index_add(0, g.owner, score * own) / count.clamp_min(1)
        final = (post.alpha * final + (1 - post.alpha) * mean) * (g.score > 0)  # a spare slot stays 0
    return from_grid(boxes), final, landmarks
