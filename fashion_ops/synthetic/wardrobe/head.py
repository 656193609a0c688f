"""Heads: face, hair and caps, in heads relative to the middle of the head."""

import numpy as np

from fashion_ops.synthetic.wardrobe.body import Figure
from fashion_ops.synthetic.wardrobe.canvas import Canvas
from fashion_ops.synthetic.wardrobe.fabric import Color
from fashion_ops.synthetic.wardrobe.garment import Mark
from fashion_ops.synthetic.wardrobe.geometry import curve, ellipse, xy
from fashion_ops.synthetic.wardrobe.people import Person, shade

_EYE_WHITE, _PUPIL = (240, 244, 246), (38, 34, 36)


def _half(*points: tuple[float, float]) -> np.ndarray:
    """A closed symmetric outline, from its right half from the top down."""
    right = np.array(points)
    return np.vstack([right, (right * (-1, 1))[::-1], right[:1]])


_FACE = _half((0.0, -0.48), (0.32, -0.32), (0.375, 0.0), (0.31, 0.28), (0.13, 0.48))
_CAP = np.vstack(
    [_half((0.0, -0.64), (0.37, -0.49), (0.43, -0.16))[:-2], [(-0.2, -0.22), (0.2, -0.22)]]
)
# How far hair falls below the middle of the head, by style: behind the back, over a shoulder.
_BACK = {"crop": 0.36, "cap": 0.38, "bun": 0.42, "bob": 0.74, "wavy": 1.45, "long": 1.75}
_FRONT = {"wavy": 1.15, "long": 1.4}


def middle(figure: Figure) -> np.ndarray:
    """The middle of the head in the image plane."""
    return figure.point(0, 0.58, 0.08)


def _mane(length: float, width: float, wave: float) -> np.ndarray:
    """The outline of hair around the head that ends ``length`` below its middle."""
    tip = 0.8 if length < 0.5 else 0.62
    points = [(0.0, -0.57), (0.3, -0.47), (width, -0.18), (width + 0.02, 0.2)]
    if length > 0.6:
        points += [(width + 0.03 + wave, 0.2 + 0.45 * (length - 0.2)), (width - wave, length - 0.22)]
    return _half(*points, (width * tip, length - 0.04), (width * 0.25, length + 0.02))


def _strands(c: np.ndarray, xs: tuple[float, ...], top: float, low: float) -> tuple[Mark, ...]:
    """Light lines down the hair."""
    lines = []
    for x in xs:
        points = [c + xy(x * 0.8, top), c + xy(x * 1.1, (top + low) / 2), c + xy(x * 0.95, low)]
        lines.append(Mark("line", curve(points, 4), "light", 0.018))
    return tuple(lines)


def paint_hair_behind(canvas: Canvas, figure: Figure, person: Person) -> None:
    """Paint the hair that falls behind a figure seen from the front."""
    if figure.facing > 0 and person.hair_style in ("bob", "wavy", "long"):
        wave = 0.05 if person.hair_style == "wavy" else 0.0
        shape = curve(middle(figure) + _mane(_BACK[person.hair_style], 0.46, wave), 5)
        canvas.paint([shape], shade(person.hair, 0.8), volume=0.25, soft=0.3, shadow=0.15)


def paint_head(canvas: Canvas, figure: Figure, person: Person) -> None:
    """Paint head, face and the hair in front; from behind, all of the hair."""
    c = middle(figure)
    turn = float(np.sin(figure.yaw))
    away = figure.facing < 0
    for side in (-1, 1):
        if turn * side <= 0.3 or away:
            ear = ellipse(c + xy(0.37 * side, 0.04), 0.06, 0.1)
            canvas.paint([ear], person.skin, volume=0.2, soft=0.1)
    canvas.paint([curve(c + _FACE, 4)], person.skin, volume=0.2, soft=0.3, shadow=0.3)
    if away:
        length = _BACK[person.hair_style]
        wave = 0.05 if person.hair_style == "wavy" else 0.0
        marks = _strands(c, (-0.28, -0.1, 0.12, 0.3), -0.3, length - 0.15)
        shape = curve(c + _mane(length, 0.43, wave), 5)
        canvas.paint([shape], person.hair, marks=marks, volume=0.3, soft=0.3, shadow=0.25)
    else:
        _paint_face(canvas, c, turn, person)
        _paint_fringe(canvas, c, turn, person)
    if person.hair_style == "bun":
        canvas.paint([ellipse(c + xy(-0.06 * turn, -0.66), 0.19, 0.17)], person.hair, soft=0.15)
    if person.hair_style == "cap":
        canvas.paint([curve(c + np.vstack([_CAP, _CAP[:1]]), 5)], person.cap, soft=0.25)
        if not away:
            brim = ellipse(c + xy(0.2 * turn, -0.21), 0.37, 0.075)
            canvas.paint([brim], shade(person.cap, 0.75), volume=0.1)


