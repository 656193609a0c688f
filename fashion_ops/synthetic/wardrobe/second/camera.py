"""Shape of the picture, frame, tilt and perspective, and the bend of rumpled cloth.

Calibrated on DeepFashion2: 36 % (its public samples) to 41 % of the garments touch the border, and two
thirds of a worn garment's landmarks are visible; most pictures are upright. ``bench.wardrobe`` prints
the wardrobe's shares.
"""

from dataclasses import dataclass

import numpy as np

from fashion_ops.synthetic.wardrobe.canvas import OVERSAMPLING, Frame
from fashion_ops.synthetic.wardrobe.garment import Garment
from fashion_ops.synthetic.wardrobe.second.plan import Setting

# (share, height to width) of pictures
_SHAPES = ((0.38, 4 / 3), (0.3, 3 / 2), (0.06, 16 / 9), (0.16, 1.0), (0.07, 3 / 4), (0.03, 2 / 3))
_NEAREST = 0.4  # least factor of perspective on the distance


@dataclass(frozen=True)
class Bend:
    """A smooth displacement (rumpled cloth, a lens), then a perspective, of points in heads.

    Attributes:
        waves: (k, 2) radians a head.
        phases: (k,).
        shifts: (k, 2) heads.
        center: (2,), which the perspective leaves in place.
        slant: (2,) a head; how fast the distance grows along x and y.
    """

    waves: np.ndarray
    phases: np.ndarray
    shifts: np.ndarray
    center: np.ndarray
    slant: np.ndarray

    def __call__(self, points: np.ndarray) -> np.ndarray:
        angles = points @ self.waves.T
        angles += self.phases
        np.sin(angles, out=angles)
        bent = angles @ self.shifts
        bent += points
        bent -= self.center
        distance = bent @ self.slant
        distance += 1
        np.maximum(distance, _NEAREST, out=distance)
        bent /= distance[..., None]
        bent += self.center
        return bent


def picture_shape(rng: np.random.Generator, size: int) -> tuple[int, int]:
    """Height and width of a picture, pixels; the longer side is ``size``, most are portraits."""
    draw, total = rng.random(), 0.0
    ratio = 1.0
    for share, shape in _SHAPES:
        ratio, total = shape, total + share
        if draw < total:
            break
    short = max(32, round(size / max(ratio, 1 / ratio)))
    return (size, short) if ratio >= 1 else (short, size)


def sample_bend(rng: np.random.Generator, setting: Setting, center: np.ndarray, span: float) -> Bend:
    """A bend around ``center`` (2,) for things ``span`` heads long.

    Clothes laid out are rumpled most; people are seen from a little above or below.
    """
    rumpled = {"worn": 0.02, "hanger": 0.03, "flat": 0.055, "empty": 0.05}[setting] * rng.uniform(
        0, 1.6
    )
    if setting == "flat" and rng.random() < 0.3:
        rumpled *= 1.8
    angles = rng.uniform(0, 2 * np.pi, (2, 4))
    lengths = np.exp(rng.uniform(np.log(1.4), np.log(5.0), 4))
    waves = np.stack([np.cos(angles[0]), np.sin(angles[0])], 1) * (2 * np.pi / lengths)[:, None]
    heights = rumpled * np.clip(lengths / 2.5, 0.4, 1.4) * rng.uniform(0.4, 1.0, 4)
    # where the slope of all waves together reaches 1, cloth would fold over itself
    heights *= min(1.0, 0.6 / float((heights * 2 * np.pi / lengths).sum() + 1e-9))
    shifts = np.stack([np.cos(angles[1]), np.sin(angles[1])], 1) * heights[:, None]
    slant = rng.normal(0, {"worn": 0.07, "hanger": 0.08, "flat": 0.16, "empty": 0.16}[setting], 2)
    if setting == "worn":
        slant *= (0.5, 1.0)
    slant = np.clip(slant, -0.4, 0.4) / max(span, 1.0)
    return Bend(waves, rng.uniform(0, 2 * np.pi, 4), shifts, center, slant)


def _roll(rng: np.random.Generator, setting: Setting) -> float:
    draw = rng.random()
    if setting == "worn":
        return float(rng.normal(0, 0.32 if draw < 0.1 else 0.08))
    if setting == "hanger":
        return float(rng.normal(0, 0.06))
    if draw < 0.1:
        return float(rng.uniform(-np.pi, np.pi))
    return float(rng.normal(0, 0.35 if draw < 0.25 else 0.1))


def _fill(rng: np.random.Generator, setting: Setting, several: bool) -> tuple[float, bool]:
    """How much of the picture the target fills (1 is all), and whether it is one garment only."""
    if setting != "worn":
        return float(rng.uniform(1.0, 1.4) if rng.random() < 0.2 else rng.uniform(0.45, 0.98)), False
    single = several and rng.random() < 0.35
    middle, spread = (-0.12, 0.38) if single else (-0.22, 0.52)
    return float(np.clip(np.exp(rng.normal(middle, spread)), 0.22, 1.9)), single


def sample_frame(
    rng: np.random.Generator, setting: Setting, garments: list[Garment], shape: tuple[int, int]
) -> Frame:
    """A frame for the garments of a shot.

    Args:
        rng: draws tilt, perspective, zoom and place.
        setting: how the garments are shown.
        garments: at least one.
        shape: height and width of the picture, pixels.
    """
    fill, single = _fill(rng, setting, len(garments) > 1)
    targets = [garments[int(rng.integers(len(garments)))]] if single else garments
    points = np.vstack([g.ordered()[0] for g in targets])
    return frame_around(rng, setting, points, fill, shape)


def frame_around(
    rng: np.random.Generator, setting: Setting, points: np.ndarray, fill: float, shape: tuple[int, int]
) -> Frame:
    """A frame in which ``points`` (k, 2), in heads, fill ``fill`` of the picture's height or width."""
    low, high = points.min(0), points.max(0)
    bend = sample_bend(rng, setting, (low + high) / 2, float((high - low).max()))
    roll, stretch = _roll(rng, setting), float(np.exp(rng.normal(0, 0.06)))
    c, s = np.cos(roll), np.sin(roll)
    linear = np.array([[c, -s], [s, c]]) @ np.array([[stretch, rng.normal(0, 0.03)], [0, 1 / stretch]])
    seen = bend(points) @ linear.T
    low, high = seen.min(0), seen.max(0)
    room = np.array([shape[1], shape[0]]) * OVERSAMPLING
    extent = np.maximum(high - low, 1e-3)
    scale = fill * float((room / extent).min())
    slack = room / scale - extent
    # inside, anywhere; a part that is cut off is cut on one side more than on the other
    shift = rng.uniform(-0.5, 0.5, 2) * np.where(slack > 0, 0.85, 1.1) * np.abs(slack)
    if setting == "worn" and rng.random() < 0.22:  # a careless photographer
        shift = shift + rng.normal(0, 0.14, 2) * extent
    middle = (low + high) / 2 + shift
    return Frame(np.hstack([linear * scale, ((room - 1) / 2 - scale * middle)[:, None]]), bend)
