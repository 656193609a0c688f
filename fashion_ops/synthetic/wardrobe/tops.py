"""Tops and dresses: short and long sleeve top, vest, sling, and the four dresses.

A dress is a top whose hem lies below the hips. The cloth that faces the viewer is the part
``shell``; the other face, visible only as a rim behind the neck, is ``far``.
"""

import numpy as np

from fashion_ops.synthetic.wardrobe import trim
from fashion_ops.synthetic.wardrobe.body import ARMPIT_Y, HIP_Y, LEFT, RIGHT, SIDES, WAIST_Y, Figure
from fashion_ops.synthetic.wardrobe.garment import Garment, Part
from fashion_ops.synthetic.wardrobe.geometry import along, at_height, curve, cut, xy
from fashion_ops.synthetic.wardrobe.sleeves import add_sleeve, shoulder_height
from fashion_ops.synthetic.wardrobe.style import STRAPS, Style


def sew_top(style: Style, figure: Figure) -> Garment:
    """Sew any top or dress onto a figure."""
    garment = Garment(style)
    straps = style.category_id in STRAPS
    front, back = _strap_necklines(style, figure) if straps else _necklines(style, figure)
    contours = {side: _contour(style, figure, side) for side, _ in SIDES}
    ends = {side: _shoulder_end(style, figure, side) for side, _ in SIDES}
    holes = {
        side: _armhole(style, figure, side, front, ends[side], contours[side]) for side, _ in SIDES
    }
    hem = curve(
        [contours[LEFT][-1], figure.middle(style.hem_y + style.hem_drop), contours[RIGHT][-1]], 8
    )
    lower = np.vstack(
        [holes[LEFT], contours[LEFT][1:], hem[1:-1], contours[RIGHT][:0:-1], holes[RIGHT][::-1]]
    )
    near_neck, far_neck = (front, back) if figure.facing > 0 else (back, front)
    strips = tuple(_strap(ends[side], front, figure, side) for side, _ in SIDES) if straps else ()
    if figure.facing > 0:  # the inner face of the back, seen through the neck
        far = np.vstack([far_neck, near_neck[::-1]])
    else:
        far = np.vstack([lower, far_neck[::-1]])
    shell = np.vstack([lower, near_neck[::-1]])
    garment.parts.append(Part("far", "behind", (far,), inside=figure.facing > 0))
    marks = trim.top_marks(style, figure, near_neck, contours, hem, holes)
    garment.parts.append(Part("shell", "body", (shell, *strips), marks=marks))
    _place_neck(garment, figure, front, back)
    for side, name in SIDES:
        _place_side(garment, style, contours[side], name)
        if straps:
            garment.place(("shell", "far"), **{f"{name}_strap": ends[side]})
        else:
            garment.place(("shell", "far", f"{name}_sleeve"), **{f"{name}_shoulder": ends[side]})
        if style.sleeve:
            garment.place(("shell", f"{name}_sleeve"), **{f"{name}_armpit": contours[side][0]})
            add_sleeve(garment, figure, side, name, ends[side], contours[side][0])
    garment.place(("shell",), hem_center=along(hem, 0.5))
    return garment


def _necklines(style: Style, figure: Figure) -> tuple[np.ndarray, np.ndarray]:
    """Front and back neckline, each (13, 2) from left to right; index 6 is the middle."""
    x, y = style.neck_width, shoulder_height(style.neck_width)
    if style.neck == "high":
        y -= 0.16
    u = np.linspace(-1, 1, 13)
    if style.neck == "v":
        bow = 1 - np.abs(u)
        bow = bow * 0.85 + 0.15 * (1 - u**2)
    else:
        bow = (1 - np.abs(u) ** 2.6) if style.neck in ("scoop", "boat") else (1 - u**2)
    rows = y + style.neck_depth * bow
    if style.neck == "high":
        rows = y + 0.07 * bow
    depth = np.sqrt(1 - 0.9 * u**2)
    front = figure.point(x * u, rows, 0.26 * depth)
    dip = 0.07 * (1 - u**2)
    back = figure.point(x * u, y + dip, -0.2 * depth)
    front[[0, -1]] = back[[0, -1]] = (figure.point(-x, y), figure.point(x, y))
    return front, back


