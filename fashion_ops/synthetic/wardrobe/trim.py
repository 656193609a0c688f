"""Marks on the cloth: ribs, hems, plackets, buttons, pockets, belts, pleats, chest prints."""

import numpy as np

from fashion_ops.synthetic.wardrobe.body import LEFT, RIGHT, WAIST_Y, Figure
from fashion_ops.synthetic.wardrobe.garment import Mark
from fashion_ops.synthetic.wardrobe.geometry import along, at_height, cut, ellipse, xy
from fashion_ops.synthetic.wardrobe.style import Style

_LETTERS = {  # strokes in a 2 x 3 box
    "A": ((0, 3, 1, 0, 2, 3), (0.4, 2, 1.6, 2)),
    "C": ((2, 0.4, 1, 0, 0, 1, 0, 2, 1, 3, 2, 2.6),),
    "E": ((2, 0, 0, 0, 0, 3, 2, 3), (0, 1.5, 1.6, 1.5)),
    "L": ((0, 0, 0, 3, 2, 3),),
    "N": ((0, 3, 0, 0, 2, 3, 2, 0),),
    "O": ((1, 0, 0, 1, 0, 2, 1, 3, 2, 2, 2, 1, 1, 0),),
    "S": ((2, 0.3, 1, 0, 0, 0.7, 2, 2.2, 1, 3, 0, 2.7),),
    "V": ((0, 0, 1, 3, 2, 0),),
    "Y": ((0, 0, 1, 1.4, 2, 0), (1, 1.4, 1, 3)),
}
_WORDS = ("NYC", "LOVE", "YES", "OSLO", "NAVY", "CALYSO")


def hem_lines(hem: np.ndarray, height: float = 0.07) -> tuple[Mark, ...]:
    """The fold of a hem and the stitch above it."""
    return Mark("line", hem, "dark", 0.035), Mark("line", hem - xy(0.0, height), "dark", 0.014)


def belt(left: np.ndarray, middle: np.ndarray, right: np.ndarray, height: float) -> tuple[Mark, ...]:
    """A belt across a waist with a buckle in the middle."""
    top = np.stack([left, middle, right])
    low = top[::-1] + xy(0.0, height)
    size = np.array([0.07, height / 2])
    center = middle + xy(0.0, height / 2)
    buckle = np.array([center + size * s for s in ((-1, -1), (1, -1), (1, 1), (-1, 1), (-1, -1))])
    return Mark("fill", np.vstack([top, low]), "trim"), Mark("line", buckle, "second", 0.025)


def pleats(top: tuple[np.ndarray, np.ndarray], hem: np.ndarray, count: int) -> tuple[Mark, ...]:
    """Lines fanning out from a waist to a hem."""
    marks = []
    for t in np.linspace(0, 1, count + 2)[1:-1]:
        start = top[0] + (top[1] - top[0]) * t
        marks.append(Mark("line", np.stack([start, along(hem, float(t))]), "dark", 0.022))
    return tuple(marks)


