"""Decoding the six maps into garments with the four techniques of DeepMark++ (3.2), a batch at a time.

The order is: smooth the heatmaps (technique 2), find the centres, refine each landmark under a mask (4)
or by the nearest candidate as in CenterNet, blend it with the displaced point (3), rescore (1). NMS and
the merging of flips and scales are in ``nms``, ``test_time_augmentation`` and ``inference``.

A garment has only the landmarks of its category: M slots, in the category's order. Internally garments
and landmarks are flat lists (D garments, P landmarks), so that time depends on what a batch contains,
not on what it could contain. ``decode_fixed`` keeps every slot instead, so that no shape depends on the
data, which a graph for export needs. Everything else is shared.
"""

from dataclasses import dataclass, fields

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from fashion_ops.methods.centernet.codec import decode_boxes, decode_points, from_grid
from fashion_ops.methods.centernet.landmarks import (
    Maps,
    local_maxima,
    masked_maximum,
    nearest_candidate,
    smooth,
)
from fashion_ops.params import PostProcess
from fashion_ops.taxonomy import CATEGORIES, Grouping

TOP = 100  # most garments of an image
IN_CACHE = 1 << 20  # cells of the landmark maps decoded at once on a CPU, 4 MB


@dataclass(frozen=True)
class Decoded:
    """The best N garments of each image, best first; images with fewer are padded with score 0.

    Attributes:
        boxes: x1, y1, x2, y2 in input pixels.
        scores: 0..1.
        category: ids, counted from 1.
        landmarks: x, y in input pixels and score.
    """

    boxes: Float[Tensor, "b n 4"]
    scores: Float[Tensor, "b n"]
    category: Int[Tensor, "b n"]
    landmarks: Float[Tensor, "b n m 3"]

    def cpu(self) -> "Decoded":
        """Return the same garments on the CPU."""
        return Decoded(*(getattr(self, field.name).cpu() for field in fields(self)))


@dataclass(frozen=True)
class Instances:
    """D garments of a batch as flat lists, and their P landmarks.

    Attributes:
        image: index of each garment's image in the batch.
        x: cell of its centre.
        y: cell of its centre.
        category: counted from 0.
        score: of its centre.
        owner: index of each landmark's garment.
        slot: index of the landmark in the order of its category.
        channel: heatmap of the landmark; -1 for a padding slot.
    """

    image: Int[Tensor, " d"]
    x: Int[Tensor, " d"]
    y: Int[Tensor, " d"]
    category: Int[Tensor, " d"]
    score: Float[Tensor, " d"]
    owner: Int[Tensor, " p"]
    slot: Int[Tensor, " p"]
    channel: Int[Tensor, " p"]


def grouping_slots(grouping: Grouping) -> Int[Tensor, "13 m"]:
    """Look up the heatmap channel of each landmark of each category; -1 pads to M = 39 landmarks."""
    slots = np.full((len(CATEGORIES), max(c.num_landmarks for c in CATEGORIES)), -1)
    for c in CATEGORIES:
        slots[c.id - 1, : c.num_landmarks] = grouping.channels(c.id)
    return torch.from_numpy(slots)


