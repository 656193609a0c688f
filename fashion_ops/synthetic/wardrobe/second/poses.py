"""Figures of the second edition: standing, walking and sitting, and forms for clothes nobody wears."""

from dataclasses import replace

import numpy as np

from fashion_ops.synthetic.wardrobe.body import (
    ANKLE_Y,
    FOREARM,
    KNEE_Y,
    LEFT,
    RIGHT,
    SHOULDER_Y,
    SIDES,
    UPPER_ARM,
    Arm,
    Figure,
    pose_worn,
)
from fashion_ops.synthetic.wardrobe.geometry import xy

# (share, name, upper arm angle, forearm angle): degrees from hanging down, outwards positive.
_ARMS = (
    (0.22, "hang", (5, 20), (-4, 16)),
    (0.15, "bent", (10, 26), (-34, -4)),
    (0.09, "hip", (30, 44), (-66, -48)),
    (0.17, "belly", (4, 18), (-92, -58)),
    (0.08, "phone", (8, 28), (-165, -140)),
    (0.07, "out", (24, 60), (10, 60)),
    (0.06, "raised", (130, 165), (150, 200)),
    (0.05, "pocket", (16, 28), (-26, -10)),
    (0.05, "chin", (2, 16), (-172, -150)),
    (0.06, "selfie", (55, 95), (60, 115)),
)
_SHARES = np.array([arm[0] for arm in _ARMS]) / sum(arm[0] for arm in _ARMS)
_SITS, _WALKS = 0.14, 0.22  # shares of worn images; all others stand


def _arm(
    figure: Figure, side: int, name: str, angles: tuple[float, float], lengths: tuple[float, float]
) -> Arm:
    """An arm by angles (degrees from hanging down, outwards) and factors on its lengths."""
    out = figure.image_side(side)
    joints = [figure.point(side * 0.72 * figure.width, SHOULDER_Y + 0.1)]
    for angle, length in zip(np.radians(angles), np.array(lengths) * (UPPER_ARM, FOREARM), strict=True):
        joints.append(joints[-1] + length * xy(out * np.sin(angle), np.cos(angle)))
    return Arm(name, np.stack(joints))


def pose_person(rng: np.random.Generator) -> Figure:
    """A random person: most face the viewer; some walk, some sit, some show a side or the back."""
    figure = pose_worn(rng)
    kind = rng.random()
    if kind < 0.62:
        yaw = rng.uniform(-30, 30)
    elif kind < 0.82:
        yaw = rng.choice([-1, 1]) * rng.uniform(32, 66)
    else:
        yaw = 180 + rng.uniform(-45, 45)
    figure = replace(
        figure,
        yaw=float(np.radians(yaw)),
        sway=float(rng.normal(0, 0.11)),
        tilt=float(np.clip(rng.normal(0, 0.06), -0.15, 0.15)),
        width=float(rng.uniform(0.86, 1.22)),
        arms={},
        legs={},
    )
    action = rng.random()
    if action < _SITS:
        figure = replace(
            figure, lap=float(rng.uniform(0.3, 0.7)), lean=float(rng.normal(0, 0.35)), sway=0.0
        )
    for side in (LEFT, RIGHT):
        _, name, upper, fore = _ARMS[int(np.searchsorted(np.cumsum(_SHARES), rng.random() * 0.9999))]
        angles = float(rng.uniform(*upper)), float(rng.uniform(*fore))
        lengths = float(rng.uniform(0.78, 1.02)), float(rng.uniform(0.7, 1.02))
        if figure.is_side and name in ("hip", "belly"):
            name, angles = "bent", (18.0, -20.0)
        figure.arms[side] = _arm(figure, side, name, angles, lengths)
    if action < _SITS:
        figure.legs.update(_sitting(rng, figure))
    elif action < _SITS + _WALKS:
        figure.legs.update(_walking(rng, figure))
    else:
        figure.legs.update(_standing(rng, figure))
    return figure


def _leg(figure: Figure, side: int, knee: np.ndarray, ankle: np.ndarray) -> np.ndarray:
    """Hip, knee and ankle (3, 2) in the image plane."""
    squeeze = max(abs(float(np.cos(figure.yaw))), 0.45)
    hip = figure.plane(figure.image_side(side) * 0.35 * squeeze * figure.width, 3.72)
    return np.stack([hip, knee, ankle])


