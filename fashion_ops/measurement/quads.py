"""Rectangles in a photo, such as a sheet of paper or a card: candidates, and their corners.

Candidates are the outlines of what is brighter or darker than a threshold, at several thresholds in a
reduced photo, where four sides enclose little more than the outline. Then each side is measured in the
whole photo, in the mixture of colours in which inside and outside differ most: the steepest change
along lines across the side gives points to below a pixel, and a line through them that leaves out
outliers (Huber). Corners are where neighbouring sides meet, so that rounded ones do no harm.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8

_SIDE = 900  # of the reduced photo, pixels
_THRESHOLDS = 14
_SMALLEST, _LARGEST = 5e-4, 0.5  # share of the photo
_FILLED = 0.9  # of the area of the four sides, that the outline must enclose
_BORDER = 2  # pixels of the reduced photo
_PROFILE = 0.5  # pixels between the samples of a line across a side
_ENDS = 0.14  # of a side, at each end, that is not measured: corners are rounded, or bent
_INLIERS, _MOST_OFF = 0.75, 1.2  # share of points that are at most so many pixels off their line
_LEAST_CONTRAST, _LEAST_SLOPE = 12.0, 0.7  # levels; levels a sample, which soft edges have
_BIAS_STD = 0.25  # pixels, of a side as a whole: light and lens move an edge


@dataclass(frozen=True)
class Quad:
    """Four corners.

    Attributes:
        corners: (4, 2) pixels, one after the other around it.
        std: deviation of a corner in each direction, pixels.
        contrast: colour inside minus colour outside, RGB levels.
    """

    corners: Float[np.ndarray, "4 2"]
    std: float
    contrast: Float[np.ndarray, "3"]


def find_quads(image: UInt8[np.ndarray, "h w 3"]) -> list[Quad]:
    """All rectangles that an RGB photo shows with four straight sides, the largest first."""
    height, width = image.shape[:2]
    factor = max(1.0, max(height, width) / _SIDE)
    size = (round(width / factor), round(height / factor))
    factors = np.array([width / size[0], height / size[1]])
    reduced = cv2.GaussianBlur(cv2.resize(image, size, interpolation=cv2.INTER_AREA), (0, 0), 1.0)
    found: list[Quad] = []
    tried: list[Float[np.ndarray, "4 2"]] = []
    for corners in _candidates(reduced):
        if any(_is_same(corners, other, 0.01) for other in tried):
            continue
        tried.append(corners)
        whole = (corners + 0.5) * factors - 0.5
        if any(_is_same(whole, quad.corners, 0.03) for quad in found):
            continue
        quad = _measure(image, whole, factor)
        if quad is not None and not any(_is_same(quad.corners, q.corners, 0.03) for q in found):
            found.append(quad)
    return sorted(found, key=lambda quad: -cv2.contourArea(quad.corners.astype(np.float32)))


def _candidates(image: UInt8[np.ndarray, "h w 3"]) -> list[Float[np.ndarray, "4 2"]]:
    """Outlines with four sides in a reduced photo."""
    lab = cv2.cvtColor(image, cv2.COLOR_RGB2LAB)
    colour = cv2.absdiff(lab[..., 1:], np.full_like(lab[..., 1:], 128)).max(-1)
    found = []
    for channel, count in ((lab[..., 0], _THRESHOLDS), (colour, 5), (lab[..., 1], 5), (lab[..., 2], 5)):
        low, high = np.quantile(channel, (0.01, 0.99))
        for level in np.linspace(low, high, count + 2)[1:-1]:
            mask = (channel > level).astype(np.uint8)
            contours, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_SIMPLE)
            found += [
                quad for contour in contours if (quad := _four_sides(contour, mask.shape)) is not None
            ]
    return found


def _four_sides(contour: np.ndarray, shape: tuple[int, ...]) -> Float[np.ndarray, "4 2"] | None:
    """The four sides around a contour; None if they are not its own, or reach the photo's border."""
    area = cv2.contourArea(contour)
    pixels = shape[0] * shape[1]
    if not _SMALLEST * pixels <= area <= _LARGEST * pixels:
        return None
    if area < _FILLED * cv2.contourArea(cv2.convexHull(contour)):
        return None
    corners = np.asarray(cv2.approxPolyN(contour, 4, ensure_convex=True), float).reshape(-1, 2)
    if len(corners) != 4 or area < _FILLED * cv2.contourArea(corners.astype(np.float32)):
        return None
    limit = np.array([shape[1], shape[0]]) - 1 - _BORDER
    inside = (corners >= _BORDER).all() and (corners <= limit).all()
    sides = np.linalg.norm(np.roll(corners, -1, 0) - corners, axis=1)
    if not inside or sides.min() < max(0.25 * sides.max(), 12):
        return None
    (ax, ay), (bx, by) = corners[1] - corners[0], corners[2] - corners[1]
    return corners if ax * by > ay * bx else corners[::-1].copy()  # clockwise as one sees it


def _is_same(one: Float[np.ndarray, "4 2"], other: Float[np.ndarray, "4 2"], share: float) -> bool:
    """Whether each corner of one is near a corner of the other, for its size."""
    apart = np.linalg.norm(one[:, None] - other[None], axis=-1).min(1)
    return bool(apart.max() < share * np.linalg.norm(one[0] - one[2]))


