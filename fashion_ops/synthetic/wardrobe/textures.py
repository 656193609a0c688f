"""Periodic textures with the statistics of photographs: 1/f noise, and creases of crumpled cloth."""

from functools import lru_cache

import numpy as np

SIDE = 256  # pixels; all textures repeat after it
_DEPTHS = (7.0, 13.0, 19.0, 26.0)


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


@lru_cache(maxsize=4)
def crease_maps(strength: int) -> tuple[np.ndarray, ...]:
    """Shades of creases in all directions, around 200: uint8, two periods a side.

    ``strength`` runs from 0, ironed, to 3, crumpled. A crease is where smooth noise crosses zero: a
    bright line with a dark one beside it.
    """
    depth = _DEPTHS[strength]
    maps = []
    for k in range(5):
        field = pink(300 + k, 1.9, (1.0, 0.6, 1.7, 1.3, 0.8)[k])
        ridge = np.exp(-((field / 0.09) ** 2)) - np.exp(-(((field - 0.16) / 0.12) ** 2))
        soft = pink(400 + k, 1.6)
        shade = 200 + depth * (0.8 * soft + 0.75 * ridge * np.clip(pink(500 + k, 1.8), 0, 1.5))
        maps.append(np.tile(np.clip(shade, 0, 255).astype(np.uint8), (2, 2)))
    return tuple(maps)
