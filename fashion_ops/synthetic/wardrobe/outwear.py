"""Short and long sleeve outwear: two front panels that stay apart, and a back behind the body."""

import numpy as np

from fashion_ops.synthetic.wardrobe.body import ARMPIT_Y, HIP_Y, LEFT, RIGHT, SIDES, WAIST_Y, Figure
from fashion_ops.synthetic.wardrobe.garment import Garment, Mark, Part
from fashion_ops.synthetic.wardrobe.geometry import along, at_height, curve, cut, xy
from fashion_ops.synthetic.wardrobe.sleeves import add_sleeve, shoulder_height
from fashion_ops.synthetic.wardrobe.style import Style


def sew_outwear(style: Style, figure: Figure) -> Garment:
    """Sew an open jacket, cardigan or coat onto a figure.

    From behind, the part ``back`` is painted over the panels, which covers the points of the opening.
    """
    garment = Garment(style)
    contours = {side: _contour(style, figure, side) for side, _ in SIDES}
    necks = {s: figure.point(s * style.neck_width, shoulder_height(style.neck_width)) for s, _ in SIDES}
    ends = {
        s: figure.point(s * style.shoulder * figure.width, shoulder_height(style.shoulder) - 0.04)
        for s, _ in SIDES
    }
    holes = {s: np.vstack([necks[s], _armhole(ends[s], contours[s][0], figure, s)]) for s, _ in SIDES}
    middle = figure.point(0, shoulder_height(style.neck_width) + 0.06, -0.2)
    collar = curve([necks[LEFT], middle, necks[RIGHT]], 5)
    low = curve([contours[LEFT][-1], figure.middle(style.hem_y), contours[RIGHT][-1]], 6)
    outline = np.vstack(
        [
            holes[LEFT],
            contours[LEFT][1:],
            low[1:-1],
            contours[RIGHT][:0:-1],
            holes[RIGHT][::-1],
            collar[::-1],
        ]
    )
    frontal = figure.facing > 0
    back_marks = (Mark("line", collar, "dark", 0.07), Mark("line", low - xy(0, 0.08), "dark", 0.016))
    back = Part("back", "behind" if frontal else "body", (outline,), inside=frontal, marks=back_marks)
    panels = [_panel(garment, figure, s, n, contours[s], holes[s], low) for s, n in SIDES]
    garment.parts += [back, *panels] if frontal else [*panels, back]
    garment.place(("back",), collar_back=middle)
    for side, name in SIDES:
        parts = (f"{name}_panel", "back")
        garment.place(
            parts,
            **{
                f"{name}_collar": necks[side],
                f"{name}_side_upper": along(contours[side], 0.25),
                f"{name}_side_lower": along(contours[side], 0.6),
                f"{name}_hem": contours[side][-1],
            },
        )
        both = (*parts, f"{name}_sleeve")
        garment.place(both, **{f"{name}_shoulder": ends[side], f"{name}_armpit": contours[side][0]})
        add_sleeve(garment, figure, side, name, ends[side], contours[side][0])
    return garment


def _contour(style: Style, figure: Figure, side: int) -> np.ndarray:
    armpit = ARMPIT_Y + 0.8 * style.ease
    y = np.linspace(armpit, style.hem_y, 13)
    hollow = np.interp(y, [2.2, WAIST_Y, HIP_Y], [0, 0.09, 0])
    ease = style.ease + hollow + style.flare * (y - armpit) / (style.hem_y - armpit)
    return figure.edge(y, side, ease)


def _armhole(end: np.ndarray, armpit: np.ndarray, figure: Figure, side: int) -> np.ndarray:
    inner = along(np.stack([end, armpit]), 0.6) + xy(0.04 * figure.image_side(side), 0)
    return curve([end, inner, armpit], 4)


def _panel(
    garment: Garment,
    figure: Figure,
    side: int,
    name: str,
    contour: np.ndarray,
    hole: np.ndarray,
    low: np.ndarray,
) -> Part:
    """One front panel: from the side seam to the edge of the opening."""
    style = garment.style
    neck_y = shoulder_height(style.neck_width)
    top_y = neck_y + style.neck_depth
    top = figure.front(side * style.gap, top_y, style.ease)
    collar = curve(
        [
            hole[0],
            figure.front(
                side * (style.neck_width * 0.55 + style.gap * 0.45), (neck_y + top_y) / 2 - 0.02, 0.0
            ),
            top,
        ],
        4,
    )
    ys = np.linspace(top_y, style.hem_y + style.hem_drop, 9)
    xs = side * np.linspace(style.gap, style.gap_hem, 9)
    edge = figure.point(xs, ys, figure.depth(ys) * 0.85 + style.ease)
    # The panel may not pass its own side seam when the figure turns away.
    out = figure.image_side(side)
    limit = np.interp(edge[:, 1], contour[:, 1], contour[:, 0]) - out * 0.05
    edge[:, 0] = np.minimum(edge[:, 0], limit) if out > 0 else np.maximum(edge[:, 0], limit)
    hem = curve([contour[-1], (contour[-1] + edge[-1]) / 2 + xy(0, 0.02), edge[-1]], 3)
    outline = np.vstack([hole, contour[1:], hem[1:], edge[-2::-1], collar[-2:0:-1]])
    part = f"{name}_panel"
    garment.place(
        (part,),
        **{
            f"{name}_collar_front": along(collar, 0.5),
            f"{name}_opening_top": top,
            f"{name}_opening_upper": along(edge, 1 / 3),
            f"{name}_opening_lower": along(edge, 2 / 3),
            f"{name}_opening_hem": edge[-1],
        },
    )
    garment.repeats.append(outline)
    return Part(
        part,
        "body" if figure.facing > 0 else "behind",
        (outline,),
        marks=_panel_marks(style, figure, side, collar, edge, hem, contour),
    )


def _panel_marks(
    style: Style,
    figure: Figure,
    side: int,
    collar: np.ndarray,
    edge: np.ndarray,
    hem: np.ndarray,
    contour: np.ndarray,
) -> tuple[Mark, ...]:
    out = figure.image_side(side)
    marks = [
        Mark("line", hem, "dark", 0.03),
        Mark("line", hem - xy(0, 0.08), "dark", 0.016),
        Mark("line", edge, "dark", 0.035),
        Mark("line", edge + xy(0.09 * out, 0), "dark", 0.016),
    ]
    if style.lapel:
        wing = along(collar, 0.62) + xy(0.24 * out, 0.06)
        flap = np.vstack([collar, edge[1], wing, collar[0] + xy(0.1 * out, 0.06)])
        marks += [Mark("fill", flap, "dark"), Mark("line", flap[len(collar) :], "darker", 0.02)]
    else:
        marks.append(Mark("line", np.vstack([collar, edge[1:]]), "trim" if style.cuff else "dark", 0.1))
    if style.closure == "buttons" and side == RIGHT:
        marks.append(Mark("dot", cut(edge, 0.08, 0.8, 5) + xy(0.05 * out, 0), "trim", 0.03))
    elif style.closure == "zip":
        marks.append(Mark("line", edge, "light", 0.022))
    if style.pockets:
        y = min(3.25, style.hem_y - 0.4)
        a, b = at_height(edge, y), at_height(contour, y)
        slot = np.stack([a + (b - a) * 0.3, a + (b - a) * 0.8 + xy(0, 0.05)])
        marks.append(Mark("line", slot, "darker", 0.035))
    return tuple(marks)
