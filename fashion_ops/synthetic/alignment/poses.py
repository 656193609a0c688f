"""Figures and frames for FLD's variations: normal, medium and large pose, medium and large zoom-in.

FLD calls an image medium zoom-in if more than one landmark is cut off, and large if more than three
are; for lower-body garments, which have four landmarks, large means more than two.
"""

import numpy as np

from fashion_ops.synthetic.wardrobe.body import Figure, pose_as
from fashion_ops.synthetic.wardrobe.canvas import Frame
from fashion_ops.synthetic.wardrobe.garment import Garment
from fashion_ops.synthetic.wardrobe.render import Framing

NORMAL, MEDIUM, LARGE, MEDIUM_ZOOM, LARGE_ZOOM = range(1, 6)
SHARES = (0.34, 0.22, 0.18, 0.16, 0.10)  # of the five among the images
_ARMS = {
    NORMAL: (("hang", "bent"), (0.7, 0.3)),
    MEDIUM: (("hang", "bent", "hip", "belly", "out"), (0.2, 0.2, 0.25, 0.15, 0.2)),
    LARGE: (("raised", "phone", "out", "hip", "hang"), (0.4, 0.2, 0.2, 0.1, 0.1)),
}


def pose(rng: np.random.Generator, level: int) -> Figure:
    """A standing figure in a normal, medium or large pose."""
    sign = float(rng.choice([-1, 1]))
    if level == NORMAL:
        yaw, sway, tilt = rng.uniform(-14, 14), rng.normal(0, 0.04), rng.normal(0, 0.02)
    elif level == MEDIUM:
        yaw, sway, tilt = sign * rng.uniform(12, 32), rng.normal(0, 0.1), rng.normal(0, 0.05)
    else:
        turned = rng.random()
        yaw = 180 + rng.uniform(-30, 30) if turned < 0.45 else sign * rng.uniform(36, 58)
        yaw = rng.uniform(-26, 26) if turned > 0.75 else yaw
        sway, tilt = rng.normal(0, 0.16), rng.normal(0, 0.07)
    names, shares = _ARMS[level]
    arms = [str(name) for name in rng.choice(names, 2, p=shares)]
    return pose_as(rng, yaw=yaw, sway=float(sway), tilt=float(tilt), arms=(arms[0], arms[1]))


def close_up(rng: np.random.Generator, number: int, variation: int) -> Framing:
    """A frame around garment ``number``; a zoom-in cuts off some of its landmarks."""
    roll = float(rng.normal(0, 0.12 if variation == LARGE else 0.03))
    room = float(rng.uniform(1.12, 1.6))
    toward = rng.uniform(-0.5, 0.5, 2)
    if variation == MEDIUM_ZOOM:
        room = float(rng.uniform(0.78, 0.98))
    elif variation == LARGE_ZOOM:
        room = float(rng.uniform(0.5, 0.7))
    if variation >= MEDIUM_ZOOM:  # towards one end of the garment
        toward = np.array([rng.uniform(-0.3, 0.3), rng.choice([-1, 1]) * rng.uniform(0.5, 1.0)])

    def framing(figure: Figure, garments: list[Garment], side: int) -> Frame:
        points = garments[number].ordered()[0]
        low, high = points.min(axis=0), points.max(axis=0)
        span = float((high - low).max())
        slack = np.abs(span * room - (high - low))
        center = (low + high) / 2 + toward * slack * (0.5 if variation >= MEDIUM_ZOOM else 0.8)
        return Frame.of(side / (span * room), roll, center, side)

    return framing


def whole_person(rng: np.random.Generator) -> Framing:
    """A frame around a person from head to shoes."""
    roll = float(rng.normal(0, 0.08))
    height = float(rng.uniform(7.9, 9.2))
    shift = rng.uniform(-0.3, 0.3, 2)

    def framing(figure: Figure, garments: list[Garment], side: int) -> Frame:
        joints = np.vstack([*figure.legs.values(), *(arm.joints for arm in figure.arms.values())])
        middle = (joints[:, 0].min() + joints[:, 0].max()) / 2
        return Frame.of(side / height, roll, np.array([middle, 3.4]) + shift, side)

    return framing