def _measure(
    image: UInt8[np.ndarray, "h w 3"], corners: Float[np.ndarray, "4 2"], factor: float
) -> Quad | None:
    """Measure the sides of a candidate, twice; None where one of them is no straight edge.

    Args:
        image: the whole photo.
        corners: of the candidate, pixels of the photo.
        factor: pixels of the photo to one of the reduced one, in which the candidate was found.
    """
    pad = 8 + 4 * factor + 0.1 * np.ptp(corners, 0).max()
    limit = np.array(image.shape[1::-1])
    low = np.clip(np.floor(corners.min(0) - pad), 0, limit).astype(int)
    high = np.clip(np.ceil(corners.max(0) + pad), 0, limit).astype(int)
    part, corners = image[low[1] : high[1], low[0] : high[0]], corners - low
    contrast = _contrast(part, corners)
    if np.linalg.norm(contrast) < _LEAST_CONTRAST:
        return None
    mixed = part.astype(np.float32) @ (contrast / np.linalg.norm(contrast)).astype(np.float32)
    mixed = cv2.GaussianBlur(mixed, (0, 0), max(0.8, factor / 3))
    std = 0.0
    for reach in (max(4.0, 2.5 * factor), 4.0):
        sides = [_side(mixed, corners[i], corners[(i + 1) % 4], reach) for i in range(4)]
        lines = [side for side in sides if side is not None]
        if len(lines) < 4:
            return None
        met = np.array([_meet(lines[i - 1][0], lines[i][0]) for i in range(4)])
        if not np.isfinite(met).all() or _moved(met, corners) > 0.15:
            return None
        corners, std = met, float(np.hypot(_BIAS_STD, np.mean([line[1] for line in lines])))
    return Quad(corners + low, std, contrast)


def _moved(now: Float[np.ndarray, "4 2"], before: Float[np.ndarray, "4 2"]) -> float:
    """How far corners have moved, of the diagonal."""
    return float(np.linalg.norm(now - before, axis=1).max() / np.linalg.norm(before[0] - before[2]))


def _contrast(
    image: UInt8[np.ndarray, "h w 3"], corners: Float[np.ndarray, "4 2"]
) -> Float[np.ndarray, "3"]:
    """The median colour of a ring within a quad minus that of one around it, RGB levels."""
    medians = []
    for outer, inner in ((0.94, 0.7), (1.2, 1.06)):
        mask = np.zeros(image.shape[:2], np.uint8)
        for share, value in ((outer, 1), (inner, 0)):
            ring = corners.mean(0) + share * (corners - corners.mean(0))
            cv2.fillConvexPoly(mask, np.round(ring).astype(np.int32), value)
        ring = image[mask > 0]
        medians.append(np.median(ring, 0) if len(ring) else np.zeros(3))
    return np.asarray(medians[0] - medians[1], float)


def _side(
    image: Float[np.ndarray, "h w"], start: np.ndarray, end: np.ndarray, reach: float
) -> tuple[np.ndarray, float] | None:
    """The line (x, y, dx, dy) of a side and its deviation; None where too few points lie on one line.

    Args:
        image: higher inside the quad than outside.
        start: a corner, pixels.
        end: the next one, clockwise.
        reach: how far to both sides the edge is looked for, pixels.
    """
    along = end - start
    length = float(np.linalg.norm(along))
    if length < 12:
        return None
    along = along / length
    across = np.array([-along[1], along[0]])  # inwards
    count = int(np.clip(length / 2, 12, 240))
    at = np.linspace(_ENDS, 1 - _ENDS, count)[:, None] * length
    offsets = np.arange(-reach - 1, reach + 1 + _PROFILE, _PROFILE)
    points = start + at * along
    grid = (points[:, None] + offsets[None, :, None] * across).astype(np.float32)
    values = cv2.remap(
        image, grid[..., 0], grid[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    rising = np.maximum(np.diff(cv2.GaussianBlur(values, (5, 1), 0), axis=1), 0)
    best = rising.argmax(1).clip(2, rising.shape[1] - 3)
    window = best[:, None] + np.arange(-2, 3)
    weights = np.take_along_axis(rising, window, 1)
    middle = (offsets[1:] + offsets[:-1]) / 2
    places = (weights * middle[window]).sum(1) / np.maximum(weights.sum(1), 1e-6)
    edge = points + places[:, None] * across
    near = rising.max(1) >= _LEAST_SLOPE
    for kind in (cv2.DIST_HUBER, cv2.DIST_L2):
        if near.sum() < _INLIERS * count:
            return None
        vx, vy, x, y = cv2.fitLine(edge[near].astype(np.float32), kind, 0, 0.01, 0.01).ravel()
        off = (edge[:, 0] - x) * vy - (edge[:, 1] - y) * vx
        near &= np.abs(off) <= _MOST_OFF
    if near.sum() < _INLIERS * count:
        return None
    std = float(off[near].std()) * 4 / np.sqrt(near.sum())  # at the ends; neighbouring points err alike
    return np.array([x, y, vx, vy], float), std


def _meet(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Where two lines (x, y, dx, dy) meet; not finite where they are parallel."""
    matrix = np.array([[one[2], -other[2]], [one[3], -other[3]]])
    if abs(np.linalg.det(matrix)) < 0.05:
        return np.full(2, np.nan)
    share = np.linalg.solve(matrix, other[:2] - one[:2])[0]
    return one[:2] + share * one[2:]
