"""Backgrounds (rooms, streets, studios, table tops), light and camera.

Backgrounds are drawn smaller than the image and enlarged, which puts them out of focus.
"""

import cv2
import numpy as np

from fashion_ops.synthetic.wardrobe.fabric import Color, colors, noise, rgb

_WALLS = colors("e9e4da d8dcdf cfd8d3 e6d5c6 bfc8cf a8b5a2 c9b7a8 8f9aa5 f0ece6 b8a9c0")
_STUDIO = colors("f7f6f4 eeeeee e8ecef f3ede6 dfe5e8 f2e6e4 e5e9e0")
_FLOORS = colors("8a6a4c a98a68 6e6a66 b9b2a8 5a4a40 9a9488")
_THINGS = colors("5b6c5d 7d5a44 2f4858 b85c4a d7b26d 494d57 86a3a8 e4e0d6 6d7f94 3d3a3a 9c7a5a c7d0c2")
_CLOTHS = colors("d9d4ca c3ccd2 b7a594 8d8f94 e8e4dd 6b7682 cdb9a5 4f5560 dcc9c9")
_WOOD = colors("b58a5f 8c6442 caa77d 6d4c33 d9c3a1")


def _pick(rng: np.random.Generator, colors: tuple[Color, ...]) -> Color:
    return colors[rng.integers(len(colors))]


def _blank(side: int, color: Color) -> np.ndarray:
    out = np.empty((side, side, 3), np.uint8)
    out[:] = color
    return out


def _grain(out: np.ndarray, strength: float, along: float, across: float, seed: int) -> np.ndarray:
    """A background with smooth noise added."""
    field = cv2.resize(noise(seed, along, across), out.shape[1::-1]) * strength
    return cv2.add(out, cv2.merge([field] * 3), dtype=cv2.CV_8U)


def studio(rng: np.random.Generator, side: int) -> np.ndarray:
    """A clean backdrop, lighter in the middle."""
    color = np.array(_pick(rng, _STUDIO), float)
    y, x = np.mgrid[-1:1:33j, -1:1:33j]
    fall = 1.02 - rng.uniform(0.02, 0.14) * (x * x + (y - rng.uniform(-0.4, 0.2)) ** 2)
    return cv2.resize(np.clip(color * fall[..., None], 0, 255).astype(np.uint8), (side, side))


def _box(
    out: np.ndarray, rng: np.random.Generator, y0: float, y1: float, w: tuple[float, float]
) -> tuple[int, int, int, int]:
    side = out.shape[0]
    width = rng.uniform(*w) * side
    x = rng.uniform(-0.1, 1.0) * side
    return int(x), int(y0 * side), int(x + width), int(y1 * side)