def smoothed(maps: Maps, post: PostProcess) -> Maps:
    """Return all maps, with smoothed heatmaps of centres and landmarks if ``post.smooth``."""
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
    """Decode the maps of ``CenterNet.forward`` into garments.

    Landmarks are refined by ``masked_maximum`` if ``post.mask`` is on, else by ``nearest_candidate``.

    Args:
        maps: the six maps, heatmaps after the sigmoid.
        slots: of ``grouping_slots``.
        post: the techniques and their parameters; its flip, scales and NMS are ignored here.
        min_score: centres with a lower score are not decoded.
        top: most garments of an image.

    Returns:
        The garments in input pixels; N is the largest number of garments in an image.
    """
    b, k, h, w = maps["hm_hp"].shape
    together = b if maps["hm_hp"].is_cuda else max(1, IN_CACHE // (k * h * w))
    chunks = [
        _decode_chunk(
            {name: m[i : i + together] for name, m in maps.items()}, slots, post, min_score, top
        )
        for i in range(0, b, together)
    ]
    most = max((chunk.scores.shape[1] for chunk in chunks), default=0)

    def join(name: str) -> Tensor:
        values = [getattr(chunk, name) for chunk in chunks]
        padding = [v.new_zeros(len(v), most - v.shape[1], *v.shape[2:]) for v in values]
        return torch.cat([torch.cat(pair, 1) for pair in zip(values, padding, strict=True)])

    return Decoded(*(join(field.name) for field in fields(Decoded)))


def _decode_chunk(
    maps: Maps, slots: Int[Tensor, "13 m"], post: PostProcess, min_score: float, top: int
) -> Decoded:
    """Do what ``decode`` does, all images of ``maps`` at once."""
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
    rows = torch.arange(b, device=scores.device)[:, None]
    return Decoded(
        padded(boxes)[rows, order.indices],
        order.values,
        padded(category + 1)[rows, order.indices],
        padded(landmarks)[rows, order.indices],
    )


def decode_fixed(
    maps: Maps, slots: Int[Tensor, "13 m"], post: PostProcess, top: int
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Do what ``decode`` does with shapes that do not depend on the data, for a graph that is exported.

    Args:
        maps: the six maps, heatmaps after the sigmoid.
        slots: of ``grouping_slots``.
        post: the techniques and their parameters; its flip, scales and NMS are ignored here.
        top: number of garments of an image.

    Returns:
        Boxes (B, top, 4), scores (B, top), category (B, top) and landmarks (B, top, M, 3); landmarks
        that the category does not have are 0.
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
    """Find the best local maxima of the centre maps, best first.

    Args:
        heat: centre maps (B, 13, H, W) after the sigmoid.
        top: number of maxima of an image.

    Returns:
        Score, category counted from 0, and the cell's x and y, each (B, top).
    """
    _, c, h, w = heat.shape
    scores, index = local_maxima(heat).flatten(1).topk(min(top, c * h * w))
    return scores, index // (h * w), index % w, index // w % h


def measure(
    maps: Maps, g: Instances, slot_count: int, post: PostProcess, fixed: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Read boxes, landmarks and final scores of garments from the maps (techniques 4, 3 and 1).

    Args:
        maps: the six maps, already smoothed.
        g: the garments.
        slot_count: M, landmarks of a garment including padding.
        post: the techniques.
        fixed: whether no shape may depend on a value.

    Returns:
        Boxes (D, 4) in input pixels, scores (D,), and landmarks (D, M, 3) in input pixels with scores.
    """
    cell = torch.stack([g.x, g.y], -1).to(maps["hm"].dtype)
    wh, reg = (maps[name][g.image, :, g.y, g.x] for name in ("wh", "reg"))
    boxes = decode_boxes(wh, reg, cell)
    image, x, y = g.image[g.owner], g.x[g.owner], g.y[g.owner]
    hps, channel = maps["hps"], g.channel.clamp_min(0)
    moved = torch.stack([hps[image, 2 * channel, y, x], hps[image, 2 * channel + 1, y, x]], -1)
    coarse = decode_points(moved, cell[g.owner])
    refine = masked_maximum if post.mask else nearest_candidate
    refined, score = refine(maps, image, channel, coarse, boxes[g.owner], fixed)
    if post.blend:
        refined = post.gamma * refined + (1 - post.gamma) * coarse
    real = (g.channel >= 0).to(score.dtype)  # 0 in padding slots
    landmarks = refined.new_zeros(g.score.shape[0], slot_count, 3)
    values = torch.cat([from_grid(refined), score[:, None]], -1) * real[:, None]
    landmarks = landmarks.index_put((g.owner, g.slot), values)
    final = g.score
    if post.rescore:
        count = torch.zeros_like(final).index_add(0, g.owner, real)
        mean = torch.zeros_like(final).index_add(0, g.owner, score * real) / count.clamp_min(1)
        final = (post.alpha * final + (1 - post.alpha) * mean) * (g.score > 0)  # padding stays 0
    return from_grid(boxes), final, landmarks
