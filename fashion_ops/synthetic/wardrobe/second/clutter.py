"""What lies behind things in photographs: clutter with the statistics of natural images.

All functions draw BGR uint8 (n, n, 3). Dead leaves follow Lee, Mumford and Huang, "Occlusion models for
natural images" (2001): opaque shapes, many small and few large, hide each other.
"""

from functools import lru_cache

import cv2
import numpy as np

from fashion_ops.synthetic.wardrobe import brush
from fashion_ops.synthetic.wardrobe.fabric import TILE, tile
from fashion_ops.synthetic.wardrobe.second.cuts import mixed, sample_cloth, sample_color
from fashion_ops.synthetic.wardrobe.textures import CREASES, SIDE, crease_map, pink

_LEAVES = 150


@lru_cache(maxsize=10)
def _cloud(number: int) -> np.ndarray:
    """1/f noise in three channels that mostly agree, as in photographs: uint8, two periods a side."""
    slope = (0.8, 1.0, 1.2, 1.5, 1.8)[number % 5]
    common = pink(700 + number, slope)
    channels = [128 + 42 * (0.9 * common + 0.42 * pink(720 + 3 * number + c, slope)) for c in range(3)]
    return np.tile(np.clip(cv2.merge(channels), 0, 255).astype(np.uint8), (2, 2, 1))


@lru_cache(maxsize=8)
def _grain(number: int) -> np.ndarray:
    """A shade of 1/f noise around ``brush.UNIT``, uint8, two periods a side; odd ones are streaked."""
    field = pink(800 + number, 0.8 + 0.15 * number, 6.0 if number % 2 else 1.0)
    return np.tile(np.clip(brush.UNIT + 18 * field, 0, 255).astype(np.uint8), (2, 2))


def _laid(
    rng: np.random.Generator, texture: np.ndarray, n: int, zoom: tuple[float, float]
) -> np.ndarray:
    """A periodic texture turned, scaled and shifted over n x n pixels."""
    scale = float(np.exp(rng.uniform(*np.log(zoom)))) * SIDE / n
    angle = rng.uniform(0, 2 * np.pi) if rng.random() < 0.6 else 0.0
    c, s = scale * np.cos(angle), scale * np.sin(angle)
    return brush.lay(texture, np.array([[c, -s, *rng.uniform(0, TILE, 1)], [s, c, 0.0]]), (n, n))


def _recolored(rng: np.random.Generator, image: np.ndarray) -> np.ndarray:
    """A grey-like image in the hues between two random colours."""
    dark, light = sample_color(rng), sample_color(rng)
    levels = np.linspace(0, 1, 256)[:, None]
    table = np.clip(np.array(dark) + levels * (np.array(light, float) - dark), 0, 255).astype(np.uint8)
    return cv2.LUT(image, table[None])


