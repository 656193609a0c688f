"""The cut of a garment: all that two images of the same garment have in common.

Lengths in heads, heights as y of the figure (see ``body``: shoulders 1.55, waist 2.85, hips 3.6,
crotch 3.98, knee 5.4, ankle 6.75).
"""

from dataclasses import dataclass, replace

import numpy as np

from fashion_ops.synthetic.wardrobe.fabric import Fabric, sample_fabric
from fashion_ops.taxonomy import category

NECKS = ("crew", "scoop", "v", "boat", "high", "shirt")


@dataclass(frozen=True)
class Style:
    """One garment: category, fabric and cut."""

    category_id: int
    fabric: Fabric
    ease: float  # how far the cloth stands off the body
    hem_y: float
    flare: float = 0.0  # extra half width: of dresses and skirts a head of length, of tops at the hem
    hem_drop: float = 0.06  # how far the middle of the hem hangs below its corners
    neck: str = "crew"
    neck_width: float = 0.34  # half width at the shoulder line
    neck_depth: float = 0.25
    shoulder: float = 0.80  # half width between shoulder ends
    sleeve: float = 0.0  # share of the arm that a sleeve covers; 0 is none
    sleeve_ease: float = 0.06
    cuff: bool = False
    waist_y: float = 2.95
    waistband: float = 0.14
    gap: float = 0.0  # half width of an open front at its top
    gap_hem: float = 0.0  # and at its hem
    lapel: bool = False
    belt: bool = False
    pleats: int = 0
    pockets: bool = False
    closure: str = ""  # "buttons", "fly", "drawstring", "zip"
    leg: tuple[float, float, float] = (0.36, 0.26, 0.2)  # half widths at crotch, middle, hem
    graphic: int = 0  # print on the chest; 0 is none
    tuck: bool = False

    @property
    def kind(self) -> str:
        return KIND[self.category_id]


KIND = {
    **dict.fromkeys((1, 2, 5, 6), "top"),
    **dict.fromkeys((3, 4), "outwear"),
    **dict.fromkeys((7, 8, 9), "bottom"),
    **dict.fromkeys((10, 11, 12, 13), "dress"),
}
SLEEVELESS, STRAPS = (5, 12), (6, 13)


def sample_style(category_id: int, rng: np.random.Generator) -> Style:
    """A random garment of this category."""
    kind = KIND[category_id]
    fabric = sample_fabric(rng, category(category_id).name)
    if kind == "bottom":
        return _bottom(category_id, fabric, rng)
    if kind == "outwear":
        return _outwear(category_id, fabric, rng)
    return _top(category_id, fabric, rng)


def _sleeve(category_id: int, rng: np.random.Generator) -> dict:
    short = category_id in (1, 3, 10)
    if not short and category_id not in (2, 4, 11):
        return {"sleeve": 0.0}
    return {
        "sleeve": rng.uniform(0.24, 0.42) if short else rng.uniform(0.88, 0.98),
        "sleeve_ease": rng.uniform(0.05, 0.16) if short else rng.uniform(0.04, 0.12),
        "cuff": bool(rng.random() < (0.35 if short else 0.6)),
    }


