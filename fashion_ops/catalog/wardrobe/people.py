"""Skin, hair, faces and shoes of a figure."""

from dataclasses import dataclass

import numpy as np

from fashion_ops.catalog.wardrobe.body import CROTCH_Y, LEFT, RIGHT, Figure
from fashion_ops.catalog.wardrobe.canvas import Canvas
from fashion_ops.catalog.wardrobe.fabric import Color, colors
from fashion_ops.catalog.wardrobe.geometry import curve, cut, ellipse, limb, xy
from fashion_ops.catalog.wardrobe.sleeves import ARM_WIDTH, strip

_SKIN = colors("f6d7c3 f0c5a6 e5b08c cf9470 a96f4c 7c4d35 593626")
_HAIR = colors("1c1714 2e211b 4a3021 6b4328 94602f c79a55 8a3b22 5a5a60")
_SHOES = colors("1e1e22 f3f1ec 7a4b2e c23b3b 35506e c9b08a")
_LIPS = colors("b5544f c9636a 9c4440 a83d4b")
HAIR_STYLES = ("crop", "bob", "long", "wavy", "bun", "cap")


@dataclass(frozen=True)
class Person:
    """What is the same about a person in every picture of them."""

    skin: Color
    hair: Color
    shoes: Color
    lips: Color
    cap: Color
    hair_style: str
    hair_in_front: tuple[bool, bool]  # long hair falls over the left / right shoulder


def sample_person(rng: np.random.Generator) -> Person:
    """Somebody."""
    return Person(
        skin=_SKIN[rng.choice(len(_SKIN), p=[0.16, 0.2, 0.2, 0.16, 0.12, 0.09, 0.07])],
        hair=_HAIR[rng.choice(len(_HAIR), p=[0.26, 0.22, 0.16, 0.1, 0.08, 0.07, 0.06, 0.05])],
        shoes=_SHOES[rng.integers(len(_SHOES))],
        lips=_LIPS[rng.integers(len(_LIPS))],
        cap=_SHOES[rng.integers(len(_SHOES))],
        hair_style=str(rng.choice(HAIR_STYLES, p=[0.22, 0.18, 0.24, 0.14, 0.14, 0.08])),
        hair_in_front=(bool(rng.random() < 0.45), bool(rng.random() < 0.45)),
    )


def _shade(color: Color, factor: float) -> Color:
    b, g, r = (int(min(255, c * factor)) for c in color)
    return b, g, r


def paint_body(canvas: Canvas, figure: Figure, person: Person) -> None:
    """Legs, shoes, torso and neck."""
    order = (figure.near, -figure.near) if figure.is_side else (LEFT, RIGHT)
    for side in order[::-1]:
        joints = figure.legs[side]
        out = figure.picture_side(side)
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
    top = figure.point(0, 0.75, 0.08)
    low = figure.point(0, 1.42)
    w = 0.21
    column = np.array([top - xy(w, 0), top + xy(w, 0), low + xy(w + 0.07, 0), low - xy(w + 0.07, 0)])
    canvas.paint([column], _shade(person.skin, 0.94), volume=0.2, soft=0.2, shadow=0.0)


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
    """An arm with its hand, as far as a sleeve (share of the arm) does not cover it."""
    arm = figure.arms[side]
    out = figure.picture_side(side)
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


def paint_hair_behind(canvas: Canvas, figure: Figure, person: Person) -> None:
    """The hair that falls behind a figure seen from the front."""
    if figure.facing < 0:
        return
    length = {"bob": 1.22, "long": 2.15, "wavy": 1.9}.get(person.hair_style)
    if length is None:
        return
    c = _head(figure)
    w = 0.47
    shape = curve(
        [
            c + xy(0, -0.56),
            c + xy(w, -0.2),
            c + xy(w + 0.04, 0.4),
            c + xy(w * 0.95, length - 0.5),
            c + xy(0, length - 0.44),
            c + xy(-w * 0.95, length - 0.5),
            c + xy(-w - 0.04, 0.4),
            c + xy(-w, -0.2),
            c + xy(0, -0.56),
        ],
        5,
    )
    canvas.paint([shape], _shade(person.hair, 0.8), volume=0.25, soft=0.3, shadow=0.15)


def _head(figure: Figure) -> np.ndarray:
    return figure.point(0, 0.5, 0.08)


def paint_head(canvas: Canvas, figure: Figure, person: Person) -> None:
    """Head, face and the hair in front; from behind, all of the hair."""
    c = _head(figure)
    turn = float(np.sin(figure.yaw))
    away = figure.facing < 0
    for side in (-1, 1):  # ears
        if turn * side <= 0.3 or away:
            canvas.paint(
                [ellipse(c + xy(0.38 * side, 0.06), 0.07, 0.11)], person.skin, volume=0.2, soft=0.1
            )
    face = curve(
        [
            c + xy(0, -0.48),
            c + xy(0.34, -0.3),
            c + xy(0.385, 0.02),
            c + xy(0.29, 0.33),
            c + xy(0.1, 0.5),
            c + xy(-0.1, 0.5),
            c + xy(-0.29, 0.33),
            c + xy(-0.385, 0.02),
            c + xy(-0.34, -0.3),
            c + xy(0, -0.48),
        ],
        4,
    )
    canvas.paint([face], person.skin, volume=0.2, soft=0.3, shadow=0.3)
    if not away:
        _paint_face(canvas, c, turn, person)
    _paint_hair(canvas, figure, c, turn, person)


