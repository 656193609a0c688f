"""People: their appearance, and painting them from neck to shoes (``head`` paints the rest)."""

from dataclasses import dataclass

import numpy as np

from fashion_ops.synthetic.wardrobe.body import CROTCH_Y, LEFT, RIGHT, Figure
from fashion_ops.synthetic.wardrobe.canvas import Canvas
from fashion_ops.synthetic.wardrobe.fabric import Color, colors
from fashion_ops.synthetic.wardrobe.geometry import curve, cut, ellipse, limb, xy
from fashion_ops.synthetic.wardrobe.sleeves import ARM_WIDTH, strip

_SKIN = colors("f6d7c3 f0c5a6 e5b08c cf9470 a96f4c 7c4d35 593626")
_HAIR = colors("1c1714 2e211b 4a3021 6b4328 94602f c79a55 8a3b22 5a5a60")
_SHOES = colors("1e1e22 f3f1ec 7a4b2e c23b3b 35506e c9b08a")
_LIPS = colors("b5544f c9636a 9c4440 a83d4b")
HAIR_STYLES = ("crop", "bob", "long", "wavy", "bun", "cap")


@dataclass(frozen=True)
class Person:
    """The appearance of a person."""

    skin: Color
    hair: Color
    shoes: Color
    lips: Color
    cap: Color
    hair_style: str
    hair_in_front: tuple[bool, bool]  # long hair falls over the left / right shoulder


def sample_person(rng: np.random.Generator) -> Person:
    """A random person."""
    return Person(
        skin=_SKIN[rng.choice(len(_SKIN), p=[0.16, 0.2, 0.2, 0.16, 0.12, 0.09, 0.07])],
        hair=_HAIR[rng.choice(len(_HAIR), p=[0.26, 0.22, 0.16, 0.1, 0.08, 0.07, 0.06, 0.05])],
        shoes=_SHOES[rng.integers(len(_SHOES))],
        lips=_LIPS[rng.integers(len(_LIPS))],
        cap=_SHOES[rng.integers(len(_SHOES))],
        hair_style=str(rng.choice(HAIR_STYLES, p=[0.22, 0.18, 0.24, 0.14, 0.14, 0.08])),
        hair_in_front=(bool(rng.random() < 0.45), bool(rng.random() < 0.45)),
    )


def shade(color: Color, factor: float) -> Color:
    """A colour made darker (``factor`` below 1) or lighter."""
    b, g, r = (int(min(255, c * factor)) for c in color)
    return b, g, r


def paint_body(canvas: Canvas, figure: Figure, person: Person) -> None:
    """Paint legs, shoes, torso and neck."""
    order = (figure.near, -figure.near) if figure.is_side else (LEFT, RIGHT)
    for side in order[::-1]:
        joints = figure.legs[side]
        out = figure.image_side(side)
        outer, inner = limb(curve(joints), (0.31, 0.24, 0.185, 0.165, 0.10), out)
        canvas.paint(strip(outer, inner), person.skin, volume=0.28, soft=0.2, shadow=0.15)
        _paint_shoe(canvas, figure, person, joints[2], out)
    y = np.linspace(2.08, CROTCH_Y + 0.05, 12)
    left, right = figure.edge(y, LEFT, -0.02), figure.edge(y, RIGHT, -0.02)
    shoulders = [
        figure.point(s * x * figure.width, h)[None]
        for s, x, h in ((LEFT, 0.78, 1.56), (LEFT, 0.7, 1.85), (RIGHT, 0.7, 1.85), (RIGHT, 0.78, 1.56))
    ]
    neck = [figure.point(s * 0.24, 1.34) for s in (LEFT, RIGHT)]
    torso = np.vstack([neck[0], *shoulders[:2], left, right[::-1], *shoulders[2:], neck[1]])
    canvas.paint([torso], person.skin, volume=0.25, soft=0.35, shadow=0.0)
    top = figure.point(0, 0.8, 0.08)
    low = figure.point(0, 1.42)
    w = 0.18
    column = np.array([top - xy(w, 0), top + xy(w, 0), low + xy(w + 0.08, 0), low - xy(w + 0.08, 0)])
    canvas.paint([column], shade(person.skin, 0.94), volume=0.2, soft=0.2, shadow=0.0)


def _paint_shoe(canvas: Canvas, figure: Figure, person: Person, ankle: np.ndarray, out: int) -> None:
    toe = 0.1 * out if not figure.is_side else 0.24 * np.sign(np.sin(figure.yaw))
    sole = ankle + xy(0, 0.27)
    if figure.facing < 0:
        toe *= 0.4
    shape = curve(
        [
            ankle + xy(-0.12, -0.02),
            sole + xy(min(toe, 0) - 0.15, 0),
            sole + xy(max(toe, 0) + 0.15, 0),
            ankle + xy(0.12, -0.02),
        ],
        4,
    )
    canvas.paint([shape], person.shoes, volume=0.3, soft=0.14, shadow=0.2)


def paint_arm(canvas: Canvas, figure: Figure, person: Person, side: int, sleeve: float) -> None:
    """Paint an arm with its hand, where a sleeve (share of the arm) does not cover it."""
    arm = figure.arms[side]
    out = figure.image_side(side)
    line = arm.line
    if sleeve:
        start = max(sleeve - 0.12, 0.0)
        widths = np.interp(np.linspace(start, 1, 4), np.linspace(0, 1, 4), ARM_WIDTH)
        outer, inner = limb(cut(line, start, 1, 10), tuple(widths), out)
    else:
        armpit = figure.edge(2.06, side, -0.03)
        shoulder = figure.point(side * 0.77 * figure.width, 1.565)
        outer, inner = limb(line, ARM_WIDTH, out, shoulder, armpit, 0.3)
    direction = line[-1] - line[-3]
    direction /= np.hypot(*direction)
    hand = ellipse(
        line[-1] + direction * 0.2, 0.25, 0.115, float(np.arctan2(direction[1], direction[0]))
    )
    thumb_base = line[-1] + direction * 0.14
    across = np.array([-direction[1], direction[0]]) * -out
    thumb = ellipse(
        thumb_base + across * 0.09 + direction * 0.05,
        0.13,
        0.045,
        float(np.arctan2(direction[1] + across[1] * 0.6, direction[0] + across[0] * 0.6)),
    )
    canvas.paint([*strip(outer, inner), hand, thumb], person.skin, volume=0.26, soft=0.16, shadow=0.22)