def room(rng: np.random.Generator, side: int) -> np.ndarray:
    """A wall and a floor with frames, shelves, a door, curtains, a plant, a cupboard."""
    out = _blank(side, _pick(rng, _WALLS))
    horizon = rng.uniform(0.66, 0.95)
    floor = int(horizon * side)
    if rng.random() < 0.35:
        _bricks(out, round(rng.uniform(14, 26) * side / 256))
    cv2.rectangle(out, (0, floor), (side, side), _pick(rng, _FLOORS), -1)
    if rng.random() < 0.5:
        cv2.line(out, (0, floor), (side, floor), (235, 238, 240), max(1, side // 60))
    for _ in range(int(rng.integers(3, 8))):
        thing = rng.integers(5)
        color, dark = _pick(rng, _THINGS), _pick(rng, _THINGS)
        if thing == 0:  # a frame
            y = rng.uniform(0.05, 0.4)
            x0, y0, x1, y1 = _box(out, rng, y, y + rng.uniform(0.12, 0.3), (0.1, 0.28))
            cv2.rectangle(out, (x0, y0), (x1, y1), (242, 244, 245), -1)
            cv2.rectangle(out, (x0, y0), (x1, y1), dark, max(2, side // 70))
            cv2.circle(out, ((x0 + x1) // 2, (y0 + y1) // 2), max(2, (x1 - x0) // 4), color, -1)
        elif thing == 1:  # a shelf of books
            y = rng.uniform(0.15, 0.6)
            x0, y0, x1, y1 = _box(out, rng, y, y + 0.16, (0.2, 0.45))
            for x in range(x0, x1, max(3, side // 40)):
                top = y0 + int(rng.uniform(0, 0.06) * side)
                cv2.rectangle(out, (x, top), (x + max(2, side // 48), y1), _pick(rng, _THINGS), -1)
            cv2.line(out, (x0, y1), (x1, y1), dark, max(2, side // 60))
        elif thing == 2:  # a door or a curtain
            x0, y0, x1, y1 = _box(out, rng, rng.uniform(0, 0.15), horizon, (0.16, 0.34))
            cv2.rectangle(out, (x0, y0), (x1, y1), color, -1)
            shade: Color = (color[0] * 4 // 5, color[1] * 4 // 5, color[2] * 4 // 5)
            for x in range(x0, x1, max(4, (x1 - x0) // 6)):
                cv2.line(out, (x, y0), (x, y1), shade, max(1, side // 90))
        elif thing == 3:  # a plant
            x, y = int(rng.uniform(0, 1) * side), int((horizon + 0.05) * side)
            for angle in np.linspace(-1.1, 1.1, 9):
                length = rng.uniform(0.15, 0.32) * side
                tip = (int(x + length * np.sin(angle)), int(y - 0.08 * side - length * np.cos(angle)))
                green = (70 + int(rng.integers(40)), 130, 80)
                cv2.line(out, (x, y - side // 14), tip, green, max(2, side // 50))
            cv2.rectangle(out, (x - side // 20, y - side // 12), (x + side // 20, y), dark, -1)
        else:  # a cupboard or a chair
            y = horizon - rng.uniform(0.15, 0.4)
            x0, y0, x1, y1 = _box(out, rng, y, min(1.0, horizon + 0.08), (0.15, 0.35))
            cv2.rectangle(out, (x0, y0), (x1, y1), color, -1)
            cv2.line(out, (x0, (y0 + y1) // 2), (x1, (y0 + y1) // 2), dark, max(1, side // 80))
    return _grain(out, 4, 20, 20, 3)


def _bricks(out: np.ndarray, height: int) -> None:
    side = out.shape[0]
    base = np.array(out[0, 0], int)
    line = tuple(int(c) for c in np.clip(base - 28, 0, 255))
    for row, y in enumerate(range(0, side, height)):
        cv2.line(out, (0, y), (side, y), line, 1)
        for x in range((row % 2) * height, side, 2 * height):
            cv2.line(out, (x, y), (x, y + height), line, 1)


def street(rng: np.random.Generator, side: int) -> np.ndarray:
    """Houses with windows, a strip of green, a pavement."""
    out = _blank(side, rgb("c9dbe6") if rng.random() < 0.6 else rgb("dfe3e4"))
    ground = int(rng.uniform(0.6, 0.88) * side)
    x = int(-0.1 * side)
    while x < side:
        width = int(rng.uniform(0.18, 0.4) * side)
        top = int(rng.uniform(-0.1, 0.35) * side)
        color, pane = _pick(rng, _THINGS + _WALLS), _pick(rng, _THINGS)
        cv2.rectangle(out, (x, top), (x + width, ground), color, -1)
        step = max(6, side // int(rng.integers(8, 14)))
        for wy in range(top + step // 2, ground - step, step):
            for wx in range(x + step // 3, x + width - step // 2, step):
                cv2.rectangle(out, (wx, wy), (wx + step // 2, wy + step * 2 // 3), pane, -1)
        x += width
    cv2.rectangle(out, (0, ground), (side, side), _pick(rng, _FLOORS[2:]), -1)
    if rng.random() < 0.6:
        for bx in range(0, side, max(4, side // 16)):
            radius = int(rng.uniform(0.03, 0.07) * side)
            green = (72, 118 + int(rng.integers(30)), 84)
            cv2.circle(out, (bx, ground - side // 40), radius, green, -1)
    return _grain(out, 5, 12, 12, 5)


def table(rng: np.random.Generator, side: int, plain: bool) -> np.ndarray:
    """A surface seen from above: planks, a sheet, a rug; ``plain`` leaves out planks and rugs."""
    kind = rng.integers(2 if plain else 4)
    if plain and kind == 0:
        return studio(rng, side)
    if kind <= 1:
        out = _blank(side, _pick(rng, _CLOTHS))
        return _grain(out, 9, 26, 9, 11 + int(rng.integers(3)))
    if kind == 2:
        color = np.array(_pick(rng, _WOOD), float)
        out = _blank(side, (0, 0, 0))
        width = max(8, int(rng.uniform(0.12, 0.25) * side))
        for x in range(0, side, width):
            plank = np.clip(color * rng.uniform(0.88, 1.08), 0, 255)
            out[:, x : x + width] = plank
            cv2.line(out, (x, 0), (x, side), tuple(int(c) for c in color * 0.6), max(1, side // 128))
        return _grain(out, 8, 70, 2.5, 21)
    out = _blank(side, _pick(rng, _CLOTHS))
    color = _pick(rng, _THINGS)
    step = max(10, int(rng.uniform(0.1, 0.2) * side))
    for i, y in enumerate(range(0, side + step, step)):
        for x in range((i % 2) * step // 2, side + step, step):
            cv2.circle(out, (x, y), step // 5, color, -1)
    for _ in range(int(rng.integers(0, 3))):
        center = (int(rng.uniform(0, 1) * side), int(rng.uniform(0, 1) * side))
        cv2.circle(out, center, int(rng.uniform(0.06, 0.13) * side), _pick(rng, _THINGS), -1)
    return _grain(out, 6, 10, 10, 31)


def background(rng: np.random.Generator, side: int, source: str, flat: bool) -> np.ndarray:
    """A background, BGR uint8 (side, side, 3): clean for a shop's image, cluttered for a user's."""
    small = max(32, side // 4)
    if flat:
        out = table(rng, small * 2, plain=source == "shop")
    elif source == "shop":
        out = studio(rng, small) if rng.random() < 0.75 else room(rng, small)
    else:
        out = (room if rng.random() < 0.6 else street)(rng, small)
    return cv2.resize(out, (side, side), interpolation=cv2.INTER_LINEAR)


def develop(rng: np.random.Generator, image: np.ndarray, source: str) -> np.ndarray:
    """Apply exposure, white balance, uneven light, vignette and sensor noise to a BGR uint8 image."""
    side = image.shape[0]
    strength = 0.5 if source == "shop" else 1.0
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[-1:1:17j, -1:1:17j].astype(np.float32)
    slope = rng.uniform(0, 0.16) * strength * (np.cos(angle) * x + np.sin(angle) * y)
    gain = rng.normal(1.0, 0.08 * strength) + slope - rng.uniform(0, 0.1) * strength * (x * x + y * y)
    balance = 1 + rng.normal(0, 0.025 * strength, 3)
    light = cv2.resize((gain[..., None] * balance).astype(np.float32), (side, side))
    out = image.astype(np.float32) * light
    grain = noise(71 + int(rng.integers(4)), 0.6, 0.6)
    dy, dx = rng.integers(256, size=2)
    grain = np.roll(grain, (int(dy), int(dx)), (0, 1))
    repeat = -(-side // grain.shape[0])
    field = np.tile(grain, (repeat, repeat))[:side, :side] * rng.uniform(0.6, 3.0) * strength
    return np.clip(out + field[..., None], 0, 255).astype(np.uint8)