def top_marks(
    style: Style,
    figure: Figure,
    neck: np.ndarray,
    contours: dict[int, np.ndarray],
    hem: np.ndarray,
    holes: dict[int, np.ndarray],
) -> tuple[Mark, ...]:
    """All marks on the shell of a top or dress.

    Args:
        style: of the garment.
        figure: who wears it.
        neck: neckline (13, 2) from left to right.
        contours: side seams (13, 2) from armpit to hem, by side.
        hem: (k, 2) from left to right.
        holes: armholes (k, 2) from neck to armpit, by side.
    """
    marks: list[Mark] = []
    if style.kind == "dress":
        marks += _dress_waist(style, figure, contours, hem)
    else:
        marks += hem_lines(hem)
    if style.pleats:
        waist = (at_height(contours[LEFT], WAIST_Y), at_height(contours[RIGHT], WAIST_Y))
        marks += pleats(waist, hem, style.pleats)
    if style.kind == "dress":
        marks += hem_lines(hem, 0.09)
    if figure.facing > 0:
        if style.graphic:
            marks += _graphic(style, figure)
        if style.pockets and not style.graphic:
            corner = figure.front(0.16, 2.05)
            width, height = 0.26 * np.cos(figure.yaw), 0.3
            box = corner + np.array([[0, 0], [width, 0], [width, height], [0, height], [0, 0]])
            marks.append(Mark("line", box, "dark", 0.025))
        if style.closure == "buttons":
            ys = np.linspace(neck[6, 1] + 0.25, style.hem_y - 0.1, 4)
            line = np.vstack([neck[6], [figure.front(0, y) for y in ys], along(hem, 0.5)])
            for dx in (-0.06, 0.06):
                marks.append(Mark("line", line + xy(dx, 0), "dark", 0.016))
            marks.append(Mark("dot", cut(line, 0.06, 0.94, 7), "trim", 0.028))
    if style.neck in ("crew", "scoop", "v", "boat") and not style.closure:
        rib = "trim" if style.graphic in (1, 2) else "dark"
        marks.append(Mark("line", neck, rib, 0.09 if rib == "trim" else 0.06))
    elif style.neck == "high":
        marks += [Mark("line", neck + xy(0, dy), "dark", 0.02) for dy in (0.03, 0.1, 0.17)]
    elif style.neck == "shirt" and figure.facing > 0:
        for start, side in ((0, LEFT), (-1, RIGHT)):
            out = figure.image_side(side)
            tip = figure.front(side * 0.2, neck[6, 1] + 0.16)
            flap = np.stack([neck[start], neck[6], tip, neck[start] + xy(0.1 * out, 0.1)])
            marks += [Mark("fill", flap, "second"), Mark("line", flap[[1, 2, 3]], "dark", 0.025)]
    if not style.sleeve:
        marks += [Mark("line", hole, "dark", 0.05) for hole in holes.values()]
    return tuple(marks)


def _dress_waist(
    style: Style, figure: Figure, contours: dict[int, np.ndarray], hem: np.ndarray
) -> list[Mark]:
    left, right = (at_height(contours[s], WAIST_Y) for s in (LEFT, RIGHT))
    middle = figure.middle(WAIST_Y + 0.05)
    if style.belt:
        return list(belt(left, middle, right, 0.13))
    return [Mark("line", np.stack([left, middle, right]), "dark", 0.03)]


def _graphic(style: Style, figure: Figure) -> list[Mark]:
    """The print on the chest that ``style.graphic``, 1..8, selects."""
    squeeze = np.array([np.cos(figure.yaw), 1.0])
    center = figure.front(0, 2.45)
    kind = style.graphic
    if kind <= 4:
        word = _WORDS[(style.fabric.seed + kind) % (len(_WORDS) - 1)]
        size = 0.105
        marks = []
        for i, letter in enumerate(word):
            start = np.array([(i - len(word) / 2) * 2.7 * size, -1.5 * size])
            for stroke in _LETTERS[letter]:
                points = np.array(stroke, float).reshape(-1, 2) * size + start
                marks.append(Mark("line", points * squeeze + center, "second", 0.055))
        return marks
    if kind == 5:
        sun = ellipse((0, 0), 0.27, 0.27) * squeeze + center
        bars = [
            Mark("line", np.array([[-0.3, y], [0.3, y]]) * squeeze + center, "trim", 0.04)
            for y in (0.06, 0.14, 0.22)
        ]
        return [Mark("fill", sun, "second"), *bars]
    if kind == 6:
        u = np.linspace(0, 2 * np.pi, 40)
        heart = np.stack([16 * np.sin(u) ** 3, -13 * np.cos(u) + 5 * np.cos(2 * u)], 1) / 62
        return [Mark("fill", heart * squeeze + center, "trim")]
    if kind == 7:
        u = np.arange(11) * np.pi / 5
        star = np.stack([np.sin(u), -np.cos(u)], 1) * np.where(np.arange(11) % 2, 0.12, 0.29)[:, None]
        return [Mark("fill", star * squeeze + center, "second")]
    band = np.stack([figure.edge(2.3, LEFT, 0.4), figure.edge(2.3, RIGHT, 0.4)])
    block = np.vstack([band, band[::-1] + xy(0, 0.32)])
    return [Mark("fill", block, "second")]
