"""A page of the wardrobe to look at: one row a category, pictures with and without their landmarks.

python -m fashion_ops.catalog.wardrobe.contact_sheet --out docs/images/wardrobe.png
"""

import argparse
from pathlib import Path

import cv2
import numpy as np

from fashion_ops.catalog.wardrobe.plan import Shot, plan
from fashion_ops.catalog.wardrobe.render import photograph
from fashion_ops.taxonomy import CATEGORIES

_MARGIN, _TITLE = 6, 26
_INK = (60, 52, 48)
_LEFT, _RIGHT, _MIDDLE = (64, 96, 240), (236, 140, 40), (60, 180, 60)


def draw_landmarks(pixels: np.ndarray, item: dict, zoom: int = 1) -> np.ndarray:
    """An enlarged copy with landmarks: left red, right blue, middle green; hollow where covered."""
    out = cv2.resize(pixels, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_CUBIC)
    names = CATEGORIES[item["category_id"] - 1].landmark_names
    points = np.array(item["landmarks"]).reshape(-1, 3)
    for name, (x, y, v) in zip(names, points, strict=True):
        if not v:
            continue
        color = _LEFT if name.startswith("left") else _RIGHT if name.startswith("right") else _MIDDLE
        center = (int((x + 0.5) * zoom), int((y + 0.5) * zoom))
        cv2.circle(out, center, zoom + 2, (255, 255, 255), -1, cv2.LINE_AA)
        cv2.circle(out, center, zoom + 1, color, -1 if v == 2 else 1, cv2.LINE_AA)
    return out


def _choose(seed: int, per_category: int, size: int, split: str) -> dict[int, list[tuple[Shot, str]]]:
    """For each category the first pictures in which it leads and shows well."""
    chosen: dict[int, list[tuple[Shot, str]]] = {c.id: [] for c in CATEGORIES}
    for shot in plan(seed, split, 4000, 0.0):
        lead = next(c for c, _, style in shot.garments if style)
        if len(chosen[lead]) >= per_category:
            continue
        for name, item in photograph(shot, 64).annotation.items():
            if name.startswith("item") and item["category_id"] == lead and item["zoom_in"] == 1:
                chosen[lead].append((shot, name))
        if all(len(rows) >= per_category for rows in chosen.values()):
            break
    return chosen


def contact_sheet(seed: int = 0, columns: int = 8, size: int = 256, split: str = "train") -> np.ndarray:
    """The page as BGR uint8; in each row every second picture shows its landmarks."""
    rows = []
    chosen = _choose(seed, columns, size, split)
    for info in CATEGORIES:
        strip = np.full(
            (size + _TITLE + _MARGIN, (size + _MARGIN) * columns + _MARGIN, 3), 255, np.uint8
        )
        title = f"{info.id}  {info.label}"
        cv2.putText(strip, title, (_MARGIN, 19), cv2.FONT_HERSHEY_DUPLEX, 0.6, _INK, 1, cv2.LINE_AA)
        for column, (shot, name) in enumerate(chosen[info.id]):
            picture = photograph(shot, size)
            item = picture.annotation.get(name)
            pixels = draw_landmarks(picture.pixels, item) if column % 2 and item else picture.pixels
            x = _MARGIN + column * (size + _MARGIN)
            strip[_TITLE : _TITLE + size, x : x + size] = pixels
        rows.append(strip)
    return np.vstack(rows)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--columns", type=int, default=8)
    parser.add_argument("--size", type=int, default=256)
    args = parser.parse_args()
    args.out.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(args.out), contact_sheet(args.seed, args.columns, args.size))


if __name__ == "__main__":
    main()
