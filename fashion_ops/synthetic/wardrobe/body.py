"""A posed figure: positions of shoulders, sides, arms and legs for any yaw.

Coordinates are in heads: x to the garment's right, y down from the top of the head, z to the front.
The torso is a stack of ellipses, so its outline at yaw t has half width ``hypot(a cos t, b sin t)``. A
garment that lies flat is sewn onto a figure without depth and with a wider waist.
"""

from dataclasses import dataclass, field

import numpy as np

from fashion_ops.synthetic.wardrobe.geometry import curve

LEFT, RIGHT = -1, 1
SIDES = ((LEFT, "left"), (RIGHT, "right"))

SHOULDER_Y, ARMPIT_Y, WAIST_Y, HIP_Y, CROTCH_Y = 1.55, 2.05, 2.85, 3.6, 3.98
UPPER_ARM, FOREARM = 1.22, 1.12
KNEE_Y, ANKLE_Y = 5.4, 6.75
_TILT_Y = np.array([1.4, WAIST_Y, HIP_Y])
_SWAY_Y, _SWAY = np.array([1.6, WAIST_Y, HIP_Y, 7.0]), np.array([0, 0.45, 1.0, 0.55])
_Y = np.array([1.30, 1.55, 1.75, 2.05, 2.35, 2.85, 3.25, 3.60, 3.98, 4.30])
_WIDTH = np.array([0.60, 0.68, 0.65, 0.60, 0.58, 0.47, 0.57, 0.66, 0.66, 0.64])
_WIDTH_FLAT = np.array([0.60, 0.68, 0.66, 0.64, 0.63, 0.57, 0.60, 0.66, 0.68, 0.68])
_DEPTH = np.array([0.20, 0.24, 0.30, 0.36, 0.38, 0.29, 0.34, 0.40, 0.40, 0.38])

# (share, name, upper arm angle, forearm angle): degrees from hanging down, outwards positive.
_ARMS = (
    (0.38, "hang", (9, 20), (0, 15)),
    (0.16, "bent", (14, 24), (-22, -4)),
    (0.14, "hip", (33, 39), (-62, -54)),
    (0.09, "belly", (8, 18), (-78, -58)),
    (0.07, "phone", (12, 24), (-158, -142)),
    (0.09, "out", (24, 40), (18, 40)),
    (0.07, "raised", (138, 152), (170, 195)),
)


@dataclass(frozen=True)
class Arm:
    """One arm: name of its pose, and shoulder, elbow and wrist (3, 2) in the image plane."""

    name: str
    joints: np.ndarray

    @property
    def line(self) -> np.ndarray:
        """Smooth centre line (13, 2)."""
        return curve(self.joints)


@dataclass(frozen=True)
class Figure:
    """A posed body. ``side`` is always the garment's: LEFT (-1) or RIGHT (+1)."""

    yaw: float = 0.0  # radians; 0 faces the viewer, pi shows the back
    sway: float = 0.0  # sideways shift of the hips against the shoulders
    tilt: float = 0.0  # slope of the shoulder line
    flat: bool = False  # a garment lying on a surface: no depth, no body
    width: float = 1.0  # factor on the width of the body
    lap: float = 1.0  # factor on the height between hips and knees; sitting shortens it
    lean: float = 0.0  # sideways shift of the knees against the hips
    arms: dict[int, Arm] = field(default_factory=dict)
    legs: dict[int, np.ndarray] = field(default_factory=dict)  # hip, knee, ankle: (3, 2)

    @property
    def facing(self) -> int:
        """+1 if the front faces the viewer, -1 if the back does."""
        return 1 if np.cos(self.yaw) >= 0 else -1

    @property
    def is_side(self) -> bool:
        """Whether the figure is turned by more than 30 degrees from its front or back."""
        return bool(abs(np.sin(self.yaw)) > 0.5)

    @property
    def near(self) -> int:
        """The side that is nearer to the viewer."""
        return LEFT if np.sin(self.yaw) > 0 else RIGHT

    def image_side(self, side: int) -> int:
        """-1 if this side of the garment is on the left of the image, else +1."""
        return side * self.facing

    def plane(self, x: np.ndarray | float, y: np.ndarray | float) -> np.ndarray:
        """Positions (2,) or (k, 2) in the image plane after sway and tilt."""
        slope = np.interp(y, _TILT_Y, [self.tilt, 0, -0.6 * self.tilt])
        shift = np.interp(y, _SWAY_Y, _SWAY) * self.sway
        if self.lap != 1.0 or self.lean:
            shift = shift + np.interp(y, [HIP_Y, KNEE_Y, 7.0], [0, 1.0, 0.8]) * self.lean
            knee = HIP_Y + (KNEE_Y - HIP_Y) * self.lap
            y = np.interp(y, [0.0, HIP_Y, KNEE_Y, 8.0], [0.0, HIP_Y, knee, knee + 8.0 - KNEE_Y])
        across, down = x + shift, y + slope * x
        out = np.empty((*np.shape(across), 2))
        out[..., 0], out[..., 1] = across, down
        return out

    def point(
        self, x: np.ndarray | float, y: np.ndarray | float, z: np.ndarray | float = 0.0
    ) -> np.ndarray:
        """Positions in space projected onto the image plane, (2,) or (k, 2)."""
        depth = 0.0 if self.flat else z
        return self.plane(np.asarray(x) * np.cos(self.yaw) + depth * np.sin(self.yaw), y)

    def half_width(self, y: np.ndarray | float) -> np.ndarray | float:
        """Half the width of the body at a height."""
        return np.interp(y, _Y, _WIDTH_FLAT if self.flat else _WIDTH) * self.width

    def depth(self, y: np.ndarray | float) -> np.ndarray | float:
        """Half the depth of the body at a height."""
        return 0.0 if self.flat else np.interp(y, _Y, _DEPTH)

    def edge(self, y: np.ndarray | float, side: int, ease: np.ndarray | float = 0.0) -> np.ndarray:
        """The outline at height ``y`` of cloth that stands ``ease`` off the body."""
        a = self.half_width(y) + np.asarray(ease)
        b = self.depth(y) + np.asarray(ease)
        w = np.hypot(a * np.cos(self.yaw), 0 if self.flat else b * np.sin(self.yaw))
        return self.plane(self.image_side(side) * w, y)

    def front(self, x: np.ndarray | float, y: np.ndarray | float, ease: float = 0.05) -> np.ndarray:
        """A point of the garment's front at ``x`` from its middle."""
        return self.point(x, y, float(np.mean(self.depth(y))) * 0.85 + ease)

    def middle(self, y: float, ease: float = 0.05) -> np.ndarray:
        """The middle of the surface (front or back) that faces the viewer."""
        return self.point(0.0, y, self.facing * (float(self.depth(y)) * 0.85 + ease))

    def arm_behind(self, side: int) -> bool:
        """Whether this arm is behind the torso."""
        return self.is_side and side != self.near


