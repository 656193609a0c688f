"""Cloth: colours, woven and printed patterns, and the soft light of folds.

A fabric is drawn once as a periodic tile (256 x 256, 64 tile pixels to a head) and then warped onto
each part of the garment. Colours are BGR.
"""

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from fashion_ops.synthetic.wardrobe import photos
from fashion_ops.synthetic.wardrobe.textures import pink

TILE = 256
TILE_PER_HEAD = 64.0

Color = tuple[int, int, int]


def rgb(code: str) -> Color:
    """The BGR colour of a hexadecimal RGB code such as ``d94f3b``."""
    return int(code[4:6], 16), int(code[2:4], 16), int(code[0:2], 16)


def colors(codes: str) -> tuple[Color, ...]:
    """The colours of codes with spaces between them."""
    return tuple(rgb(code) for code in codes.split())


def _families(text: str) -> tuple[tuple[Color, Color, Color], ...]:
    """Comma-separated triples of colours."""
    triples = (colors(part) for part in text.split(","))
    return tuple((base, second, third) for base, second, third in triples)


# Families of colours that go together: base, second, third.
_PALETTES = _families(
    "f4f1ea 1f3a5f c8442f, 1f3a5f f4f1ea d9a441, c8442f f4f1ea 2b2b33, 2b2b33 f1efe9 8b8f98, "
    "8fa38a f3ead7 3c4a3e, 3c4a3e d9c9a3 b3552f, d9a441 3a2e28 f6efe0, e7b7b0 8c2f39 fbf3ee, "
    "8c2f39 e9d3c4 23252f, 6f8fb3 f5f2ec 24344d, 24344d 9fb7cf e9e4d8, b9a7d0 4b3b66 f6f2fa, "
    "4b3b66 d7c7ea e6b450, 5aa9a3 f3efe4 17494d, 17494d 9fd0c7 f0c987, f0c987 7a4b2a fdf7ea, "
    "7a4b2a e2c9a6 2c221d, d86f45 fbe9d7 35424f, ef9aa8 fdf3f2 5f2a4a, 5f2a4a f1c6cf c9a45c, "
    "9aa3ad 2d333b f4f5f6, 4a525c c9ced4 e0b040, a9c6d9 2f5673 ffffff, 2f6f4f e8e3cf d98f3a, "
    "e9e0cf 8a7a63 3a342c, bf3b55 ffe9ec 2a2330, 3763a8 ffffff f2c14e, f2c14e 2f4858 fffaf0, "
    "111319 5b616b e3e3e3, ffffff 30343c d6455d"
)
_DENIM = _families(
    "3f5f8a 7e9cc0 c98a3c, 27405f 5d7fa8 c98a3c, 8fb0d0 c9dbea d9a35c, 2a2f3a 555d6b 8b8f98"
)

_PATTERNS = (
    *("plain", "melange", "stripes", "breton", "pinstripe", "plaid", "gingham", "dots", "floral"),
    *("knit", "marble", "leopard", "geometric"),
)
_SHARE = np.array([0.25, 0.1, 0.09, 0.08, 0.05, 0.08, 0.06, 0.07, 0.08, 0.05, 0.03, 0.03, 0.03])
_TAILORED = ("outwear", "trousers", "shorts")


def toned(color: Color, name: str) -> Color:
    """A ``dark``, ``darker`` or ``light`` tone of a colour; the dark tones of black are lighter."""
    if name == "light":
        factor, lift = 1.0, 45
    elif sum(color) < 180:
        factor, lift = 1.0, 38
    else:
        factor, lift = {"dark": 0.68, "darker": 0.45}[name], 0
    b, g, r = (max(0, min(255, round(c * factor + lift))) for c in color)
    return b, g, r


@dataclass(frozen=True)
class Fabric:
    """A cloth.

    Attributes:
        pattern: name of the pattern.
        colors: base, second and third colour.
        repeat: length after which the pattern repeats, heads.
        seed: of the random parts of the pattern.
        folds: how strongly it creases, 0..1.
        photo: path of the photo that ``pattern`` "photo" is cut from.
    """

    pattern: str
    colors: tuple[Color, Color, Color]
    repeat: float
    seed: int
    folds: float
    photo: str = ""

    @property
    def base(self) -> Color:
        return self.colors[0]

    def tone(self, name: str) -> Color:
        """The colour ``trim`` or ``second``, or a tone of the base colour."""
        if name == "trim":
            return self.colors[2]
        if name == "second":
            return self.colors[1]
        return toned(self.base, name)


