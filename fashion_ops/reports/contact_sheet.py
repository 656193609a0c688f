"""A page of the synthetic wardrobe: for each category a shop/user pair, then other garments.

Every second image shows its landmarks: left red, right blue, middle green, hollow where occluded.
The page of the second edition ends with images that show no garment; photos may follow, to compare.
"""

from collections.abc import Sequence

import cv2
import numpy as np

from fashion_ops.synthetic.wardrobe import photos
from fashion_ops.synthetic.wardrobe.plan import Shot, plan
from fashion_ops.synthetic.wardrobe.render import Image, photograph
from fashion_ops.synthetic.wardrobe.second import render as second
from fashion_ops.synthetic.wardrobe.second.plan import Snapshot
from fashion_ops.synthetic.wardrobe.second.plan import plan as second_plan
from fashion_ops.taxonomy import CATEGORIES, Category, category

_GAP, _TITLE, _BLOCKS = 6, 26, 2
_INK = (60, 52, 48)
_LEFT, _RIGHT, _MIDDLE = (64, 96, 240), (236, 140, 40), (60, 180, 60)
_SIZE = 256  # at which images are drawn before they are resized for the page


def contact_sheet(
    seed: int, columns: int, size: int, edition: int = 1, beside: Sequence[str] = ()
) -> np.ndarray:
    """Draw the page, categories in two blocks side by side.

    Args:
        seed: of the garments, poses and backgrounds.
        columns: images of each category.
        size: longer side of an image on the page, pixels.
        edition: of the wardrobe, 1 or 2.
        beside: paths of photos, some of which follow the drawings for comparison.

    Returns:
        BGR uint8 (H, W, 3).

    Raises:
        ValueError: a photo cannot be read.
    """
    strips = []
    if edition == 1:
        shots = plan(seed, "train", 400 * columns, 0.35)
    else:
        shots = second_plan(seed, "train", 400 * columns, 0.35)
    for info in CATEGORIES:
        images = []
        for column, (pixels, item) in enumerate(_select(shots, info, columns)):
            image = draw_landmarks(pixels, item, size / _SIZE) if column % 2 else pixels
            images.append(image)
        strips.append(_strip(f"{info.id}  {info.label}", images, columns, size))
    empty = [_draw(shot).pixels for shot in shots if not shot.garments][:columns]
    if empty:
        strips.append(_strip("no garment", empty, columns, size))
    picked = (
        [photos.read(beside[i]) for i in np.linspace(0, len(beside) - 1, 4 * columns).astype(int)]
        if beside
        else []
    )
    for start in range(0, len(picked), columns):
        strips.append(_strip("photos", picked[start : start + columns], columns, size))
    rows = -(-len(strips) // _BLOCKS)
    strips += [np.full_like(strips[0], 255)] * (rows * _BLOCKS - len(strips))
    return np.hstack([np.vstack(strips[b * rows : (b + 1) * rows]) for b in range(_BLOCKS)])


def _strip(title: str, images: list[np.ndarray], columns: int, size: int) -> np.ndarray:
    """A titled row of images, each shrunk to ``size`` and centred in its place."""
    strip = np.full((size + _TITLE + _GAP, (size + _GAP) * columns + 4 * _GAP, 3), 255, np.uint8)
    cv2.putText(strip, title, (_GAP, 19), cv2.FONT_HERSHEY_DUPLEX, 0.55, _INK, 1, cv2.LINE_AA)
    for column, pixels in enumerate(images):
        height, width = (round(side * size / max(pixels.shape[:2])) for side in pixels.shape[:2])
        image = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA)
        x = _GAP + column * (size + _GAP) + (size - width) // 2
        y = _TITLE + (size - height) // 2
        strip[y : y + height, x : x + width] = image
    return strip


def draw_landmarks(pixels: np.ndarray, item: dict, zoom: float) -> np.ndarray:
    """A resized copy of a BGR image with the landmarks of one item of its annotation."""
    interpolation = cv2.INTER_AREA if zoom < 1 else cv2.INTER_CUBIC
    out = cv2.resize(pixels, None, fx=zoom, fy=zoom, interpolation=interpolation)
    names = category(item["category_id"]).landmark_names
    for name, (x, y, v) in zip(names, np.array(item["landmarks"]).reshape(-1, 3), strict=True):
        if not v:
            continue
        color = _LEFT if name.startswith("left") else _RIGHT if name.startswith("right") else _MIDDLE
        center = (int((x + 0.5) * zoom * 8), int((y + 0.5) * zoom * 8))
        cv2.circle(out, center, 22, (255, 255, 255), -1, cv2.LINE_AA, 3)
        cv2.circle(out, center, 15, color, -1 if v == 2 else 1, cv2.LINE_AA, 3)
    return out


def _draw(shot: Shot) -> Image:
    if isinstance(shot, Snapshot):
        return second.photograph(shot, _SIZE)
    return photograph(shot, _SIZE)


def _select(shots: Sequence[Shot], info: Category, count: int) -> list[tuple[np.ndarray, dict]]:
    """Images and items of a category that show nearly the whole garment: a pair, then single ones."""
    selected: list[tuple[np.ndarray, dict]] = []
    last_pair = -1
    for shot in shots:
        lead = next((category_id for category_id, _, style in shot.garments if style), 0)
        if lead != info.id or (shot.pair_id == last_pair and len(selected) != 1):
            continue
        image = _draw(shot)
        items = [v for k, v in image.annotation.items() if k.startswith("item")]
        item = next((i for i in items if i["category_id"] == info.id), None)
        cut_off = 1 if type(shot) is Shot else 2
        if item is None or item["zoom_in"] > cut_off or item["occlusion"] > 2 or item["scale"] == 1:
            continue
        selected.append((image.pixels, item))
        last_pair = shot.pair_id
        if len(selected) == count:
            break
    return selected
