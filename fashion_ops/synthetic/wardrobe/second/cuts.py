"""Cuts and cloth of the second edition: wider ranges than the first's, closed jackets, any colours.

Lengths in heads, heights as y of the figure, as in ``wardrobe.style``.
"""

from dataclasses import replace

import cv2
import numpy as np

from fashion_ops.synthetic.wardrobe.fabric import Color, Fabric
from fashion_ops.synthetic.wardrobe.style import STRAPS, Style, sample_style

_PHOTO = 0.4  # share of garments whose cloth comes from the user's photos, if there are any
_PATTERNS = (
    *("plain", "heather", "jeans", "cloudy", "stripes", "breton", "pinstripe", "plaid", "gingham"),
    *("dots", "floral", "knit", "marble", "leopard", "geometric"),
)
_SHARE = np.array([34, 10, 8, 13, 5, 3, 3, 5, 3, 3, 4, 4, 2, 1, 2], float) / 100
_CLOSED = 0.5  # share of outwear that is zipped or buttoned up


def sample_color(rng: np.random.Generator) -> Color:
    """A colour of clothes, BGR: often black, white, grey or navy, else any hue."""
    kind = rng.random()
    if kind < 0.17:
        hsv = rng.uniform(0, 180), rng.uniform(0, 60), rng.uniform(14, 62)
    elif kind < 0.35:
        hsv = rng.uniform(5, 40), rng.uniform(0, 40), rng.uniform(195, 255)
    elif kind < 0.47:
        hsv = rng.uniform(0, 180), rng.uniform(0, 30), rng.uniform(62, 205)
    elif kind < 0.62:
        hsv = rng.uniform(98, 122), rng.uniform(60, 190), rng.uniform(40, 190)
    elif kind < 0.72:
        hsv = rng.uniform(5, 28), rng.uniform(40, 150), rng.uniform(70, 215)
    else:
        hsv = rng.uniform(0, 180), rng.uniform(50, 210), rng.uniform(80, 250)
    pixel = cv2.cvtColor(np.array([[hsv]], np.float32).astype(np.uint8), cv2.COLOR_HSV2BGR)[0, 0]
    return int(pixel[0]), int(pixel[1]), int(pixel[2])


def mixed(a: Color, b: Color, share: float) -> Color:
    """A colour between two: ``a`` at 0, ``b`` at 1."""
    blue, green, red = (round(x + (y - x) * share) for x, y in zip(a, b, strict=True))
    return blue, green, red


def sample_cloth(rng: np.random.Generator, photos: tuple[str, ...] = ()) -> Fabric:
    """A random cloth; patterns and prints stand out from the base colour by a random strength.

    Args:
        rng: draws it.
        photos: paths of the user's photos for cloth.
    """
    base = sample_color(rng)
    strength = 0.0 if rng.random() < 0.15 else float(rng.uniform(0.1, 1.0))
    second, third = (mixed(base, sample_color(rng), strength) for _ in range(2))
    pattern = str(_PATTERNS[int(np.searchsorted(np.cumsum(_SHARE), rng.random() * 0.999999))])
    repeat, seed = float(np.exp(rng.uniform(np.log(0.08), np.log(0.6)))), int(rng.integers(1 << 30))
    folds = float(rng.uniform(0.0, 1.0))
    photo = ""
    if photos and rng.random() < _PHOTO:
        pattern, photo = "photo", photos[int(rng.integers(len(photos)))]
    return Fabric(pattern, (base, second, third), repeat, seed, folds, photo)


def sample_cut(category_id: int, rng: np.random.Generator, photos: tuple[str, ...] = ()) -> Style:
    """A random garment of this category, with ``sample_cloth``'s cloth."""
    style = sample_style(category_id, rng)
    style = replace(style, fabric=sample_cloth(rng, photos))
    change = {"outwear": _outwear, "bottom": _bottom, "dress": _dress, "top": _top}[style.kind]
    return change(style, rng)


def _sleeves(style: Style, rng: np.random.Generator) -> dict[str, float]:
    if not style.sleeve:
        return {}
    short = style.sleeve < 0.5
    return {
        "sleeve": rng.uniform(0.18, 0.48) if short else rng.uniform(0.76, 1.0),
        "sleeve_ease": rng.uniform(0.03, 0.22) if short else rng.uniform(0.03, 0.17),
    }


