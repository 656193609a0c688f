"""How strongly an image's outlines, shading, folds and seams are drawn.

Models lean on whatever every drawing has: dark rims, seams, folds. The second edition draws each of
them with a strength of its own for every image, from nothing to more than the first edition's.
"""

from dataclasses import dataclass

from fashion_ops.synthetic.wardrobe.garment import Tone

# Tones of seams, and how much of a shade they take away where seams are drawn as shading.
SEAM_TONES: dict[Tone, float] = {"dark": 0.3, "darker": 0.5, "light": 0.12}


@dataclass(frozen=True)
class Look:
    """Strengths; the defaults are the first edition's.

    Attributes:
        rim: factor on the darkening towards the outline of each layer.
        shadow: factor on the shadow of a layer on what lies below it.
        soft: factor on the width of rims and shadows.
        folds: factor on the shading of folds.
        creased: creases in all directions in place of folds that run down the cloth.
        seams: 0 (none) to 1: seams darken the cloth and its pattern; None draws them in a tone of the
            cloth.
    """

    rim: float = 1.0
    shadow: float = 1.0
    soft: float = 1.0
    folds: float = 1.0
    creased: bool = False
    seams: float | None = None
