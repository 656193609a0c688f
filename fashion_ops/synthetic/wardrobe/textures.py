"""Periodic textures with the statistics of photographs: 1/f noise, and creases of crumpled cloth."""

from functools import lru_cache

import numpy as np

SIDE = 256  # pixels; all textures repeat after it
CREASES = 8
_DEPTHS = (7.0, 15.0, 25.0, 36.0)


@lru_cache(maxsize=48)
def pink(seed: int, slope: float = 1.0, stretch: float = 1.0) -> np.ndarray:
    """Noise whose amplitude falls with frequency f as f ** -``slope``, as that of natural images does.

    Field, "Relations between the statistics of natural images and the response properties of cortical
    cells", 1987: the slope of photographs is about 1.

    Args:
        seed: of the noise.
        slope: 0 is white noise; larger slopes are smoother.
        stretch: how much longer structures are along y than along x.

    Returns:
        float32 (SIDE, SIDE), mean 0, standard deviation 1.
    """
    white = np.random.default_rng([seed, 31]).standard_normal((SIDE, SIDE))
    fy, fx = np.fft.fftfreq(SIDE)[:, None] * stretch, np.fft.rfftfreq(SIDE)[None, :]
    frequency = np.maximum(np.hypot(fy, fx), 1 / SIDE)
    out = np.fft.irfft2(np.fft.rfft2(white) * frequency**-slope, s=(SIDE, SIDE))
    out -= out.mean()
    return (out / out.std()).astype(np.float32)


@lru_cache(maxsize=8)
def _creases(number: int) -> np.ndarray:
    """Light and shade of bundles of creases, float32 (SIDE, SIDE), about -2..2.

    A bundle is a wave, sharp on one side and bent by smooth noise, that a slower noise fades out.
    """
    y, x = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32)
    x, y = x + 14 * pink(600 + number, 2.6), y + 14 * pink(620 + number, 2.6)
    gates, rng = pink(640 + number, 2.3), np.random.default_rng([number, 37])
    out = 0.25 * pink(660 + number, 1.2)
    for waves, height in ((2, 0.6), (3, 0.8), (4, 0.8), (6, 0.7), (8, 0.6), (11, 0.45)):
        across = int(rng.integers(-waves, waves + 1))
        down = int(rng.choice([-1, 1])) * int(np.ceil(np.sqrt(max(waves**2 - across**2, 1))))
        phase = 2 * np.pi * (across * x + down * y) / SIDE + rng.uniform(0, 2 * np.pi)
        fold = np.sin(phase) + 0.45 * np.sin(2 * phase + 0.6) + 0.25 * np.sin(3 * phase + 1.0)
        gate = np.roll(gates, rng.integers(SIDE, size=2), (0, 1))
        out = out + height * fold * np.clip(0.25 + 0.8 * gate, 0, 1.6)
    return out.astype(np.float32)


@lru_cache(maxsize=32)
def crease_map(number: int, strength: int) -> np.ndarray:
    """Shades of creases in all directions, around 200: uint8, two periods a side.

    Args:
        number: of the map, 0..``CREASES`` - 1.
        strength: from 0, ironed, to 3, crumpled.
    """
    shade = 200 + _DEPTHS[strength] * _creases(number)
    return np.tile(np.clip(shade, 0, 255).astype(np.uint8), (2, 2))