def _top(style: Style, rng: np.random.Generator) -> Style:
    style = replace(style, graphic=int(rng.integers(1, 9)) if rng.random() < 0.35 else 0)
    if style.category_id in (1, 2) and rng.random() < 0.2:  # a shirt
        style = replace(style, neck="shirt", closure="buttons", neck_width=rng.uniform(0.28, 0.34))
        style = replace(style, neck_depth=rng.uniform(0.15, 0.4), graphic=0)
    if style.category_id in STRAPS:
        return replace(style, graphic=0, ease=rng.uniform(0.01, 0.14), hem_y=rng.uniform(2.7, 3.8))
    return replace(
        style,
        ease=float(rng.choice([rng.uniform(0.01, 0.12), rng.uniform(0.1, 0.3)])),
        hem_y=rng.uniform(2.85, 3.3) if rng.random() < 0.2 else rng.uniform(3.3, 4.3),
        hem_drop=rng.uniform(-0.03, 0.16),
        flare=rng.uniform(-0.03, 0.16),
        shoulder=rng.uniform(0.74, 0.95) if style.sleeve else style.shoulder,
        tuck=bool(rng.random() < 0.35),
        **_sleeves(style, rng),
    )


def _outwear(style: Style, rng: np.random.Generator) -> Style:
    style = replace(
        style,
        ease=rng.uniform(0.1, 0.28),
        hem_y=rng.uniform(3.0, 4.2) if rng.random() < 0.65 else rng.uniform(4.2, 6.2),
        shoulder=rng.uniform(0.82, 0.98),
        **_sleeves(style, rng),
    )
    if rng.random() < _CLOSED:
        return replace(
            style,
            gap=0.01,
            gap_hem=rng.uniform(0.01, 0.05),
            neck_depth=rng.uniform(0.12, 0.5),
            neck_width=rng.uniform(0.28, 0.38),
            lapel=style.lapel and bool(rng.random() < 0.5),
        )
    return replace(style, gap=rng.uniform(0.06, 0.34), gap_hem=rng.uniform(0.08, 0.6))


def _bottom(style: Style, rng: np.random.Generator) -> Style:
    style = replace(style, waist_y=rng.uniform(2.75, 3.2), ease=rng.uniform(0.0, 0.12))
    if style.category_id == 9:
        return replace(style, hem_y=rng.uniform(4.1, 6.4), flare=rng.uniform(-0.02, 0.6))
    if style.category_id == 7:
        thigh = rng.uniform(0.32, 0.42)
        leg = (thigh, thigh + rng.uniform(-0.04, 0.03), thigh + rng.uniform(-0.08, 0.1))
        return replace(style, hem_y=rng.uniform(4.25, 5.3), leg=leg)
    knee = rng.uniform(0.17, 0.33)
    hem = knee + rng.uniform(-0.1, 0.12)
    leg = (rng.uniform(0.33, 0.4), knee, max(hem, 0.12))
    return replace(style, hem_y=rng.uniform(5.6, 6.9), leg=leg)


def _dress(style: Style, rng: np.random.Generator) -> Style:
    return replace(
        style,
        hem_y=rng.uniform(4.2, 6.6),
        flare=rng.uniform(0.0, 0.5),
        ease=rng.uniform(0.01, 0.2),
        belt=bool(rng.random() < 0.25),
        **_sleeves(style, rng),
    )


def worn_together(styles: list[Style], rng: np.random.Generator) -> list[Style]:
    """Adapt the cuts of an outfit: inner layers are tight, a tucked hem ends at the waist."""
    outer = styles[-1]
    styles = list(styles)
    for number, style in enumerate(styles[:-1]):
        if style.kind in ("top", "dress") and outer.kind in ("outwear", "dress"):
            styles[number] = replace(
                style,
                ease=min(style.ease, 0.05),
                sleeve_ease=min(style.sleeve_ease, 0.04),
                flare=min(style.flare, 0.1),
                shoulder=min(style.shoulder, outer.shoulder - 0.03) if style.sleeve else style.shoulder,
            )
    if len(styles) > 1 and styles[0].kind == "bottom" and styles[1].tuck:
        hem = styles[0].waist_y + rng.uniform(0.1, 0.25)
        styles[1] = replace(styles[1], hem_y=hem, hem_drop=0.03, flare=0.0)
    return styles