def _paint_face(canvas: Canvas, c: np.ndarray, turn: float, person: Person) -> None:
    shift = 0.2 * turn
    squeeze = np.sqrt(1 - 0.6 * turn * turn)
    dark = _shade(person.hair, 0.6)
    for side in (-1, 1):
        x = shift + 0.155 * side * squeeze
        if abs(x) > 0.33:
            continue
        eye = c + xy(x, 0.03)
        canvas.paint([ellipse(eye, 0.055 * squeeze, 0.034)], (240, 244, 246), volume=0, shadow=0)
        canvas.paint(
            [ellipse(eye + xy(0.02 * turn, 0.003), 0.03, 0.036)], (38, 34, 36), volume=0, shadow=0
        )
        brow = curve(
            [eye + xy(-0.08, -0.075), eye + xy(0, -0.105), eye + xy(0.08, -0.075), eye + xy(0, -0.085)],
            3,
        )
        canvas.paint([brow], dark, volume=0, shadow=0)
    nose = np.array(
        [c + xy(shift * 1.25 - 0.03, 0.2), c + xy(shift * 1.25, 0.13), c + xy(shift * 1.25 + 0.04, 0.2)]
    )
    canvas.paint([nose], _shade(person.skin, 0.85), volume=0, shadow=0)
    canvas.paint([ellipse(c + xy(shift, 0.315), 0.1 * squeeze, 0.034)], person.lips, volume=0, shadow=0)


def _paint_hair(canvas: Canvas, figure: Figure, c: np.ndarray, turn: float, person: Person) -> None:
    style, color = person.hair_style, person.hair
    if figure.facing < 0:
        length = {"bob": 0.72, "long": 1.6, "wavy": 1.35, "bun": 0.42, "crop": 0.36, "cap": 0.36}[style]
        w = 0.43
        bottom = c + xy(0, length)
        narrow = 0.75 if length < 0.5 else 0.95
        shape = curve(
            [
                c + xy(0, -0.56),
                c + xy(w, -0.25),
                c + xy(w, 0.2),
                bottom + xy(w * narrow, -0.1),
                bottom,
                bottom + xy(-w * narrow, -0.1),
                c + xy(-w, 0.2),
                c + xy(-w, -0.25),
                c + xy(0, -0.56),
            ],
            5,
        )
        canvas.paint([shape], color, volume=0.3, soft=0.3, shadow=0.25)
    else:
        part = -0.1 if person.hair_in_front[0] else 0.12
        low = 0.1 if style in ("crop", "bun", "cap") else 0.3
        fringe = curve(
            [
                c + xy(-0.41, low),
                c + xy(-0.44, -0.2),
                c + xy(-0.26, -0.53),
                c + xy(0.0, -0.6),
                c + xy(0.26, -0.53),
                c + xy(0.44, -0.2),
                c + xy(0.41, low),
                c + xy(0.335, -0.12),
                c + xy(0.2 + turn * 0.1, -0.26),
                c + xy(part + turn * 0.2, -0.34),
                c + xy(-0.2 + turn * 0.1, -0.24),
                c + xy(-0.335, -0.12),
                c + xy(-0.41, low),
            ],
            5,
        )
        canvas.paint([fringe], color, volume=0.3, soft=0.22, shadow=0.2)
        if style in ("long", "wavy"):
            for side, falls in zip((-1, 1), person.hair_in_front, strict=True):
                if falls:
                    _paint_strand(canvas, c, side, 1.5 if style == "long" else 1.2, color)
    if style == "bun":
        canvas.paint([ellipse(c + xy(-0.06 * turn, -0.66), 0.19, 0.17)], color, volume=0.3, soft=0.15)
    if style == "cap":
        dome = curve(
            [
                c + xy(-0.43, -0.16),
                c + xy(-0.38, -0.48),
                c + xy(0, -0.64),
                c + xy(0.38, -0.48),
                c + xy(0.43, -0.16),
                c + xy(0, -0.24),
                c + xy(-0.43, -0.16),
            ],
            5,
        )
        canvas.paint([dome], person.cap, volume=0.3, soft=0.25)
        if figure.facing > 0:
            brim = ellipse(c + xy(0.2 * turn, -0.2), 0.36, 0.075)
            canvas.paint([brim], _shade(person.cap, 0.75), volume=0.1, shadow=0.25)


def _paint_strand(canvas: Canvas, c: np.ndarray, side: int, length: float, color: Color) -> None:
    shape = curve(
        [
            c + xy(0.3 * side, -0.3),
            c + xy(0.47 * side, 0.1),
            c + xy(0.5 * side, 0.6),
            c + xy(0.47 * side, length),
            c + xy(0.3 * side, length + 0.12),
            c + xy(0.24 * side, 0.7),
            c + xy(0.33 * side, 0.2),
            c + xy(0.3 * side, -0.3),
        ],
        5,
    )
    canvas.paint([shape], color, volume=0.3, soft=0.16, shadow=0.25)
