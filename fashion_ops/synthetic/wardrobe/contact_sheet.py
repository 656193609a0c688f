"""A page of the wardrobe to look at: for each category a shop/user pair, then other garments.

    python -m fashion_ops.synthetic.wardrobe.contact_sheet --out docs/images/wardrobe.png

Every second image shows its landmarks: left red, right blue, middle green, hollow where covered.
"""

import argparse
from pathlib import Path

import cv2
import numpy as np

from fashion_ops.synthetic.wardrobe.plan import Shot, plan
from fashion_ops.synthetic.wardrobe.render import photograph
from fashion_ops.taxonomy import CATEGORIES, Category

_GAP, _TITLE, _BLOCKS = 6, 26, 2
_INK = (60, 52, 48)
_LEFT, _RIGHT, _MIDDLE = (64, 96, 240), (236, 140, 40), (60, 180, 60)
_SIZE = 256  # images are taken at this size and shown smaller or larger


def draw_landmarks(pixels: np.ndarray, item: dict, zoom: float = 1.0) -> np.ndarray:
    """A resized copy of an image with the landmarks of one item of its annotation."""
    how = cv2.INTER_AREA if zoom < 1 else cv2.INTER_CUBIC
    out = cv2.resize(pixels, None, fx=zoom, fy=zoom, interpolation=how)
    names = CATEGORIES[item["category_id"] - 1].landmark_names
    for name, (x, y, v) in zip(names, np.array(item["landmarks"]).reshape(-1, 3), strict=True):
        if not v:
            continue
        color = _LEFT if name.startswith("left") else _RIGHT if name.startswith("right") else _MIDDLE
        center = (int((x + 0.5) * zoom * 8), int((y + 0.5) * zoom * 8))
        cv2.circle(out, center, 22, (255, 255, 255), -1, cv2.LINE_AA, 3)
        cv2.circle(out, center, 15, color, -1 if v == 2 else 1, cv2.LINE_AA, 3)
    return out


def _chosen(shots: list[Shot], wanted: Category, count: int) -> list[tuple[np.ndarray, dict]]:
    """Images led by a garment of this category that show nearly all of it: a pair, then singles."""
    chosen: list[tuple[np.ndarray, dict]] = []
    last_pair = -1
    for shot in shots:
        lead = next(category_id for category_id, _, style in shot.garments if style)
        if lead != wanted.id or (shot.pair_id == last_pair and len(chosen) != 1):
            continue
        image = photograph(shot, _SIZE)
        items = [v for k, v in image.annotation.items() if k.startswith("item")]
        item = next((i for i in items if i["category_id"] == wanted.id), None)
        if item is None or item["zoom_in"] > 1 or item["occlusion"] > 2 or item["scale"] == 1:
            continue
        chosen.append((image.pixels, item))
        last_pair = shot.pair_id
        if len(chosen) == count:
            break
    return chosen


def contact_sheet(seed: int, columns: int, size: int) -> np.ndarray:
    """The page as BGR uint8, categories in two blocks side by side."""
    shots = plan(seed, "train", 400 * columns, 0.35)
    strips = []
    for info in CATEGORIES:
        strip = np.full((size + _TITLE + _GAP, (size + _GAP) * columns + 4 * _GAP, 3), 255, np.uint8)
        title = f"{info.id}  {info.label}"
        cv2.putText(strip, title, (_GAP, 19), cv2.FONT_HERSHEY_DUPLEX, 0.55, _INK, 1, cv2.LINE_AA)
        for column, (pixels, item) in enumerate(_chosen(shots, info, columns)):
            if column % 2:
                shown = draw_landmarks(pixels, item, size / _SIZE)
            else:
                shown = cv2.resize(pixels, (size, size), interpolation=cv2.INTER_AREA)
            x = _GAP + column * (size + _GAP)
            strip[_TITLE : _TITLE + size, x : x + size] = shown
        strips.append(strip)
    rows = -(-len(strips) // _BLOCKS)
    strips += [np.full_like(strips[0], 255)] * (rows * _BLOCKS - len(strips))
    return np.hstack([np.vstack(strips[b * rows : (b + 1) * rows]) for b in range(_BLOCKS)])


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description="Draw a page of the synthetic wardrobe.")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--columns", type=int, default=6, help="images of each category")
    parser.add_argument("--size", type=int, default=144, help="side of an image on the page, pixels")
    args = parser.parse_args()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(args.out), contact_sheet(args.seed, args.columns, args.size))


if __name__ == "__main__":
    main()