def _paint_face(canvas: Canvas, c: np.ndarray, turn: float, person: Person) -> None:
    shift, squeeze = 0.2 * turn, float(np.sqrt(1 - 0.6 * turn * turn))

    def spot(x: float, y: float, rx: float, ry: float, color: Color) -> None:
        canvas.paint([ellipse(c + xy(x, y), rx * squeeze, ry, n=14)], color, volume=0, shadow=0)

    for side in (-1, 1):
        x = shift + 0.15 * side * squeeze
        if abs(x) > 0.31:
            continue
        spot(x, 0.145, 0.07, 0.045, _blush(person.skin))
        spot(x, 0.03, 0.056, 0.036, _EYE_WHITE)
        spot(x + 0.02 * turn, 0.032, 0.032, 0.037, _PUPIL)
        brow = np.array([(-0.08, -0.07), (0, -0.105), (0.08, -0.07), (0, -0.082)]) * (squeeze, 1)
        canvas.paint([c + xy(x, 0) + brow], shade(person.hair, 0.6), volume=0, shadow=0)
    nose = c + xy(shift * 1.25, 0) + np.array([(-0.03, 0.19), (0, 0.1), (0.035, 0.19), (0, 0.2)])
    canvas.paint([nose], shade(person.skin, 0.87), volume=0, shadow=0)
    spot(shift, 0.305, 0.09, 0.03, person.lips)


def _blush(skin: Color) -> Color:
    b, g, r = skin
    return int(b * 0.9), int(g * 0.92), min(255, int(r * 1.02))


def _paint_fringe(canvas: Canvas, c: np.ndarray, turn: float, person: Person) -> None:
    """Paint the hair over the forehead, and long hair that falls over a shoulder."""
    style = person.hair_style
    low = 0.08 if style in ("crop", "bun", "cap") else 0.32
    part = (-0.1 if person.hair_in_front[0] else 0.12) + 0.2 * turn
    outer = [(-0.395, low), (-0.44, -0.18), (-0.28, -0.5), (0, -0.59), (0.28, -0.5), (0.44, -0.18)]
    inner = [(0.395, low), (0.34, -0.12), (0.2 + 0.1 * turn, -0.27), (part, -0.35)]
    inner += [(-0.2 + 0.1 * turn, -0.25), (-0.34, -0.12), (-0.395, low)]
    shape = curve(c + np.array(outer + inner), 5)
    canvas.paint([shape], person.hair, volume=0.3, soft=0.22, shadow=0.2)
    for side, falls in zip((-1, 1), person.hair_in_front, strict=True):
        if falls and style in _FRONT:
            wave, end = (0.06 if style == "wavy" else 0.0), _FRONT[style]
            lock = [(0.37, -0.3), (0.46, 0.1), (0.48 + wave, 0.55), (0.47 - wave, 0.85 * end)]
            lock += [
                (0.33, end),
                (0.27 - wave, 0.8 * end),
                (0.3 + wave, 0.5),
                (0.34, 0.1),
                (0.37, -0.3),
            ]
            marks = _strands(c, (0.4 * side,), 0.1, end * 0.85)
            shape = curve(c + np.array(lock) * (side, 1), 5)
            canvas.paint([shape], person.hair, marks=marks, volume=0.3, soft=0.16)
