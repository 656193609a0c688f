"""CenterNet's published decoding: one image, one garment, one landmark at a time.

The peer of ``bench.decode``, written from the description of the released code's human-pose task: top-K
tensors over all landmark groups for each image, then an affine transform for each point, lists for each
category and NMS row by row in NumPy. DeepMark++'s techniques are added in the same style: OpenCV blurs
map by map, and each landmark gets its own mask. Cells and pixels follow this project's convention, so
that garments can be compared number by number. As released, all 100 centres of an image are decoded and
the threshold is applied just before NMS; ``early`` applies it to the centres at once.
"""

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from fashion_ops.params import PostProcess

K = 100  # centres an image, candidates a landmark map
IOU = 0.6

Rows = list[dict[str, np.ndarray | float | int]]


def top_cells(heat: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Scores and flat cells (C, k) of each map's best local maxima; ``heat`` (1, C, H, W)."""
    heat = heat * (F.max_pool2d(heat, 3, 1, 1) == heat)
    return torch.topk(heat.view(heat.shape[1], -1), k)


def blurred(maps: Tensor, sigma: float) -> Tensor:
    """Technique 2, map by map."""
    if sigma == 0:
        return maps
    planes = [
        cv2.GaussianBlur(m, (3, 3), sigma, borderType=cv2.BORDER_CONSTANT) for m in maps[0].numpy()
    ]
    return torch.from_numpy(np.stack(planes))[None]


def centers_of(maps: dict[str, Tensor]) -> tuple[np.ndarray, ...]:
    """The best K garments: scores, categories from 0, boxes (K, 4), coarse points (K, J, 2); cells."""
    h, w = maps["hm"].shape[2:]
    scores, cells = top_cells(maps["hm"], K)
    scores, best = torch.topk(scores.flatten(), K)
    category, cells = best // K, cells.flatten()[best]
    ys, xs = (cells // w).float(), (cells % w).float()
    hps = maps["hps"].view(-1, h * w)[:, cells].T.reshape(K, -1, 2)
    coarse = hps + torch.stack([xs, ys], -1)[:, None]
    reg, wh = (maps[name].view(2, h * w)[:, cells] for name in ("reg", "wh"))
    xs, ys = xs + reg[0], ys + reg[1]
    wh = wh.clamp_min(0)
    boxes = torch.stack([xs - wh[0] / 2, ys - wh[1] / 2, xs + wh[0] / 2, ys + wh[1] / 2], 1)
    return scores.numpy(), category.numpy(), boxes.numpy(), coarse.numpy()


def nearest(maps: dict[str, Tensor], boxes: np.ndarray, coarse: np.ndarray) -> np.ndarray:
    """The candidates that replace coarse points, for all K garments and all J groups: (K, J, 3)."""
    heat, coarse_T = maps["hm_hp"], torch.from_numpy(coarse).transpose(0, 1)  # (J, K, 2)
    _, j, h, w = heat.shape
    score, cells = top_cells(heat, K)
    offset = maps["hp_offset"].view(2, h * w)[:, cells]
    candidates = torch.stack([cells % w + offset[0], cells // w + offset[1]], -1)
    usable = (score > 0.1).float()
    score = usable * score - (1 - usable)
    candidates = torch.where(usable[..., None] > 0, candidates, torch.full_like(candidates, -10000.0))
    distance = ((coarse_T[:, :, None].expand(j, K, K, 2) - candidates[:, None]) ** 2).sum(-1) ** 0.5
    far, at = distance.min(2)
    score = score.gather(1, at)
    replacement = candidates.gather(1, at[..., None].expand(j, K, 2))
    low, high = (torch.from_numpy(boxes[:, i]) for i in (slice(0, 2), slice(2, 4)))
    longest = (high - low).amax(1)
    refused = (
        ((replacement < low) | (replacement > high)).any(-1) | (score < 0.1) | (far > 0.3 * longest)
    )
    x, y = coarse_T.floor().long().unbind(-1)
    inside = (x >= 0) & (x < w) & (y >= 0) & (y < h)
    there = heat.view(j, -1).gather(1, y.clamp(0, h - 1) * w + x.clamp(0, w - 1)) * inside
    place = torch.where(refused[..., None], coarse_T, replacement)
    score = torch.where(refused, there, score)
    return torch.cat([place, score[..., None]], -1).transpose(0, 1).numpy()


def masked(heat: np.ndarray, offset: np.ndarray, coarse: np.ndarray, box: np.ndarray) -> np.ndarray:
    """Technique 4 for one landmark: x, y, score of the largest value under a Gaussian."""
    h, w = heat.shape
    sigma = max(min(box[2] - box[0], box[3] - box[1]) / 9, 1e-3)
    x = np.arange(w, dtype=np.float32) + 0.5 - coarse[0]
    y = np.arange(h, dtype=np.float32)[:, None] + 0.5 - coarse[1]
    rescored = heat * np.exp(-(x * x + y * y) / (2 * sigma * sigma))
    at = int(rescored.argmax())
    cy, cx = divmod(at, w)
    score = rescored[cy, cx]
    if score == 0:
        return np.array([*coarse, 0.0], np.float32)
    return np.array([cx + offset[0, cy, cx], cy + offset[1, cy, cx], score], np.float32)


def to_image(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Grid points (N, 2) to image pixels, point by point."""
    out = np.zeros_like(points)
    for i in range(len(points)):
        pixel = points[i] * 4 - 0.5
        out[i] = np.dot(matrix, np.array([pixel[0], pixel[1], 1.0], np.float32))
    return out


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two boxes."""
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    common = float(np.prod(np.maximum(sides, 0)))
    return common / (float(np.prod(a[2:] - a[:2])) + float(np.prod(b[2:] - b[:2])) - common + 1e-9)


def garments_of(
    maps: dict[str, Tensor],
    channels: list[np.ndarray],
    matrix: np.ndarray,
    post: PostProcess,
    threshold: float,
    early: bool = False,
) -> Rows:
    """The garments of one image, best first, in image pixels.

    Args:
        maps: six maps (1, C, H, W), heatmaps after the sigmoid.
        channels: of each category's landmarks.
        matrix: (2, 3) from input to image pixels.
        post: switches and parameters of the techniques; NMS is hard.
        threshold: of centre and final score.
        early: skip a garment whose centre scores less than the threshold.
    """
    if post.smooth:
        hm, hm_hp = (
            blurred(maps[n], s) for n, s in (("hm", post.sigma_center), ("hm_hp", post.sigma_landmark))
        )
        maps = {**maps, "hm": hm, "hm_hp": hm_hp}
    scores, category, boxes, coarse = centers_of(maps)
    points = None if post.mask else nearest(maps, boxes, coarse)
    heat, offset = maps["hm_hp"][0].numpy(), maps["hp_offset"][0].numpy()
    per_category: dict[int, Rows] = {c: [] for c in range(13)}
    for i in range(K):
        if early and scores[i] < threshold:
            continue
        kind = int(category[i])
        landmarks = np.zeros((len(channels[kind]), 3), np.float32)
        for m, j in enumerate(channels[kind]):
            refined = (
                masked(heat[j], offset, coarse[i, j], boxes[i]) if points is None else points[i, j]
            )
            weight = post.gamma if post.blend else 1.0
            landmarks[m, :2] = weight * refined[:2] + (1 - weight) * coarse[i, j]
            landmarks[m, 2] = refined[2]
        score = float(scores[i])
        if post.rescore:
            score = post.alpha * score + (1 - post.alpha) * float(landmarks[:, 2].mean())
        landmarks[:, :2] = to_image(landmarks[:, :2], matrix)
        box = to_image(boxes[i].reshape(2, 2), matrix).ravel()
        per_category[kind].append(
            {"category": kind + 1, "score": score, "box": box, "landmarks": landmarks}
            | {"confident": bool(scores[i] >= threshold)}
        )
    kept: Rows = []
    for rows in per_category.values():
        rows = [row for row in rows if row["confident"]]
        rows.sort(key=lambda r: -r["score"])  # type: ignore[operator]
        remaining: Rows = []
        for row in rows:
            if all(overlap(row["box"], other["box"]) <= IOU for other in remaining):  # type: ignore[arg-type]
                remaining.append(row)
        kept += remaining
    kept = [row for row in kept if row["score"] >= threshold]  # type: ignore[operator]
    return sorted(kept, key=lambda r: -r["score"])  # type: ignore[operator]
