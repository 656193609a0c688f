"""Annotations in DeepFashion2's released format.

A landmark outside the image is not labelled (0, 0, 0); a covered one has its true position and
visibility 1. Polygons are the outline, then sleeves, legs or panels again, as in the released files.
"""

from typing import Any

import cv2
import numpy as np

from fashion_ops.synthetic.wardrobe.canvas import OVERSAMPLING, Canvas
from fashion_ops.synthetic.wardrobe.garment import Garment
from fashion_ops.taxonomy import category

NO_WEAR, FRONTAL, SIDE_OR_BACK = 1, 2, 3
_MIN_VISIBLE = 0.006  # share of the image from which a garment is labelled
_MIN_LANDMARKS = 2


def to_image(points: np.ndarray) -> np.ndarray:
    """Canvas pixels as image pixels; the first pixel of both has its centre at (0, 0)."""
    return (points + 0.5) / OVERSAMPLING - 0.5


def label_item(
    canvas: Canvas,
    garment: Garment,
    number: int,
    style: int,
    viewpoint: int,
    *,
    exact: bool = False,
) -> dict[str, Any] | None:
    """One item of the annotation, or None if too little of the garment shows.

    Args:
        canvas: the finished painting.
        garment: that is labelled.
        number: of the garment in the image.
        style: its style number in DeepFashion2's sense; 0 for a garment without a pair.
        viewpoint: ``NO_WEAR``, ``FRONTAL`` or ``SIDE_OR_BACK``.
        exact: label also a garment of which fewer than two landmarks lie in the image, so that none
            teaches a detector that it is background, and cut the polygons of sleeves, legs and panels
            at the border. The first edition, whose garments are seldom cut, leaves such garments out
            and moves the points of polygons onto the border.
    """
    size = np.array([canvas.width, canvas.height]) // OVERSAMPLING
    positions, parts = garment.ordered()
    on_canvas = canvas.frame.apply(positions)
    on_image = np.round(to_image(on_canvas)).astype(int)
    inside = ((on_image >= 0) & (on_image < size)).all(1)
    landmarks = np.zeros((len(parts), 3), int)
    for i in np.flatnonzero(inside):
        visible = canvas.is_visible(number, parts[i], on_canvas[i])
        landmarks[i] = (*on_image[i], 2 if visible else 1)
    showing = canvas.showing(number)
    painted = canvas.painted(number)
    area, whole = int(showing.sum()), int(cv2.countNonZero(painted))
    if area < _MIN_VISIBLE * size.prod() or (inside.sum() < _MIN_LANDMARKS and not exact):
        return None
    box = box_around(showing, landmarks[inside, :2])
    share = (box[2] - box[0]) * (box[3] - box[1]) / size.prod()
    info = category(garment.style.category_id)
    return {
        "segmentation": _polygons(canvas, garment, painted, size, exact),
        "scale": 1 if share < 0.1 else 2 if share <= 0.4 else 3,
        "viewpoint": viewpoint,
        "zoom_in": _level(1 - inside.mean(), 0.08, 0.4),
        "landmarks": landmarks.ravel().tolist(),
        "style": style,
        "bounding_box": box.tolist(),
        "category_id": info.id,
        "occlusion": _level(1 - area / max(whole, 1), 0.15, 0.5),
        "category_name": info.label,
    }


def _level(share: float, medium: float, high: float) -> int:
    return 1 if share < medium else 2 if share < high else 3


def box_around(showing: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Tight box (4,), x1, y1, x2, y2, around a mask (h, w) and landmarks (k, 2), all in pixels."""
    columns, rows = np.flatnonzero(showing.any(0)), np.flatnonzero(showing.any(1))
    points = np.vstack([landmarks, (columns[0], rows[0]), (columns[-1], rows[-1])])
    return np.concatenate([points.min(axis=0), points.max(axis=0)]).astype(int)


def clip_polygon(points: np.ndarray, size: np.ndarray) -> np.ndarray:
    """The part of a polygon (k, 2) that lies in an image, (n, 2); n is 0 if there is none.

    Sutherland and Hodgman, "Reentrant polygon clipping", 1974: one side of the image after the other.

    Args:
        points: corners in pixels.
        size: width and height of the image, pixels.
    """
    if ((points >= 0) & (points <= size - 1)).all():
        return points
    for axis in (0, 1):
        for sign, limit in ((1, 0.0), (-1, 1.0 - size[axis])):
            depth = sign * points[:, axis] - limit  # how far a corner lies inside of this side
            inside, after = depth >= 0, np.roll(depth, -1)
            crosses = inside != (after >= 0)
            share = depth / np.where(crosses, depth - after, 1.0)
            crossings = points + share[:, None] * (np.roll(points, -1, axis=0) - points)
            kept = np.stack([inside, crosses], axis=1).ravel()
            points = np.stack([points, crossings], axis=1).reshape(-1, 2)[kept]
    return points


def _polygons(
    canvas: Canvas, garment: Garment, painted: np.ndarray, size: np.ndarray, exact: bool
) -> list[list[int]]:
    """Outline of the painted garment within the image, then its sleeves, legs or panels."""
    contours, _ = cv2.findContours(painted, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    shapes = [max(contours, key=cv2.contourArea)]
    for repeat in garment.repeats:
        points = to_image(canvas.frame.apply(repeat))
        if exact:
            points = clip_polygon(points, size)
        points = np.clip(np.round(points), 0, size - 1)
        if len(points):
            shapes.append(points.astype(np.int32)[:, None])
    polygons = [np.asarray(cv2.approxPolyDP(s, 1.0, True), np.int32) for s in shapes]
    return [[int(v) for v in p.ravel()] for p in polygons if len(p) >= 3 and cv2.contourArea(p) > 2]
