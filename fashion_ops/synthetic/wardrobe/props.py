"""Objects in front of clothes: bags and their straps, phones, cups, leaves, balloons."""

import numpy as np

from fashion_ops.synthetic.wardrobe.body import LEFT, RIGHT, Figure
from fashion_ops.synthetic.wardrobe.canvas import Canvas
from fashion_ops.synthetic.wardrobe.fabric import colors, rgb
from fashion_ops.synthetic.wardrobe.geometry import curve, ellipse, xy
from fashion_ops.synthetic.wardrobe.people import shade

_LEATHER = colors("2a2320 7b4a2d b98652 8f2d2f e7dccb 3a4a5c c9a2a6")
_BRIGHT = colors("f26d6d f5b841 58b4ae 7a6fd0 f0f0f0 f59ab5")


def _round_box(center: np.ndarray, w: float, h: float) -> np.ndarray:
    u = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    c, s = np.cos(u), np.sin(u)
    return center + np.stack([w * np.sign(c) * np.abs(c) ** 0.4, h * np.sign(s) * np.abs(s) ** 0.4], 1)


def paint_bag(canvas: Canvas, figure: Figure, rng: np.random.Generator) -> None:
    """Paint a bag on a strap across the chest, or hanging from one shoulder."""
    side = int(rng.choice([LEFT, RIGHT]))
    color = _LEATHER[rng.integers(len(_LEATHER))]
    cross = rng.random() < 0.5
    hip = figure.edge(3.55, side, 0.12)
    shoulder = figure.point((-side if cross else side) * 0.5, 1.42)
    down = hip + xy(0.0, -0.1)
    across = np.array([0.035, 0.0])
    middle = (shoulder + down) / 2 + xy(0.0, 0.05)
    strap = np.vstack(
        [
            curve([shoulder - across, middle - across, down - across], 5),
            curve([down + across, middle + across, shoulder + across], 5),
        ]
    )
    canvas.paint([strap], color, volume=0, shadow=0.2, soft=0.12)
    w, h = rng.uniform(0.3, 0.42), rng.uniform(0.22, 0.34)
    body = _round_box(hip + xy(0, h * 0.6), w, h)
    canvas.paint([body], color, volume=0.3, soft=0.25, shadow=0.35)
    flap = _round_box(hip + xy(0, h * 0.25), w * 0.97, h * 0.6)
    canvas.paint([flap], shade(color, 0.82), volume=0.25, soft=0.2, shadow=0.15)
    canvas.paint([ellipse(hip + xy(0, h * 0.8), 0.05, 0.05)], (96, 180, 214), volume=0.2, soft=0.06)


def paint_in_hand(canvas: Canvas, figure: Figure, side: int, rng: np.random.Generator) -> None:
    """Paint a phone or a cup in a hand."""
    wrist = figure.arms[side].joints[2]
    fore = wrist - figure.arms[side].joints[1]
    hand = wrist + fore / np.hypot(*fore) * 0.24
    if rng.random() < 0.6:
        canvas.paint([_round_box(hand, 0.15, 0.29)], (34, 30, 30), volume=0.2, soft=0.1)
        canvas.paint([ellipse(hand + xy(-0.07, -0.2), 0.035, 0.035)], (90, 80, 76), volume=0, shadow=0)
    else:
        cup = hand + np.array([[-0.14, -0.25], [0.14, -0.25], [0.11, 0.2], [-0.11, 0.2]])
        canvas.paint([cup], (235, 240, 244), volume=0.25, soft=0.12)
        sleeve = hand + np.array([[-0.13, -0.1], [0.13, -0.1], [0.118, 0.1], [-0.118, 0.1]])
        canvas.paint([sleeve], _LEATHER[2], volume=0.1, soft=0.1, shadow=0)


def paint_foreground(canvas: Canvas, rng: np.random.Generator, around: np.ndarray) -> None:
    """Paint leaves or balloons in front of one edge of the clothes.

    Args:
        canvas: changed in place.
        rng: draws kind, place and colours.
        around: points (k, 2) of the clothes, heads.
    """
    low, high = around.min(0), around.max(0)
    left = rng.random() < 0.5
    x = low[0] if left else high[0]
    y = rng.uniform(low[1] + 0.3 * (high[1] - low[1]), high[1])
    span = float(max(high - low))
    if rng.random() < 0.5:
        green = rgb("3f7d4e") if rng.random() < 0.6 else rgb("86a35a")
        for _ in range(4):
            base = np.array([x + rng.uniform(-0.2, 0.2), y + 0.25 * span])
            tip = base + np.array([rng.uniform(-0.25, 0.25) * span, -rng.uniform(0.2, 0.4) * span])
            side = np.array([tip[1] - base[1], base[0] - tip[0]]) * 0.16
            leaf = np.vstack(
                [
                    curve([base, (base + tip) / 2 + side, tip], 4),
                    curve([tip, (base + tip) / 2 - side, base], 4),
                ]
            )
            canvas.paint([leaf], green, volume=0.3, soft=0.15, shadow=0.2)
        return
    for _ in range(2):
        center = np.array([x, y]) + rng.uniform(-0.09, 0.09, 2) * span
        radius = rng.uniform(0.06, 0.1) * span
        canvas.paint(
            [ellipse(center, radius, radius * 1.15)],
            _BRIGHT[rng.integers(len(_BRIGHT))],
            volume=0.35,
            soft=radius * 0.7,
            shadow=0.25,
        )
