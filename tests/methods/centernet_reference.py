"""The detector's post-processing once more, slow and plain: loops over cells in NumPy, float64.

Written from the papers (CenterNet as released for human pose; DeepMark++ 3.2 and 4.2.1), not from
``fashion_ops.methods.centernet``; the property tests hold the two together. One image at a time:
``maps`` are hm (13, H, W), wh, reg, hp_offset (2, H, W), hps (2K, H, W), hm_hp (K, H, W), heatmaps
after the sigmoid. Grid coordinates count from a cell's corner: pixel = 4 * grid - 0.5.

Every landmark notes how close the choices between values (candidates, thresholds) were that placed it:
``margin``. Where it is tiny, arithmetic in another order may choose otherwise.
"""

import math
from dataclasses import dataclass, replace

import numpy as np

from fashion_ops.params import PostProcess

TOP = 100  # garments an image, candidates a landmark map
WEAK, FAR = 0.1, 0.3

Maps = dict[str, np.ndarray]
Peak = tuple[float, int, int]  # score, x, y


@dataclass
class Garment:
    """One garment in input pixels; landmarks (n, 3) x, y, score of its category's own."""

    category: int
    cell: tuple[int, int]  # x, y of its centre's peak
    center_score: float
    score: float
    box: np.ndarray
    landmarks: np.ndarray
    margin: np.ndarray  # (n,) how narrowly each landmark was chosen


def gaussian_3x3(sigma: float) -> np.ndarray:
    """Normalised 3x3 Gaussian; sigma 0 is the identity."""
    kernel = np.zeros((3, 3))
    if sigma == 0:
        kernel[1, 1] = 1
        return kernel
    for y in (-1, 0, 1):
        for x in (-1, 0, 1):
            kernel[y + 1, x + 1] = np.exp(-(x * x + y * y) / (2 * sigma * sigma))
    return kernel / kernel.sum()


def smoothed(heat: np.ndarray, sigma: float) -> np.ndarray:
    """Technique 2 on one map (H, W); zero outside."""
    h, w = heat.shape
    kernel, out = gaussian_3x3(sigma), np.zeros((h, w))
    for y in range(h):
        for x in range(w):
            for dy in (-1, 0, 1):
                for dx in (-1, 0, 1):
                    if 0 <= y + dy < h and 0 <= x + dx < w:
                        out[y, x] += kernel[dy + 1, dx + 1] * heat[y + dy, x + dx]
    return out


def peaks(heat: np.ndarray) -> list[Peak]:
    """The cells of (H, W) that none of their neighbours exceeds, best first."""
    h, w = heat.shape
    found = []
    for y in range(h):
        for x in range(w):
            around = heat[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2]
            if heat[y, x] >= around.max():
                found.append((float(heat[y, x]), x, y))
    return sorted(found, key=lambda p: -p[0])


def smooth_all(maps: Maps, post: PostProcess) -> Maps:
    """Technique 2 on the centre and the landmark maps."""
    maps = {name: np.asarray(value, np.float64) for name, value in maps.items()}
    if not post.smooth:
        return maps
    return {
        **maps,
        "hm": np.stack([smoothed(m, post.sigma_center) for m in maps["hm"]]),
        "hm_hp": np.stack([smoothed(m, post.sigma_landmark) for m in maps["hm_hp"]]),
    }


def decode(maps: Maps, own: list[list[int]], post: PostProcess) -> list[Garment]:
    """The garments of all centre peaks of an image, best centre first.

    CenterNet keeps the best ``TOP`` a category, then the best ``TOP`` of an image: the first of these.

    Args:
        maps: of one image, before smoothing.
        own: channel of each landmark, category by category.
        post: which techniques; ``nms``, ``flip`` and ``scales`` are not looked at here.
    """
    maps = smooth_all(maps, post)
    centers = []
    for category in range(13):
        centers += [(score, category, x, y) for score, x, y in peaks(maps["hm"][category])]
    centers = sorted(centers, key=lambda c: -c[0])
    candidates = [peaks(m)[:TOP] for m in maps["hm_hp"]]
    return [garment_at(maps, candidates, c + 1, x, y, own[c], post) for _, c, x, y in centers]


def garment_at(
    maps: Maps,
    candidates: list[list[Peak]],
    category: int,
    x: int,
    y: int,
    channels: list[int],
    post: PostProcess,
) -> Garment:
    """The garment whose centre peaks in cell (x, y) of maps already smoothed."""
    center = np.array([x, y]) + maps["reg"][:, y, x]
    extent = np.maximum(maps["wh"][:, y, x], 0)
    box = np.concatenate([center - extent / 2, center + extent / 2])
    landmarks, margins = [], []
    for k in channels:
        coarse = np.array([x, y]) + maps["hps"][2 * k : 2 * k + 2, y, x]
        heat = maps["hm_hp"][k]
        if post.mask:
            refined, score, margin = masked_maximum(heat, maps["hp_offset"], coarse, extent)
        else:
            refined, score, margin = nearest_peak(heat, candidates[k], maps["hp_offset"], coarse, box)
        weight = post.gamma if post.blend else 1.0
        place = weight * refined + (1 - weight) * coarse
        landmarks.append([*(4 * place - 0.5), score])
        margins.append(margin)
    points = np.array(landmarks, float).reshape(-1, 3)
    center_score = float(maps["hm"][category - 1, y, x])
    score = center_score
    if post.rescore:
        score = post.alpha * center_score + (1 - post.alpha) * points[:, 2].mean()
    return Garment(
        category, (x, y), center_score, float(score), 4 * box - 0.5, points, np.array(margins)
    )


