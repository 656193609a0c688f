"""Draws the picture of the loop: label, correct, retrain.

    python -m bench.loop_picture [--out docs/images/loop.png]

The photos are of the synthetic wardrobe. The champion's landmarks in the second one are the true ones,
but for some that are moved, and one of them is moved back on the page.
"""

import argparse
from pathlib import Path
from typing import Any

import cv2
import matplotlib as mpl
import numpy as np

mpl.use("Agg")
import matplotlib.pyplot as plt
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from fashion_ops.reports.draw import DrawnGarment, draw_garments
from fashion_ops.synthetic.wardrobe.plan import plan
from fashion_ops.synthetic.wardrobe.render import Image, photograph

SEED, SHOT, SIZE = 21, 0, 420
WRONG = {8: (44, -30), 11: (-60, -46)}  # moved landmarks: pixels
INK, SOFT, MAIN, CARD = "#1b1d22", "#62676f", "#2b62bd", "#ffffff"
STEPS = (  # centre, title, text
    ((1.35, 2.85), "your photos", "without labels"),
    ((4.35, 2.85), "champion", "finds garments"),
    ((7.35, 2.85), "select", "what teaches most first"),
    ((10.35, 2.85), "the page", "people correct"),
    ((10.35, 0.75), "data/inbox", "a labelled batch"),
    ((7.35, 0.75), "retraining", "what is stale"),
    ((4.35, 0.75), "gate", "better on the frozen set?"),
    ((1.35, 0.75), "service", "new champion, no pause"),
)
WIDTH, HEIGHT = 2.42, 1.1


def marked(image: Image, wrong: dict[int, tuple[int, int]]) -> np.ndarray:
    """The photo with its garments' landmarks, of which some of the first are moved."""
    items = [image.annotation[k] for k in sorted(image.annotation) if k.startswith("item")]
    drawn = []
    for number, item in enumerate(items):
        points = np.array(item["landmarks"], float).reshape(-1, 3)
        points[:, 2] = np.where(points[:, 2] > 0, 0.9, 0.0)
        for index, move in wrong.items() if number == 0 else ():
            points[index] += (*move, -0.8)
        drawn.append(
            DrawnGarment(item["category_id"], np.array(item["bounding_box"], float), points, 0.9)
        )
    return draw_garments(cv2.cvtColor(image.pixels, cv2.COLOR_BGR2RGB), drawn, legend=False)


def draw(out: Path) -> None:
    """Write the picture."""
    shots = plan(SEED, "train", 24, 0.35)
    image = photograph(shots[SHOT], SIZE)
    figure, axes = plt.subplots(figsize=(11.7, 5.4))
    axes.set(xlim=(0, 11.7), ylim=(0, 5.4))
    axes.axis("off")
    photos = (cv2.cvtColor(image.pixels, cv2.COLOR_BGR2RGB), marked(image, WRONG), marked(image, {}))
    for pixels, x in zip(photos, (1.35, 4.35, 10.35), strict=True):
        axes.imshow(pixels, extent=(x - 0.91, x + 0.91, 3.5, 5.3), aspect="auto", zorder=2)
    for number, shot in enumerate(shots[2 : 2 + 3 * 7 : 3][:6]):
        row, column = divmod(number, 3)
        x, y = 6.45 + 0.62 * column, 4.42 - 0.92 * row
        small = cv2.cvtColor(photograph(shot, SIZE // 2).pixels, cv2.COLOR_BGR2RGB)
        axes.imshow(small, extent=(x, x + 0.57, y, y + 0.86), aspect="auto", zorder=2)
        mark = {"boxstyle": "round,pad=0.15", "facecolor": MAIN, "edgecolor": "none"}
        axes.text(x + 0.06, y + 0.66, str(number + 1), fontsize=8, color="w", zorder=4, bbox=mark)
    for (x, y), title, text in STEPS:
        box = FancyBboxPatch(
            (x - WIDTH / 2, y - HEIGHT / 2), WIDTH, HEIGHT, "round,pad=0,rounding_size=0.14",
            facecolor=CARD, edgecolor="#c9ccd2", zorder=1,
        )  # fmt: skip
        axes.add_patch(box)
        axes.text(x, y + 0.14, title, ha="center", va="center", fontsize=12.5, weight="bold", color=INK)
        axes.text(x, y - 0.2, text, ha="center", va="center", fontsize=9.6, color=SOFT)
    centres = [centre for centre, *_ in STEPS]
    for start, end in zip(centres, (*centres[1:], None), strict=True):
        _arrow(axes, start, end or (centres[1][0] - 0.7, centres[1][1]))
    figure.savefig(out, dpi=100, bbox_inches="tight", facecolor="#f6f6f3")
    plt.close(figure)


def _arrow(axes: Any, start: tuple[float, float], end: tuple[float, float]) -> None:
    """An arrow between two boxes, from side to side, or from one row to the other."""
    (x1, y1), (x2, y2) = start, end
    if y1 == y2:
        side = np.sign(x2 - x1) * WIDTH / 2
        a, b = (x1 + side, y1), (x2 - side, y2)
    else:
        side = np.sign(y2 - y1) * HEIGHT / 2
        a, b = (x1, y1 + side), (x2, y2 - side)
    style = {"arrowstyle": "-|>", "mutation_scale": 16, "color": MAIN, "linewidth": 1.8}
    axes.add_patch(FancyArrowPatch(a, b, shrinkA=3, shrinkB=3, zorder=3, **style))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("docs/images/loop.png"))
    draw(parser.parse_args().out)
