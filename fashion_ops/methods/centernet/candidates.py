"""All garments that any of many settings would find, decoded once: what a grid search works on.

Where a centre lies, its box and where its displacements point do not depend on the parameters of the
techniques. What does: whether a cell is a peak and its score (``sigma_center``), where each landmark
lies and how sure it is (``sigma_landmark``). So the landmarks of the union of all peaks are read once a
``sigma_landmark``; every setting is then a choice of rows and a sum of two scores. A thousandth of the
maps' size, so that the maps themselves need not be kept.

``suppress_many`` is ``suppress`` for many scorings of the same boxes at once.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torchvision.ops import box_iou

from fashion_ops.methods.centernet.decode import Instances, find_centers, measure
from fashion_ops.methods.centernet.landmarks import Maps
from fashion_ops.methods.centernet.nms import NMS_IOU, SOFT_DROP, SOFT_SIGMA
from fashion_ops.methods.centernet.peaks import smooth
from fashion_ops.params import PostProcess


@dataclass(frozen=True)
class Candidates:
    """U garments of several images, C values of ``sigma_center``, L of ``sigma_landmark``.

    As ``read_candidates`` makes them, in input pixels. ``center`` is negative where the cell is no
    peak, or one below the threshold.
    """

    image: Int[np.ndarray, " u"]
    category: Int[np.ndarray, " u"]  # 1..13
    boxes: Float[np.ndarray, "u 4"]
    coarse: Float[np.ndarray, "u m 2"]
    center: Float[np.ndarray, "c u"]
    refined: Float[np.ndarray, "l u m 2"]
    sureness: Float[np.ndarray, "l u"]  # mean score of the landmarks

    def scores(self, center: int, landmark: int, post: PostProcess) -> Float[np.ndarray, " u"]:
        """Scores before suppression (technique 1), negative where there is no garment."""
        own = self.center[center]
        if not post.rescore:
            return own
        mixed = post.alpha * own + (1 - post.alpha) * self.sureness[landmark]
        return np.where(own < 0, np.float32(-1), mixed)

    def points(self, landmark: int, post: PostProcess) -> Float[np.ndarray, "u m 2"]:
        """Landmarks (technique 3)."""
        if not post.blend:
            return self.refined[landmark]
        return post.gamma * self.refined[landmark] + (1 - post.gamma) * self.coarse


def read_candidates(
    maps: Maps,
    slots: Int[Tensor, "13 m"],
    post: PostProcess,
    sigma_center: Sequence[float],
    sigma_landmark: Sequence[float],
    min_score: float,
    top: int,
) -> Candidates:
    """What ``decode`` would find with any of these sigmas.

    Args:
        maps: of a batch, as ``decode`` takes them.
        slots: as of ``grouping_slots``.
        post: which techniques; its own sigmas, gamma and alpha are not looked at.
        sigma_center: values of technique 2 for the centres; 0 is none.
        sigma_landmark: the same for the landmarks.
        min_score: centres below are none.
        top: at most this many an image and ``sigma_center``.
    """
    b, categories, h, w = maps["hm"].shape
    best = torch.full((len(sigma_center), b * categories * h * w), -1.0, device=maps["hm"].device)
    first = torch.arange(b, device=best.device)[:, None] * (categories * h * w)
    for row, sigma in zip(best, sigma_center, strict=True):
        score, category, x, y = find_centers(smooth(maps["hm"], sigma), top)
        at = first + (category * h + y) * w + x
        sure = score >= max(min_score, 1e-9)
        row[at[sure]] = score[sure]
    cells = (best >= 0).any(0).nonzero()[:, 0]
    category = cells // (h * w) % categories
    owner, slot = (slots[category] >= 0).nonzero(as_tuple=True)
    garments = Instances(
        cells // (categories * h * w),
        cells % w,
        cells // w % h,
        category,
        best[:, cells].amax(0),
        owner,
        slot,
        slots[category[owner], slot],
    )

    def read(sigma: float, **settings: float) -> tuple[Tensor, Tensor, Tensor]:
        sharp = {**maps, "hm_hp": smooth(maps["hm_hp"], sigma)}
        how = post.model_copy(update={"rescore": True, "alpha": 0.0, "blend": True, **settings})
        return measure(sharp, garments, slots.shape[1], how, False)

    boxes, _, coarse = read(0.0, gamma=0.0)
    read_all = [read(sigma, gamma=1.0) for sigma in sigma_landmark]
    return Candidates(
        image=garments.image.cpu().numpy(),
        category=category.cpu().numpy() + 1,
        boxes=boxes.cpu().numpy(),
        coarse=coarse[..., :2].cpu().numpy(),
        center=best[:, cells].cpu().numpy(),
        refined=np.stack([landmarks[..., :2].cpu().numpy() for _, _, landmarks in read_all]),
        sureness=np.stack([score.cpu().numpy() for _, score, _ in read_all]),
    )


def join(parts: Sequence[Candidates]) -> Candidates:
    """The candidates of several batches as one."""

    def glued(name: str) -> np.ndarray:
        axis = 1 if name in ("center", "refined", "sureness") else 0
        return np.concatenate([getattr(part, name) for part in parts], axis)

    return Candidates(**{field.name: glued(field.name) for field in fields(Candidates)})


@dataclass(frozen=True)
class Doubles:
    """Garments of one image and category that overlap: G groups of at most D, -1 pads.

    ``fall`` is by what a garment's score is multiplied when another of its group is taken; below
    ``least`` it is gone.
    """

    rows: Int[np.ndarray, "g d"]
    fall: Float[np.ndarray, "g d d"]
    least: float


def find_doubles(
    image: Int[np.ndarray, " u"],
    category: Int[np.ndarray, " u"],
    boxes: Float[np.ndarray, "u 4"],
    nms: str,
) -> Doubles:
    """Groups that ``suppress`` with this ``nms`` may change; boxes in the pixels in which it works."""
    key = image * 64 + category
    order = np.argsort(key, kind="stable")
    groups, falls = [], []
    for rows in np.split(order, np.flatnonzero(np.diff(key[order])) + 1):
        if nms == "none" or len(rows) < 2:
            continue
        own = torch.from_numpy(boxes[rows])
        overlap = box_iou(own, own)
        hard = (overlap <= NMS_IOU).float()
        fall = hard if nms == "hard" else torch.exp(-(overlap**2) / SOFT_SIGMA)
        if bool((fall.fill_diagonal_(1) < 1).any()):
            groups.append(rows)
            falls.append(fall.numpy())
    deepest = max(map(len, groups), default=0)
    rows = np.full((len(groups), deepest), -1)
    fall = np.ones((len(groups), deepest, deepest), np.float32)
    for n, (own, values) in enumerate(zip(groups, falls, strict=True)):
        rows[n, : len(own)] = own
        fall[n, : len(own), : len(own)] = values
    return Doubles(rows, fall, SOFT_DROP if nms == "soft" else float(np.finfo(np.float32).tiny))


def suppress_many(scores: Float[np.ndarray, "v u"], doubles: Doubles) -> Float[np.ndarray, "v u"]:
    """Scores after suppression, one scoring a row; negative where there is no garment, or no more."""
    rows, fall = doubles.rows, doubles.fall
    left = np.where(rows >= 0, scores[:, rows], np.float32(-1))  # (V, G, D)
    final = np.full_like(left, -1)
    group = np.arange(len(rows))
    for _ in range(rows.shape[1]):
        best = left.argmax(-1)[..., None]  # (V, G, 1)
        top = np.take_along_axis(left, best, -1)
        taken = top >= doubles.least
        if not taken.any():
            break
        np.put_along_axis(final, best, np.where(taken, top, np.take_along_axis(final, best, -1)), -1)
        left *= fall[group, best[..., 0]]
        np.put_along_axis(left, best, np.float32(-1), -1)
    out = scores.copy()
    out[:, rows[rows >= 0]] = final[:, rows >= 0]
    out[out < doubles.least] = -1
    return out