def _top(category_id: int, fabric: Fabric, rng: np.random.Generator) -> Style:
    neck = str(rng.choice(NECKS, p=[0.34, 0.2, 0.16, 0.1, 0.08, 0.12]))
    if category_id in SLEEVELESS:
        neck = str(rng.choice(["scoop", "v", "crew"], p=[0.55, 0.25, 0.2]))
    depth = {"crew": (0.2, 0.28), "scoop": (0.4, 0.6), "v": (0.5, 0.75), "boat": (0.12, 0.18)}
    width = {"crew": (0.3, 0.36), "scoop": (0.38, 0.46), "v": (0.32, 0.4), "boat": (0.5, 0.56)}
    style = Style(
        category_id=category_id,
        fabric=fabric,
        ease=rng.uniform(0.03, 0.15),
        hem_y=float(rng.choice([rng.uniform(3.15, 3.4), rng.uniform(3.55, 3.95)], p=[0.35, 0.65])),
        flare=rng.uniform(0.0, 0.12),
        hem_drop=rng.uniform(0.02, 0.12),
        neck=neck,
        neck_depth=rng.uniform(*depth.get(neck, (0.2, 0.26))),
        neck_width=rng.uniform(*width.get(neck, (0.29, 0.33))),
        shoulder=rng.uniform(0.76, 0.86),
        closure="buttons" if neck == "shirt" else "",
        pockets=bool(rng.random() < 0.18),
        graphic=int(rng.integers(1, 9)) if rng.random() < 0.45 else 0,
        tuck=bool(rng.random() < 0.6),
        **_sleeve(category_id, rng),
    )
    if category_id in SLEEVELESS:
        style = replace(
            style, shoulder=rng.uniform(0.64, 0.74), neck_width=min(style.neck_width, 0.42), cuff=False
        )
    if category_id in STRAPS:
        style = replace(
            style,
            neck=str(rng.choice(["v", "scoop"])),
            shoulder=rng.uniform(0.40, 0.47),
            neck_width=rng.uniform(0.38, 0.46),
            neck_depth=rng.uniform(0.12, 0.26),
            graphic=0,
            ease=rng.uniform(0.02, 0.08),
        )
    if KIND[category_id] == "dress":
        style = replace(
            style,
            hem_y=rng.uniform(4.55, 6.35),
            flare=rng.uniform(0.05, 0.42),
            hem_drop=rng.uniform(0.05, 0.16),
            ease=rng.uniform(0.02, 0.09),
            belt=bool(rng.random() < 0.5),
            pleats=int(rng.choice([0, 0, 5, 8])),
            graphic=0,
            tuck=False,
        )
    return style


def _outwear(category_id: int, fabric: Fabric, rng: np.random.Generator) -> Style:
    return Style(
        category_id=category_id,
        fabric=fabric,
        ease=rng.uniform(0.12, 0.22),
        hem_y=rng.uniform(3.3, 4.2) if rng.random() < 0.7 else rng.uniform(4.6, 5.6),
        flare=rng.uniform(0.0, 0.1),
        hem_drop=rng.uniform(0.0, 0.06),
        neck_width=rng.uniform(0.34, 0.4),
        neck_depth=rng.uniform(0.35, 0.6),
        shoulder=rng.uniform(0.84, 0.92),
        gap=rng.uniform(0.16, 0.28),
        gap_hem=rng.uniform(0.22, 0.44),
        lapel=bool(rng.random() < 0.6),
        pockets=bool(rng.random() < 0.6),
        closure=str(rng.choice(["buttons", "zip", ""])),
        **{**_sleeve(category_id, rng), "sleeve_ease": rng.uniform(0.1, 0.17)},
    )


def _bottom(category_id: int, fabric: Fabric, rng: np.random.Generator) -> Style:
    common = {
        "category_id": category_id,
        "fabric": fabric,
        "ease": rng.uniform(0.02, 0.08),
        "waist_y": rng.uniform(2.88, 3.12),
        "waistband": rng.uniform(0.1, 0.18),
        "belt": bool(rng.random() < 0.25),
        "pockets": bool(rng.random() < 0.7),
        "closure": str(rng.choice(["fly", "fly", "drawstring"])),
    }
    if category_id == 9:
        return Style(
            **{**common, "closure": "", "pockets": False},
            hem_y=rng.uniform(4.35, 6.2),
            flare=rng.uniform(0.02, 0.55),
            hem_drop=rng.uniform(0.05, 0.14),
            pleats=int(rng.choice([0, 4, 7, 10])),
        )
    if category_id == 7:
        thigh = rng.uniform(0.34, 0.38)
        return Style(
            **common, hem_y=rng.uniform(4.55, 5.2), leg=(thigh, thigh, thigh + rng.uniform(-0.06, 0.02))
        )
    leg = [(0.34, 0.21, 0.14), (0.36, 0.26, 0.2), (0.37, 0.29, 0.28), (0.36, 0.25, 0.34)]
    return Style(
        **common, hem_y=rng.uniform(6.2, 6.8), cuff=bool(rng.random() < 0.25), leg=leg[rng.integers(4)]
    )
