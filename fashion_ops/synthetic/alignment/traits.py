"""A garment's cloth and cut as attributes in the style of DeepFashion: pattern, colour, neckline, ...

Values are 1 for yes, -1 for no, and 0 where an attribute does not apply (a neckline of trousers).
"""

import colorsys

import numpy as np

from fashion_ops.synthetic.wardrobe.style import NECKS, Style

_TEXTURE, _SHAPE, _PART, _STYLE = 1, 3, 4, 5  # DeepFashion's kinds; colours are filed under style
PATTERNS = (
    *("plain", "melange", "stripes", "breton", "pinstripe", "plaid", "gingham", "dots", "floral"),
    *("knit", "marble", "leopard", "geometric", "denim"),
)
COLORS = ("black", "gray", "white", "red", "orange", "yellow", "green", "blue", "purple", "pink")
SLEEVES = ("sleeveless", "short sleeve", "long sleeve")
LENGTHS = ("cropped", "regular length", "mini", "midi", "maxi")
DETAILS = ("pleated", "belted", "pockets", "cuffed", "graphic", "flared")
ATTRIBUTES: tuple[tuple[str, int], ...] = (
    *((f"{name} pattern", _TEXTURE) for name in PATTERNS),
    *((name, _STYLE) for name in COLORS),
    *((f"{name} neckline", _PART) for name in NECKS),
    *((name, _SHAPE) for name in SLEEVES),
    *((name, _SHAPE) for name in LENGTHS),
    *((name, _PART) for name in DETAILS),
)
_HUES = (
    (0.045, "red"),
    (0.11, "orange"),
    (0.19, "yellow"),
    (0.45, "green"),
    (0.70, "blue"),
    (0.86, "purple"),
    (0.96, "pink"),
)


def color_name(bgr: tuple[int, int, int]) -> str:
    """The colour of ``COLORS`` that a BGR colour is called."""
    b, g, r = (c / 255 for c in bgr)
    hue, saturation, value = colorsys.rgb_to_hsv(r, g, b)
    if value < 0.24:
        return "black"
    if saturation < 0.16:
        return "white" if value > 0.85 else "gray"
    name = next((name for limit, name in _HUES if hue < limit), "red")
    return "pink" if name == "red" and saturation < 0.5 and value > 0.7 else name


def attributes(style: Style) -> np.ndarray:
    """Values of ``ATTRIBUTES`` for one garment, int8."""
    has_neck = style.kind in ("top", "dress")
    has_sleeves = style.kind != "bottom"
    details = (
        style.pleats > 0,
        style.belt,
        style.pockets,
        style.cuff,
        style.graphic > 0,
        style.flare > 0.2,
    )
    sleeve = SLEEVES[0 if style.sleeve == 0 else 1 if style.sleeve < 0.6 else 2]
    values = [
        *_one_of(style.fabric.pattern, PATTERNS),
        *_one_of(color_name(style.fabric.base), COLORS),
        *(_one_of(style.neck, NECKS) if has_neck else [0] * len(NECKS)),
        *(_one_of(sleeve, SLEEVES) if has_sleeves else [0] * len(SLEEVES)),
        *_one_of(_length(style), LENGTHS),
        *(1 if has else -1 for has in details),
    ]
    return np.array(values, np.int8)


def _length(style: Style) -> str:
    if style.kind in ("top", "outwear"):
        return "cropped" if style.hem_y < 3.4 else "regular length"
    return "mini" if style.hem_y < 4.95 else "midi" if style.hem_y < 5.9 else "maxi"


def _one_of(name: str, names: tuple[str, ...]) -> list[int]:
    return [1 if other == name else -1 for other in names]
