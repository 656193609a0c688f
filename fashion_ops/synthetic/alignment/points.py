"""The wardrobe's landmarks as FLD's 6, 4 or 8, and a figure's joints as LSP's 14.

A sleeve is the middle of its cuff; without sleeves it is the shoulder's end, or under the arm where
there are only straps. Hems of trousers are their outer corners. Each comes with the parts of the
garment on which it lies, from which its visibility is computed.
"""

import numpy as np

from fashion_ops.synthetic.wardrobe.body import LEFT, RIGHT, Figure
from fashion_ops.synthetic.wardrobe.garment import Garment
from fashion_ops.synthetic.wardrobe.head import middle as head_middle
from fashion_ops.taxonomy.alignment import PointSet, point_set, points_of_type, type_of_category

# The person's right is the figure's left, which is named as the viewer of a front sees it.
_FIGURE_SIDE = {"right": LEFT, "left": RIGHT}
_SLEEVES = (("cuff_outer", "cuff_inner"), ("shoulder",), ("side_upper",))
_HEMS = (("hem_outer",), ("hem",))
_LIMBS = {"hip": 0, "knee": 1, "ankle": 2, "shoulder": 0, "elbow": 1, "wrist": 2}


def fld_points(garment: Garment) -> tuple[np.ndarray, list[tuple[str, ...]]]:
    """FLD's landmarks of a garment (n, 2), in heads, and the parts of each."""
    points = points_of_type(type_of_category(garment.style.category_id))
    sources = [_find(garment, name) for name in points.point_names]
    return np.stack([np.mean([garment.landmarks[n] for n in names], axis=0) for names in sources]), [
        tuple({part: None for n in names for part in garment.landmark_parts[n]}) for names in sources
    ]


def _find(garment: Garment, name: str) -> tuple[str, ...]:
    """The wardrobe's landmarks whose mean is FLD's landmark ``name``.

    Raises:
        KeyError: the garment has none.
    """
    side, _, what = name.partition("_")
    sources = {"collar": (("collar",),), "sleeve": _SLEEVES, "waistline": (("waist",),), "hem": _HEMS}
    for choice in sources[what]:
        names = tuple(f"{side}_{part}" for part in choice)
        if all(n in garment.landmarks for n in names):
            return names
    raise KeyError(f"category {garment.style.category_id} has nothing that is a {name}")


def joints(figure: Figure) -> np.ndarray:
    """LSP's 14 joints (14, 2) of a figure, in heads; left and right are the person's."""
    lsp: PointSet = point_set("lsp14")
    out = []
    for name in lsp.point_names:
        side, _, what = name.partition("_")
        if name == "neck":
            out.append(figure.point(0.0, 1.3))
        elif name == "head_top":
            out.append(head_middle(figure) - (0.0, 0.56))
        else:
            limbs = figure.legs if what in ("hip", "knee", "ankle") else None
            chain = limbs[_FIGURE_SIDE[side]] if limbs else figure.arms[_FIGURE_SIDE[side]].joints
            out.append(chain[_LIMBS[what]])
    return np.stack(out)
