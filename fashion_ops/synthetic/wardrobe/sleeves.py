"""Sleeves of tops, dresses and outwear: cloth around an arm, with its landmarks."""

import numpy as np

from fashion_ops.synthetic.wardrobe.body import Figure
from fashion_ops.synthetic.wardrobe.garment import Garment, Mark, PaintOrder, Part
from fashion_ops.synthetic.wardrobe.geometry import along, cut, limb, xy

ARM_WIDTH = (0.17, 0.135, 0.125, 0.085)  # half widths of the bare arm from shoulder to wrist
ORDERS: dict[str, PaintOrder] = {"left": "left_sleeve", "right": "right_sleeve"}


def shoulder_height(x: float) -> float:
    """Height of the shoulder line at ``x`` heads from the middle of the neck."""
    return 1.30 + 0.46 * (x - 0.26)


def strip(outer: np.ndarray, inner: np.ndarray) -> tuple[np.ndarray, ...]:
    """A limb as a chain of quadrilaterals: their union has no holes where a joint bends sharply."""
    return tuple(np.stack([outer[:-1], outer[1:], inner[1:], inner[:-1]], axis=1))


def add_sleeve(
    garment: Garment, figure: Figure, side: int, name: str, shoulder: np.ndarray, armpit: np.ndarray
) -> None:
    """Add one sleeve's part, landmarks and outline polygon to a garment.

    Args:
        garment: changed in place.
        figure: who wears it.
        side: ``LEFT`` or ``RIGHT``.
        name: the same side as ``left`` or ``right``.
        shoulder: end of the shoulder (2,).
        armpit: (2,).
    """
    style = garment.style
    line = cut(figure.arms[side].line, 0, style.sleeve, 13)
    reach = np.linspace(0, style.sleeve, 4)
    bare = np.interp(reach, np.linspace(0, 1, 4), ARM_WIDTH)
    widening = np.array([0.3, 1.0, 1.0, 0.8 if style.sleeve > 0.5 else 1.0])
    widths = tuple(bare + 0.03 + style.sleeve_ease * widening)
    outer, inner = limb(line, widths, figure.image_side(side), shoulder, armpit)
    direction = line[-1] - line[0]
    hem = np.stack([outer[-1], inner[-1]])
    band = np.stack([along(outer, 0.93), along(inner, 0.93)])
    # A wedge towards the body hides the sleeve of a garment below at the armpit.
    wedge = np.stack([shoulder, armpit + xy(-0.2 * figure.image_side(side), 0), armpit])
    marks = [
        Mark("line", np.stack([shoulder, (shoulder + armpit) / 2, armpit]), "dark", 0.02),
        Mark("line", band, "dark", 0.02),
        Mark("line", hem, "dark", 0.03),
    ]
    if style.cuff:
        start = 0.88 if style.sleeve > 0.5 else 0.82
        cuff = np.vstack([cut(outer, start, 1, 4), cut(inner, start, 1, 4)[::-1]])
        marks.insert(0, Mark("fill", cuff, "trim"))
    garment.parts.append(
        Part(
            f"{name}_sleeve",
            ORDERS[name],
            (*((wedge,) if style.kind == "outwear" else ()), *strip(outer, inner)),
            grain=float(np.arctan2(-direction[0], direction[1])),
            marks=tuple(marks),
        )
    )
    points = {"cuff_outer": outer[-1], "cuff_inner": inner[-1]}
    if style.sleeve > 0.5:
        for label, t in (("upper", 0.25), ("middle", 0.5), ("lower", 0.75)):
            points[f"sleeve_outer_{label}"] = along(outer, t)
            points[f"sleeve_inner_{label}"] = along(inner, t)
    else:
        points["sleeve_outer"], points["sleeve_inner"] = along(outer, 0.5), along(inner, 0.5)
    garment.place((f"{name}_sleeve",), **{f"{name}_{k}": p for k, p in points.items()})
    garment.repeats.append(np.vstack([outer, inner[::-1]]))