def _strap_necklines(style: Style, figure: Figure) -> tuple[np.ndarray, np.ndarray]:
    """As ``_necklines``, between the two points where the straps meet the cloth."""
    x, y = style.neck_width, 1.88
    u = np.linspace(-1, 1, 13)
    bow = 1 - np.abs(u) if style.neck == "v" else 1 - np.abs(u) ** 2.2
    rows = y + style.neck_depth * bow
    depth = float(np.mean(figure.depth(y)))
    front = figure.point(x * u, rows, depth * 0.85)
    back = figure.point(x * u, y + 0.1 * (1 - u * u), -depth * 0.85)
    if figure.facing > 0:
        back[[0, -1]] = front[[0, -1]]
    else:
        front[[0, -1]] = back[[0, -1]]
    return front, back


def _shoulder_end(style: Style, figure: Figure, side: int) -> np.ndarray:
    x = style.shoulder * (1 if style.category_id in STRAPS else figure.width)
    return figure.point(side * x, shoulder_height(style.shoulder) - 0.2 * style.ease)


def _strap(end: np.ndarray, neck: np.ndarray, figure: Figure, side: int) -> np.ndarray:
    """A thin strip from the shoulder down to where the neckline starts."""
    base = neck[0 if side == LEFT else -1]
    out = np.array([0.035 * figure.image_side(side), 0.0])
    return np.array([end - out, end + out, base + out + xy(0, 0.06), base - out + xy(0, 0.06)])


def _contour(style: Style, figure: Figure, side: int) -> np.ndarray:
    """Side seam from armpit to hem, (13, 2)."""
    armpit = ARMPIT_Y + (0.9 * style.ease if style.sleeve else 0.02)
    y = np.linspace(armpit, style.hem_y, 13)
    if style.kind == "dress":
        ease = style.ease + style.flare * np.maximum(y - 2.95, 0)
    else:
        ease = style.ease + style.flare * (y - armpit) / (style.hem_y - armpit)
        # Loose cloth hangs straight instead of following the waist.
        hollow = np.interp(y, [2.2, WAIST_Y, HIP_Y], [0, 0.11, 0])
        ease = ease + hollow * np.clip(style.ease / 0.1, 0, 1)
    return figure.edge(y, side, ease)


def _armhole(
    style: Style, figure: Figure, side: int, neck: np.ndarray, end: np.ndarray, contour: np.ndarray
) -> np.ndarray:
    """From the neck over the shoulder end to the armpit."""
    start, armpit = neck[0 if side == LEFT else -1], contour[0]
    inward = -figure.image_side(side)
    if style.category_id in STRAPS:
        middle = along(np.stack([start, armpit]), 0.55) + xy(0.05 * inward, 0.06)
        return curve([start, middle, armpit], 4)
    depth = -0.04 if style.sleeve else 0.10
    middle = along(np.stack([end, armpit]), 0.6) + xy(depth * inward, 0.0)
    return np.vstack([start, curve([end, middle, armpit], 4)])


def _place_neck(garment: Garment, figure: Figure, front: np.ndarray, back: np.ndarray) -> None:
    near, far = (("shell",), ("far",)) if figure.facing > 0 else (("far",), ("shell",))
    garment.place(
        near,
        left_collar_front=along(cut(front, 0, 0.5), 0.5),
        collar_front=front[6],
        right_collar_front=along(cut(front, 0.5, 1), 0.5),
    )
    garment.place(far, collar_back=back[6])
    garment.place(("shell", "far"), left_collar=front[0], right_collar=front[-1])


def _place_side(garment: Garment, style: Style, contour: np.ndarray, name: str) -> None:
    if style.kind == "dress":
        skirt = (HIP_Y + style.hem_y) / 2
        heights = {"side_upper": 2.42, "waist": WAIST_Y, "hip": HIP_Y, "skirt_side": skirt}
        points = {k: at_height(contour, y) for k, y in heights.items()}
    else:
        points = {"side_upper": along(contour, 0.25), "side_lower": along(contour, 0.6)}
    points["hem"] = contour[-1]
    garment.place(("shell",), **{f"{name}_{k}": p for k, p in points.items()})