def nearest_peak(
    heat: np.ndarray, found: list[Peak], offset: np.ndarray, coarse: np.ndarray, box: np.ndarray
) -> tuple[np.ndarray, float, float]:
    """CenterNet: the peak above 0.1 nearest to the coarse position, if it is to be believed.

    Else the coarse position itself, with the map's value there.
    """
    best, best_score, nearest, second = coarse, -1.0, np.inf, np.inf
    margin = np.inf
    for score, x, y in found:
        margin = min(margin, abs(score - WEAK))
        if score <= WEAK:
            continue
        place = np.array([x, y]) + offset[:, y, x]
        distance = float(np.hypot(*(place - coarse)))
        if distance < nearest:
            best, best_score, nearest, second = place, score, distance, nearest
        else:
            second = min(second, distance)
    if best_score < 0:
        value, border = value_at(heat, coarse)
        return coarse, value, min(margin, border)
    if np.isfinite(second):
        margin = min(margin, second - nearest)
    reach = FAR * max(box[2] - box[0], box[3] - box[1])
    slack = [*(best - box[:2]), *(box[2:] - best), reach - nearest]
    margin = min(margin, float(np.abs(slack).min()))
    if min(slack) >= 0:
        return best, best_score, margin
    value, border = value_at(heat, coarse)
    return coarse, value, min(margin, border)


def masked_maximum(
    heat: np.ndarray, offset: np.ndarray, coarse: np.ndarray, extent: np.ndarray
) -> tuple[np.ndarray, float, float]:
    """Technique 4: the largest value of the map times a Gaussian of peak 1 at the coarse position.

    Where nothing is left of the map under the mask there is no maximum: then the coarse position.
    """
    h, w = heat.shape
    sigma = max(min(extent) / 9, 1e-3)
    rescored = np.zeros((h, w))
    cx, cy = coarse.tolist()
    for y in range(h):
        for x in range(w):
            # a cell stands for its middle
            far = (x + 0.5 - cx) ** 2 + (y + 0.5 - cy) ** 2
            rescored[y, x] = heat[y, x] * math.exp(-far / (2 * sigma**2))
    order = np.argsort(-rescored.ravel(), kind="stable")
    y, x = divmod(int(order[0]), w)
    score, gap = float(rescored[y, x]), np.inf
    if h * w > 1:
        gap = float(score - rescored.flat[order[1]]) / max(score, 1e-300)
    if score == 0:
        return coarse, 0.0, np.inf
    return np.array([x, y]) + offset[:, y, x], score, gap


def value_at(heat: np.ndarray, place: np.ndarray) -> tuple[float, float]:
    """The map's value in the cell of a grid position, 0 outside; and how close a border is."""
    h, w = heat.shape
    x, y = int(np.floor(place[0])), int(np.floor(place[1]))
    border = float(np.abs(place - np.round(place)).min())
    return (float(heat[y, x]) if 0 <= x < w and 0 <= y < h else 0.0), border


def merge_flipped(maps: Maps, flipped: Maps, mirror: np.ndarray) -> Maps:
    """Half of each, the mirrored image's maps turned back; ``reg`` and ``hp_offset`` as they are.

    The mirror image of cell x is cell W-1-x; a point at x + d lies there at W - (x + d), which is 1 - d
    from the mirrored cell's corner.
    """
    out = {name: np.array(value, np.float64) for name, value in maps.items()}
    _, _, w = maps["hm"].shape
    for x in range(w):
        other = w - 1 - x
        for name in ("hm", "wh"):
            out[name][:, :, x] = (maps[name][:, :, x] + flipped[name][:, :, other]) / 2
        for k in range(len(mirror)):
            m = int(mirror[k])
            out["hm_hp"][k, :, x] = (maps["hm_hp"][k, :, x] + flipped["hm_hp"][m, :, other]) / 2
            out["hps"][2 * k, :, x] = (
                maps["hps"][2 * k, :, x] + 1 - flipped["hps"][2 * m, :, other]
            ) / 2
            out["hps"][2 * k + 1, :, x] = (
                maps["hps"][2 * k + 1, :, x] + flipped["hps"][2 * m + 1, :, other]
            ) / 2
    return out


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two boxes."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    common = max(0.0, width) * max(0.0, height)
    total = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - common
    return common / total if total > 0 else 0.0


def hard_nms(garments: list[Garment], iou: float) -> list[Garment]:
    """Best first; a garment goes when a better one of its category overlaps by more than ``iou``."""
    kept: list[Garment] = []
    for g in sorted(garments, key=lambda g: -g.score):
        if all(k.category != g.category or overlap(k.box, g.box) <= iou for k in kept):
            kept.append(g)
    return kept


def soft_nms(garments: list[Garment], sigma: float = 0.5, drop: float = 0.001) -> list[Garment]:
    """Gaussian soft-NMS within each category: take the best, lower the others by their overlap with it.

    The scores of the others fall by exp(-overlap^2 / sigma); under ``drop`` they are gone, each with
    its own landmarks (the released code leaves copies of other rows behind).
    """
    kept = []
    for category in range(1, 14):
        left = [g for g in garments if g.category == category]
        while left:
            best = max(left, key=lambda g: g.score)
            left = [g for g in left if g is not best]
            kept.append(best)
            left = [
                replace(g, score=g.score * float(np.exp(-(overlap(best.box, g.box) ** 2) / sigma)))
                for g in left
            ]
            left = [g for g in left if g.score >= drop]
    return sorted(kept, key=lambda g: -g.score)