def sample_fabric(rng: np.random.Generator, name: str) -> Fabric:
    """A random cloth that suits the category of this name."""
    bottoms = any(word in name for word in ("trousers", "shorts", "skirt"))
    if bottoms and rng.random() < 0.38:
        colors, pattern = _DENIM[rng.integers(len(_DENIM))], "denim"
    else:
        colors = _PALETTES[rng.integers(len(_PALETTES))]
        share = _SHARE.copy()
        if any(word in name for word in _TAILORED):
            share[[0, 1]] *= 3
            share[[7, 8, 11]] *= 0.25
        pattern = str(rng.choice(_PATTERNS, p=share / share.sum()))
    return Fabric(
        pattern=pattern,
        colors=colors,
        repeat=float(np.exp(rng.uniform(np.log(0.16), np.log(0.42)))),
        seed=int(rng.integers(1 << 30)),
        folds=float(rng.uniform(0.35, 1.0)),
    )


@lru_cache(maxsize=32)
def noise(seed: int, along: float, across: float) -> np.ndarray:
    """Periodic noise, float32 (TILE, TILE), mean 0, standard deviation 1; lengths in pixels.

    Args:
        seed: of the noise.
        along: correlation length along y.
        across: correlation length along x.
    """
    white = np.random.default_rng(seed).standard_normal((TILE, TILE))
    fy, fx = np.fft.fftfreq(TILE)[:, None], np.fft.rfftfreq(TILE)[None, :]
    band = np.exp(-2 * np.pi**2 * ((fy * along) ** 2 + (fx * across) ** 2))
    out = np.fft.irfft2(np.fft.rfft2(white) * band, s=(TILE, TILE))
    out -= out.mean()
    return (out / out.std()).astype(np.float32)


@lru_cache(maxsize=4)
def fold_maps(strength: int) -> tuple[np.ndarray, ...]:
    """Shades of creases that run down the cloth, around 200: uint8, two periods a side.

    ``strength`` runs from 0, ironed, to 3, crumpled.
    """
    depth = (6.0, 11.0, 16.0, 22.0)[strength]
    maps = []
    for k in range(5):
        soft = noise(100 + k, 44, 10) * 0.65 + noise(200 + k, 18, 5) * 0.35
        maps.append(np.tile(np.clip(200 + depth * soft, 0, 255).astype(np.uint8), (2, 2)))
    return tuple(maps)


def _waves(period: float) -> tuple[np.ndarray, np.ndarray]:
    """Phases (0..1) along x and along y of a pattern that repeats a whole number of times."""
    count = max(1, round(TILE / period))
    phase = (np.arange(TILE) * count / TILE) % 1.0
    return np.broadcast_to(phase[None, :], (TILE, TILE)), np.broadcast_to(phase[:, None], (TILE, TILE))


def _scatter(fabric: Fabric, rng: np.random.Generator, flower: bool) -> np.ndarray:
    """A tile of dots in a staggered grid, or of flowers, from a periodic block of 4 x 4."""
    repeats = max(1, round(TILE / (4 * fabric.repeat * TILE_PER_HEAD * (1.0 if flower else 0.8))))
    side = TILE // repeats
    cell = side / 4
    spots: list[tuple[float, float, float, Color]] = []
    for i in range(4):
        for j in range(4):
            x, y = (j + 0.5 * (i % 2)) * cell, i * cell
            if not flower:
                spots.append((x, y, 0.22 * cell, fabric.colors[1]))
                continue
            x, y = x + rng.uniform(-0.3, 0.3) * cell, y + rng.uniform(-0.3, 0.3) * cell
            color = fabric.colors[1 + int(rng.random() < 0.35)]
            for a in rng.uniform(0, 1.2) + np.arange(5) * 2 * np.pi / 5:
                petal = x + 0.17 * cell * np.cos(a), y + 0.17 * cell * np.sin(a)
                spots.append((*petal, 0.13 * cell, color))
            spots.append((x, y, 0.075 * cell, fabric.colors[0]))
    block = np.empty((side, side, 3), np.uint8)
    block[:] = fabric.base
    for x, y, radius, color in spots:
        for px in (x, x - side, x + side):
            for py in (y, y - side, y + side):
                if -radius < px < side + radius and -radius < py < side + radius:
                    center = (round(px * 8), round(py * 8))
                    cv2.circle(block, center, round(radius * 8), color, -1, cv2.LINE_AA, 3)
    return cv2.resize(np.tile(block, (repeats, repeats, 1)), (TILE, TILE))