def _standing(rng: np.random.Generator, figure: Figure) -> dict[int, np.ndarray]:
    """Both feet on the ground, one leg relaxed, sometimes crossed over the other."""
    legs, spread = {}, rng.uniform(0.02, 0.34)
    relaxed, crossed = int(rng.choice([LEFT, RIGHT])), rng.random() < 0.12
    squeeze = max(abs(float(np.cos(figure.yaw))), 0.45)
    for side in (LEFT, RIGHT):
        out, bend = figure.image_side(side), rng.uniform(0, 0.24) if side == relaxed else 0.0
        knee = out * (0.35 + spread * 0.6 + bend * 0.5) * squeeze
        ankle = out * (0.25 + spread - bend * 0.2) * squeeze
        if crossed and side == relaxed:
            knee, ankle = knee * 0.4, -ankle * 0.6
        if figure.is_side:
            ankle += out * 0.16
        legs[side] = _leg(
            figure, side, figure.plane(knee, KNEE_Y), figure.plane(ankle, ANKLE_Y - bend * 0.3)
        )
    return legs


def _walking(rng: np.random.Generator, figure: Figure) -> dict[int, np.ndarray]:
    """A stride: one leg ahead, the other bent behind; towards the viewer the hind leg looks short."""
    legs, ahead = {}, int(rng.choice([LEFT, RIGHT]))
    step, turned = rng.uniform(0.25, 0.6), float(np.sin(figure.yaw))
    for side in (LEFT, RIGHT):
        out, front = figure.image_side(side), side == ahead
        toward = turned * step * (1.0 if front else -1.0)
        squeeze = max(abs(float(np.cos(figure.yaw))), 0.3)
        knee = out * 0.28 * squeeze + toward * (1.0 if front else 0.2)
        ankle = out * 0.14 * squeeze + toward * (1.3 if front else 1.5)
        short = 0.0 if front else rng.uniform(0.2, 0.75)
        legs[side] = _leg(
            figure,
            side,
            figure.plane(knee, KNEE_Y - 0.1 * step),
            figure.plane(ankle, ANKLE_Y - short * abs(float(np.cos(figure.yaw))) - 0.1 * step),
        )
    return legs


def _sitting(rng: np.random.Generator, figure: Figure) -> dict[int, np.ndarray]:
    """Thighs towards the viewer; ``figure.lap`` shortens them and whatever lies on them."""
    legs, open_ = {}, rng.uniform(0.0, 0.5)
    for side in (LEFT, RIGHT):
        out = figure.image_side(side)
        knee = out * (0.34 + open_) + 0.3 * float(np.sin(figure.yaw))
        ankle = out * (0.3 + open_ * rng.uniform(0.2, 1.2)) + 0.25 * float(np.sin(figure.yaw))
        legs[side] = _leg(
            figure,
            side,
            figure.plane(knee, KNEE_Y + rng.uniform(-0.15, 0.15)),
            figure.plane(ankle, ANKLE_Y - rng.uniform(0.0, 0.5)),
        )
    return legs


def pose_laid_out(rng: np.random.Generator, short_sleeves: bool) -> Figure:
    """A form for a garment on a surface: sleeves spread, down, bent, or folded across the front."""
    figure = Figure(flat=True, width=float(rng.uniform(0.9, 1.14)), sway=float(rng.normal(0, 0.04)))
    kind = rng.random()
    for side in (LEFT, RIGHT):
        if short_sleeves:
            upper = rng.uniform(30, 75)
            fore = upper + rng.normal(0, 6)
        elif kind < 0.45:
            upper = rng.uniform(8, 38)
            fore = upper - rng.uniform(-8, 16)
        elif kind < 0.65:
            upper = rng.uniform(40, 88)
            fore = upper + rng.normal(0, 12)
        elif kind < 0.85:
            upper, fore = rng.uniform(16, 50), rng.uniform(-50, 10)
        else:  # folded
            upper, fore = rng.uniform(12, 30), rng.uniform(-110, -60)
        figure.arms[side] = _arm(figure, side, "flat", (float(upper), float(fore)), (1.0, 1.0))
    _lay_legs(rng, figure, rng.uniform(-0.06, 0.3))
    return figure


def pose_hung_up(rng: np.random.Generator) -> Figure:
    """A form for a garment on a hanger: sleeves and legs hang down."""
    figure = Figure(flat=True, width=float(rng.uniform(0.86, 1.04)), sway=float(rng.normal(0, 0.02)))
    for side in (LEFT, RIGHT):
        upper = float(rng.uniform(6, 26))
        figure.arms[side] = _arm(
            figure, side, "flat", (upper, upper - float(rng.uniform(0, 16))), (1.0, 1.0)
        )
    _lay_legs(rng, figure, rng.uniform(-0.1, 0.08))
    return figure


def _lay_legs(rng: np.random.Generator, figure: Figure, spread: float) -> None:
    for side, _ in SIDES:
        bent = rng.normal(0, 0.05)
        xs = side * np.array(
            [0.35, 0.36 + 0.5 * spread + bent, 0.33 + spread + bent * rng.uniform(0, 2)]
        )
        figure.legs[side] = np.stack([xs, [3.72, KNEE_Y, ANKLE_Y]], axis=1)
