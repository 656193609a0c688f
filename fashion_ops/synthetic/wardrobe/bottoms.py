"""Shorts, trousers and skirts."""

import numpy as np

from fashion_ops.synthetic.wardrobe import trim
from fashion_ops.synthetic.wardrobe.body import ANKLE_Y, LEFT, RIGHT, SIDES, Figure
from fashion_ops.synthetic.wardrobe.garment import Garment, Mark, Part
from fashion_ops.synthetic.wardrobe.geometry import along, curve, cut, limb, xy
from fashion_ops.synthetic.wardrobe.style import Style

_LEG_TOP = 3.72


def sew_bottom(style: Style, figure: Figure) -> Garment:
    """Sew shorts, trousers or a skirt onto a figure."""
    return _skirt(style, figure) if style.category_id == 9 else _legs(style, figure)


def _waist_marks(style: Style, left: np.ndarray, middle: np.ndarray, right: np.ndarray) -> list[Mark]:
    """A waistband or a belt across the waist."""
    down = np.array([0.0, style.waistband])
    band = np.stack([left, middle, right]) + down
    if style.belt:
        return list(trim.belt(left, middle, right, style.waistband))
    return [Mark("line", band, "dark", 0.028), Mark("line", band - down, "dark", 0.03)]


def _skirt(style: Style, figure: Figure) -> Garment:
    garment = Garment(style)
    y = np.linspace(style.waist_y, style.hem_y, 13)
    ease = style.ease + style.flare * (y - style.waist_y)
    sides = {s: figure.edge(y, s, ease) for s, _ in SIDES}
    middle = figure.middle(style.waist_y + 0.04)
    waist = curve([sides[LEFT][0], middle, sides[RIGHT][0]], 5)
    hem = curve([sides[LEFT][-1], figure.middle(style.hem_y + style.hem_drop), sides[RIGHT][-1]], 8)
    outline = np.vstack([waist[::-1], sides[LEFT][1:], hem[1:-1], sides[RIGHT][:0:-1]])
    marks: list[Mark] = []
    if style.pleats:
        marks += trim.pleats(
            (waist[0] + xy(0, style.waistband), waist[-1] + xy(0, style.waistband)), hem, style.pleats
        )
    marks += _waist_marks(style, sides[LEFT][0], middle, sides[RIGHT][0])
    marks += trim.hem_lines(hem, 0.09)
    if figure.facing < 0:  # the zip of a skirt is at its back
        marks.append(Mark("line", np.stack([middle, middle + xy(0, 0.6)]), "darker", 0.03))
    garment.parts.append(Part("shell", "body", (outline,), marks=tuple(marks)))
    garment.place(("shell",), waist_center=middle, hem_center=along(hem, 0.5))
    for side, name in SIDES:
        line = sides[side]
        garment.place(
            ("shell",),
            **{
                f"{name}_waist": line[0],
                f"{name}_skirt_side": along(line, 0.5),
                f"{name}_hem": line[-1],
            },
        )
    return garment


def _legs(style: Style, figure: Figure) -> Garment:
    garment = Garment(style)
    middle = figure.middle(style.waist_y + 0.04, 0.02)
    crotch = figure.plane(0.0, 4.02 + 0.5 * style.ease)
    parts = {}
    for side, name in SIDES:
        y = np.linspace(style.waist_y, _LEG_TOP, 6)
        hip = figure.edge(y, side, style.ease)
        reach = min((style.hem_y - _LEG_TOP) / (ANKLE_Y - _LEG_TOP), 1.0)
        line = cut(curve(figure.legs[side]), 0, reach, 13)
        widths = tuple(w * figure.width for w in style.leg)
        outer, inner = limb(line, widths, figure.image_side(side), hip[-1], crotch, 0.4)
        outline = np.vstack([middle, hip, outer[1:], inner[::-1]])
        contour = np.vstack([hip, outer[1:]])
        marks = _leg_marks(style, figure, side, middle, hip, outer, inner, crotch)
        # the seat fills the gap that a leg leaves between the waist and the crotch
        seat = np.vstack([middle, hip, crotch])
        parts[side] = Part(f"{name}_leg", "body", (outline, seat), marks=marks)
        garment.repeats.append(outline)
        points = {"waist": hip[0], "hem_outer": outer[-1], "hem_inner": inner[-1]}
        if style.category_id == 8:
            points |= {
                "side_upper": along(contour, 0.3),
                "side_lower": along(outer, 0.55),
                "inseam": along(inner, 0.5),
            }
        else:
            points["side"] = along(contour, 0.5)
        garment.place((f"{name}_leg",), **{f"{name}_{k}": p for k, p in points.items()})
    garment.place(("left_leg", "right_leg"), waist_center=middle, crotch=crotch)
    order = (figure.near, -figure.near) if figure.is_side else (LEFT, RIGHT)
    garment.parts += [parts[side] for side in order[::-1]]
    return garment


def _leg_marks(
    style: Style,
    figure: Figure,
    side: int,
    middle: np.ndarray,
    hip: np.ndarray,
    outer: np.ndarray,
    inner: np.ndarray,
    crotch: np.ndarray,
) -> tuple[Mark, ...]:
    marks = []
    height = 0.07 if style.category_id == 7 else 0.1
    hem = np.stack([outer[-1], inner[-1]])
    if style.cuff:
        start = 0.94
        marks.append(
            Mark("fill", np.vstack([cut(outer, start, 1, 3), cut(inner, start, 1, 3)[::-1]]), "second")
        )
    marks += trim.hem_lines(hem, height)
    marks.append(Mark("line", np.stack([middle, crotch]), "dark", 0.02))
    toward = np.sign(middle[0] - hip[0, 0]) or 1.0
    if style.pockets and figure.facing > 0:
        start = hip[0] + xy(0.14 * toward, style.waistband)
        marks.append(
            Mark(
                "line",
                curve([start, start + xy(0.02 * toward, 0.2), hip[3] + xy(0.0, 0.08)], 4),
                "dark",
                0.022,
            )
        )
    if figure.facing < 0:
        corner = (middle + hip[0]) / 2 + xy(0, style.waistband + 0.16)
        box = np.array([[-0.16, 0], [0.16, 0], [0.16, 0.26], [0, 0.34], [-0.16, 0.26], [-0.16, 0]])
        marks.append(Mark("line", corner + box, "dark", 0.025))
    if figure.facing > 0 and side == RIGHT:
        if style.closure == "fly":
            top = middle + xy(0.0, style.waistband)
            fly = curve([top + xy(0.1, 0), top + xy(0.1, 0.35), top + xy(0.0, 0.5)], 3)
            marks += [Mark("line", fly, "dark", 0.018)]
            marks.append(Mark("dot", (middle + xy(0.05, style.waistband / 2))[None], "trim", 0.04))
        elif style.closure == "drawstring":
            knot = middle + xy(0.03, style.waistband)
            marks.append(Mark("line", np.stack([knot, knot + xy(0.06, 0.3)]), "trim", 0.025))
    left, right = (hip[0], middle) if hip[0, 0] < middle[0] else (middle, hip[0])
    marks += _waist_marks(style, left, (left + right) / 2, right)[: 1 if style.belt else 2]
    return tuple(marks)