def _arm(rng: np.random.Generator, figure: Figure, side: int, pose: tuple) -> Arm:
    _, name, upper, fore = pose
    a, b = np.radians(rng.uniform(*upper)), np.radians(rng.uniform(*fore))
    root = figure.point(side * 0.72 * figure.width, SHOULDER_Y + 0.10)
    out = figure.image_side(side)
    shorten = 0.96 if figure.is_side else 1.0
    elbow = root + UPPER_ARM * shorten * np.array([out * np.sin(a), np.cos(a)])
    wrist = elbow + FOREARM * shorten * np.array([out * np.sin(b), np.cos(b)])
    return Arm(name, np.stack([root, elbow, wrist]))


def _legs(rng: np.random.Generator, figure: Figure) -> dict[int, np.ndarray]:
    legs = {}
    spread = rng.uniform(0.08, 0.26)
    relaxed = int(rng.choice([LEFT, RIGHT]))
    squeeze = max(abs(np.cos(figure.yaw)), 0.45)
    for side in (LEFT, RIGHT):
        out = figure.image_side(side)
        bend = rng.uniform(0.0, 0.16) if side == relaxed else 0.0
        knee = out * (0.37 + spread * 0.6 + bend * 0.5) * squeeze
        ankle = out * (0.27 + spread - bend * 0.2) * squeeze
        if figure.is_side:  # one foot before the other
            ankle += out * 0.16
        hip = figure.plane(out * 0.35 * squeeze * figure.width, 3.72)
        legs[side] = np.stack(
            [hip, figure.plane(knee, KNEE_Y), figure.plane(ankle, ANKLE_Y - bend * 0.3)]
        )
    return legs


def pose_worn(rng: np.random.Generator) -> Figure:
    """A random standing figure: most face the viewer, some show a side or the back."""
    kind = rng.random()
    if kind < 0.82:
        yaw = rng.uniform(-26, 26)
    elif kind < 0.91:
        yaw = rng.choice([-1, 1]) * rng.uniform(34, 58)
    else:
        yaw = 180 + rng.uniform(-22, 22)
    figure = Figure(
        yaw=float(np.radians(yaw)),
        sway=float(rng.normal(0, 0.07)),
        tilt=float(np.clip(rng.normal(0, 0.035), -0.09, 0.09)),
        width=float(rng.uniform(0.93, 1.1)),
    )
    shares = np.array([p[0] for p in _ARMS])
    for side in (LEFT, RIGHT):
        pose = _ARMS[int(rng.choice(len(_ARMS), p=shares / shares.sum()))]
        if figure.is_side and pose[1] in ("hip", "belly"):
            pose = _ARMS[1]
        figure.arms[side] = _arm(rng, figure, side, pose)
    figure.legs.update(_legs(rng, figure))
    return figure


def pose_as(
    rng: np.random.Generator, *, yaw: float, sway: float, tilt: float, arms: tuple[str, str]
) -> Figure:
    """A standing figure with this yaw (degrees), sway and tilt, and arms in poses of ``_ARMS``."""
    figure = Figure(
        yaw=float(np.radians(yaw)), sway=sway, tilt=tilt, width=float(rng.uniform(0.93, 1.1))
    )
    poses = {pose[1]: pose for pose in _ARMS}
    for side, name in zip((LEFT, RIGHT), arms, strict=True):
        figure.arms[side] = _arm(rng, figure, side, poses[name])
    figure.legs.update(_legs(rng, figure))
    return figure


def pose_flat(rng: np.random.Generator, short_sleeves: bool) -> Figure:
    """A figure for a garment spread on a surface, seen from the front."""
    figure = Figure(flat=True, width=float(rng.uniform(0.97, 1.1)), sway=float(rng.normal(0, 0.02)))
    upper = rng.uniform(38, 62) if short_sleeves else rng.uniform(14, 40)
    for side in (LEFT, RIGHT):
        arm = upper + rng.normal(0, 3)
        fore = arm - rng.uniform(-4, 14)
        figure.arms[side] = _arm(rng, figure, side, (1, "flat", (arm, arm), (fore, fore)))
    spread = rng.uniform(0.02, 0.18)
    for side in (LEFT, RIGHT):
        xs = side * np.array([0.35, 0.36 + 0.5 * spread, 0.33 + spread])
        figure.legs[side] = np.stack([xs, [3.72, KNEE_Y, ANKLE_Y]], axis=1)
    return figure