@lru_cache(maxsize=24)
def _shares(pattern: str, variant: int) -> np.ndarray:
    """How much of the second colour each pixel has, 0..255, in three equal channels."""
    if pattern == "heather":
        share = 0.2 + 0.14 * noise(variant % 4, 0.8, 0.8)
    elif pattern == "jeans":
        share = 0.28 + 0.15 * noise(variant % 4, 0.7, 0.7) + 0.13 * noise(9 + variant % 3, 20, 12)
    else:
        share = 0.35 + 0.3 * pink(variant, 1.1, (1.0, 0.3, 3.0)[variant % 3])
    channel = np.tile(np.clip(share * 255, 0, 255).astype(np.uint8), (2, 2))
    return cv2.merge([channel] * 3)


@lru_cache(maxsize=16)
def tile(fabric: Fabric) -> np.ndarray:
    """The drawn cloth, two periods a side: BGR uint8 (2 * TILE, 2 * TILE, 3)."""
    if fabric.pattern in ("heather", "jeans", "cloudy"):  # between two colours, by one look-up
        base, second = np.array(fabric.base, np.float32), np.array(fabric.colors[1], np.float32)
        steps = np.linspace(0, 1, 256, dtype=np.float32)[:, None]
        table = np.rint(base + (second - base) * steps).astype(np.uint8)
        return cv2.LUT(_shares(fabric.pattern, fabric.seed % 6), table[None])
    rng = np.random.default_rng(fabric.seed)
    if fabric.pattern in ("dots", "floral"):
        return cv2.repeat(_scatter(fabric, rng, flower=fabric.pattern == "floral"), 2, 2)
    if fabric.pattern == "photo":
        piece = cv2.resize(photos.cut(fabric.photo, rng, (0.08, 0.3)), (TILE // 2, TILE // 2))
        piece = np.hstack([piece, piece[:, ::-1]])  # mirrored, it repeats without a seam
        return cv2.repeat(np.vstack([piece, piece[::-1]]), 2, 2)
    planes = np.clip(_woven(fabric), 0, 255).astype(np.uint8)
    return cv2.repeat(cv2.merge(list(planes)), 2, 2)


def _woven(fabric: Fabric) -> np.ndarray:
    """Blue, green and red of a woven or printed cloth, float32 (3, TILE, TILE)."""
    base, second, third = (np.array(c, np.float32)[:, None, None] for c in fabric.colors)
    out = np.empty((3, TILE, TILE), np.float32)
    out[:] = base
    x, y = _waves(fabric.repeat * TILE_PER_HEAD)
    grain = noise(int(fabric.seed % 4), 0.8, 0.8)
    name = fabric.pattern
    if name == "melange":
        out += (second - base) * np.clip(0.18 + 0.12 * grain, 0, 0.5)
    elif name == "denim":
        out += (second - base) * np.clip(0.25 + 0.16 * grain + 0.12 * noise(9, 20, 12), 0, 0.8)
    elif name == "stripes":
        np.copyto(out, second, where=y < 0.5)
    elif name == "breton":
        np.copyto(out, second, where=y < 0.28)
    elif name == "pinstripe":
        np.copyto(out, second, where=x < 0.14)
    elif name == "plaid":
        a, b = (x < 0.4).astype(np.float32), (y < 0.4).astype(np.float32)
        out += (second - base) * (0.45 * a + 0.45 * b)
        np.copyto(out, third, where=((x > 0.66) & (x < 0.72)) | ((y > 0.66) & (y < 0.72)))
    elif name == "gingham":
        out += (second - base) * (0.5 * (x < 0.5) + 0.5 * (y < 0.5))
    elif name == "knit":
        fine_x, fine_y = _waves(9)
        rows = np.abs(((fine_y + 0.5 * np.abs(fine_x - 0.5)) % 1.0) - 0.5)
        out *= 0.82 + 0.36 * rows
    elif name == "marble":
        field = noise(int(40 + fabric.seed % 3), 14, 14)
        out += (second - base) * np.clip(0.5 + field * 0.7, 0, 1)
    elif name == "leopard":
        np.copyto(out, second, where=np.abs(noise(int(60 + fabric.seed % 3), 5, 5)) < 0.45)
    elif name == "geometric":
        diamond = np.abs(x - 0.5) + np.abs(y - 0.5)
        np.copyto(out, second, where=diamond < 0.34)
        np.copyto(out, third, where=diamond < 0.14)
    if name in ("plain", "stripes", "breton", "plaid", "gingham"):
        out += 3.0 * grain
    return out


@lru_cache(maxsize=16)
def coarse_tile(fabric: Fabric) -> np.ndarray:
    """``tile`` at half its resolution, for cloth seen from afar: BGR uint8 (TILE, TILE, 3)."""
    return cv2.resize(tile(fabric), (TILE, TILE), interpolation=cv2.INTER_AREA)
