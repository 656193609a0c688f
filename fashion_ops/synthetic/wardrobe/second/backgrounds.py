"""Backgrounds of each kind of image: rooms, streets, floors, walls, clutter, the user's photos."""

from collections.abc import Callable

import cv2
import numpy as np

from fashion_ops.synthetic.wardrobe import photos, scene
from fashion_ops.synthetic.wardrobe.second import clutter
from fashion_ops.synthetic.wardrobe.second.cuts import sample_color
from fashion_ops.synthetic.wardrobe.second.plan import Setting

_PHOTO = 0.6  # share of backgrounds cut from the user's photos, if there are any
_SHARES: dict[str, dict[str, float]] = {
    "worn": {
        "room": 26,
        "street": 14,
        "studio": 12,
        "leaves": 20,
        "fractal": 8,
        "patches": 8,
        "wall": 12,
    },
    "flat": {
        "planks": 28,
        "sheet": 28,
        "carpet": 18,
        "fractal": 8,
        "leaves": 6,
        "wall": 6,
        "patches": 6,
    },
    "hanger": {"wall": 34, "room": 16, "planks": 14, "sheet": 12, "leaves": 14, "studio": 10},
}
_SHARES["empty"] = {"room": 15, "street": 6, "leaves": 12, "fractal": 8, "patches": 8, "planks": 19}
_SHARES["empty"] |= {"sheet": 18, "carpet": 10, "wall": 4}


def _wall(rng: np.random.Generator, n: int) -> np.ndarray:
    """A wall or a door in one colour, with little texture."""
    out = np.empty((n, n, 3), np.uint8)
    out[:] = sample_color(rng) if rng.random() < 0.5 else [int(rng.uniform(150, 245))] * 3
    if rng.random() < 0.5:  # a door's panels, a radiator, wainscot
        x0, step = int(rng.uniform(0, 0.3) * n), max(6, int(rng.uniform(0.08, 0.5) * n))
        for x in range(x0, n, step):
            cv2.rectangle(out, (x, -4), (x + step - n // 40, n + 4), out[0, 0].tolist(), 1)
            cv2.line(out, (x, 0), (x, n), [int(v * 0.85) for v in out[0, 0]], max(1, n // 90))
    return out


def _leaves(rng: np.random.Generator, n: int) -> np.ndarray:
    return clutter.dead_leaves(rng, n)


_DRAW: dict[str, Callable[[np.random.Generator, int], np.ndarray]] = {
    "room": scene.room,
    "street": scene.street,
    "studio": scene.studio,
    "wall": _wall,
    "leaves": _leaves,
    "fractal": clutter.fractal,
    "planks": clutter.planks,
    "sheet": clutter.sheet,
    "carpet": clutter.carpet,
}


def sample_background(
    rng: np.random.Generator,
    setting: Setting,
    shape: tuple[int, int],
    paths: tuple[str, ...],
    own: Callable[[int], np.ndarray],
) -> np.ndarray:
    """A background of a picture's shape, BGR uint8 (h, w, 3).

    Args:
        rng: draws it.
        setting: of the image.
        shape: height and width of the picture, pixels.
        paths: of the user's photos; may be empty.
        own: a finished picture of the wardrobe by its number, for patches of it.
    """
    n = max(shape)
    if paths and rng.random() < _PHOTO:
        out = photos.cut(paths[int(rng.integers(len(paths)))], rng, (0.35, 0.9))
        out = cv2.resize(out, (n, n), interpolation=cv2.INTER_LINEAR)
    else:
        names, shares = list(_SHARES[setting]), np.array(list(_SHARES[setting].values()), float)
        name = names[int(np.searchsorted(np.cumsum(shares / shares.sum()), rng.random() * 0.999999))]
        if name == "patches":
            out = clutter.patches(rng, n, own(int(rng.integers(1 << 16))))
        else:
            out = _DRAW[name](rng, n)
    if rng.random() < 0.2:  # out of focus
        size = 2 * int(rng.uniform(0.004, 0.02) * n) + 1
        out = cv2.blur(out, (size, size))
    y, x = (int(rng.integers(n - side + 1)) for side in shape)
    return np.ascontiguousarray(out[y : y + shape[0], x : x + shape[1]])