def fractal(rng: np.random.Generator, n: int) -> np.ndarray:
    """1/f noise in two colours; sometimes in few steps, which gives patches like foliage or rock."""
    out = _laid(rng, _cloud(int(rng.integers(10))), n, (0.3, 1.6))
    if rng.random() < 0.4:
        steps = int(rng.integers(3, 7))
        out = cv2.LUT(out, (np.arange(256) * steps // 256 * (255 // (steps - 1))).astype(np.uint8))
    return _recolored(rng, out) if rng.random() < 0.75 else out


def dead_leaves(rng: np.random.Generator, n: int) -> np.ndarray:
    """Opaque discs, boxes and polygons of all sizes over each other, with one grain over all."""
    out = fractal(rng, n)
    palette = [sample_color(rng) for _ in range(6)]
    # sizes fall with the third power, between 2 % and 30 % of the image
    low, high = 0.02 * n, 0.3 * n
    u = rng.random(_LEAVES)
    sizes = 1 / np.sqrt(1 / high**2 + u * (1 / low**2 - 1 / high**2))
    sizes = sizes * np.where(rng.random(_LEAVES) < 0.25, 2.0, 1.0)
    centers, kinds = rng.uniform(-0.05, 1.05, (_LEAVES, 2)) * n, rng.integers(0, 4, _LEAVES)
    angles, flat = rng.uniform(0, 180, _LEAVES), rng.uniform(0.3, 1.0, _LEAVES)
    tones, picks = rng.uniform(0.6, 1.3, _LEAVES), rng.integers(0, len(palette), _LEAVES)
    corners = rng.uniform(-1, 1, (_LEAVES, 5, 2))
    for i in range(_LEAVES):
        blue, green, red = (min(255, int(v * tones[i])) for v in palette[picks[i]])
        color, at, size = (blue, green, red), centers[i], float(sizes[i])
        if kinds[i] == 0:
            cv2.circle(out, (int(at[0]), int(at[1])), int(size), color, -1)
        elif kinds[i] == 1:
            axes = (int(size), int(size * flat[i]))
            cv2.ellipse(out, (int(at[0]), int(at[1])), axes, angles[i], 0, 360, color, -1)
        elif kinds[i] == 2:
            box = cv2.boxPoints(((at[0], at[1]), (2 * size, 1.4 * size * flat[i]), angles[i]))
            cv2.fillConvexPoly(out, box.astype(np.int32), color)
        else:
            cv2.fillPoly(out, [(at + size * corners[i]).astype(np.int32)], color)
    return brush.shaded(out, _laid(rng, _grain(int(rng.integers(8))), n, (0.5, 2.0)), out)


def sheet(rng: np.random.Generator, n: int) -> np.ndarray:
    """A bed sheet, a blanket or a towel in one colour, with creases."""
    shade = _laid(rng, crease_map(int(rng.integers(CREASES)), int(rng.integers(1, 4))), n, (0.35, 1.1))
    return brush.plain(sample_color(rng), shade)


def carpet(rng: np.random.Generator, n: int) -> np.ndarray:
    """A patterned cloth as a carpet, a tablecloth or wallpaper."""
    out = _laid(rng, tile(sample_cloth(rng)), n, (0.4, 1.8))
    return brush.shaded(out, _laid(rng, _grain(int(rng.integers(8))), n, (0.5, 2.0)), out)


def planks(rng: np.random.Generator, n: int) -> np.ndarray:
    """Wooden boards, or tiles of stone, in any direction, with grain and dark joints."""
    wood = rng.random() < 0.7
    if wood:
        color = mixed((40, 70, 110), (150, 190, 220), rng.random())
    else:
        color = mixed(sample_color(rng), (190, 195, 200), 0.7)
    board = np.empty((2 * SIDE, 2 * SIDE), np.uint8)
    width = SIDE // int(rng.integers(2, 7))
    length = width if not wood else SIDE // int(rng.integers(1, 3))
    tones = rng.uniform(0.8, 1.1, 64)
    for column, x in enumerate(range(0, 2 * SIDE, width)):
        shift = 0 if not wood else int(tones[column % 64] * 997) % length
        for row, y in enumerate(range(-shift, 2 * SIDE, length)):
            tone = int(brush.UNIT * tones[(column * 7 + row * 13) % 64])
            cv2.rectangle(board, (x, max(y, 0)), (x + width, y + length), tone, -1)
            cv2.rectangle(board, (x, max(y, 0)), (x + width, y + length), 120, 1)
    shade = cv2.addWeighted(board, 1.0, _grain(1 if wood else 2), 1.0, -brush.UNIT)
    return brush.plain(color, _laid(rng, shade, n, (0.5, 1.6)))


def patches(rng: np.random.Generator, n: int, source: np.ndarray) -> np.ndarray:
    """Tiles cut from another picture, mirrored and mixed up: cloth, skin and edges without a garment.

    Args:
        rng: draws the tiles.
        n: side of the result, pixels.
        source: BGR uint8 (h, w, 3).
    """
    count = int(rng.integers(3, 7))
    side = -(-n // count)
    height, width = source.shape[:2]
    piece = max(8, min(height, width) // int(rng.integers(4, 7)))
    out = np.empty((side * count, side * count, 3), np.uint8)
    ys, xs = rng.integers(0, height - piece + 1, count**2), rng.integers(0, width - piece + 1, count**2)
    turns = rng.integers(0, 4, count**2)
    for i in range(count**2):
        cut = source[ys[i] : ys[i] + piece, xs[i] : xs[i] + piece]
        cut = cut[:, ::-1] if turns[i] & 1 else cut
        cut = cut.transpose(1, 0, 2) if turns[i] & 2 else cut
        y, x = divmod(i, count)
        out[y * side : (y + 1) * side, x * side : (x + 1) * side] = cv2.resize(cut, (side, side))
    return out[:n, :n]
