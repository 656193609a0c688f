"""PCP, the percentage of correct parts, on the 14 joints and 10 sticks of LSP.

Strict: both ends of a stick are within half its true length. Loose: the mean distance of both ends is.
The mean is over the ten sticks, so limbs count twice, head and torso once. Strict and loose numbers,
and observer- and person-centric ones, can't be compared, so the result names its convention.
"""

from dataclasses import dataclass

import numpy as np

from fashion_ops.taxonomy.alignment import point_set

LSP = point_set("lsp14")
REACH = 0.5  # of the stick's true length
# Group -> sticks. A stick joins two points, and a point is the mean of the named joints.
STICKS: dict[str, tuple[tuple[tuple[str, ...], tuple[str, ...]], ...]] = {
    "torso": ((("right_hip", "left_hip"), ("right_shoulder", "left_shoulder")),),
    "head": ((("neck",), ("head_top",)),),
    "upper_legs": tuple(((f"{s}_hip",), (f"{s}_knee",)) for s in ("right", "left")),
    "lower_legs": tuple(((f"{s}_knee",), (f"{s}_ankle",)) for s in ("right", "left")),
    "upper_arms": tuple(((f"{s}_shoulder",), (f"{s}_elbow",)) for s in ("right", "left")),
    "lower_arms": tuple(((f"{s}_elbow",), (f"{s}_wrist",)) for s in ("right", "left")),
}


@dataclass(frozen=True)
class Pcp:
    """Percentages by group of sticks, the mean over the ten sticks, and the convention in words."""

    groups: dict[str, float]
    mean: float
    convention: str


def pcp(
    predicted: np.ndarray,
    truth: np.ndarray,
    *,
    strict: bool = True,
    labels: str = "observer-centric",
) -> Pcp:
    """Compute the PCP of N people.

    Args:
        predicted: (N, 14, 2), pixels.
        truth: (N, 14, 2), pixels. A stick of length 0 is correct only if it is predicted exactly.
        strict: whether both ends must be close, or their mean.
        labels: whose left and right name the joints; only repeated in the convention.
    """
    groups, sticks = {}, []
    for name, pairs in STICKS.items():
        correct = [_correct(predicted, truth, a, b, strict) for a, b in pairs]
        groups[name] = 100 * float(np.mean(correct))
        sticks += [100 * float(np.mean(stick)) for stick in correct]
    kind = "strict" if strict else "loose"
    rule = "both ends" if strict else "mean of both ends"
    text = f"{kind} PCP: {rule} within {REACH} of the stick's length, {labels} joints"
    return Pcp(groups, float(np.mean(sticks)), text)


def _correct(
    predicted: np.ndarray, truth: np.ndarray, a: tuple[str, ...], b: tuple[str, ...], strict: bool
) -> np.ndarray:
    """Which people have the stick between joints ``a`` and joints ``b`` right, bool (N,)."""
    ends = [[LSP.point_names.index(name) for name in names] for names in (a, b)]
    ends_true = [truth[:, joints].mean(axis=1) for joints in ends]
    ends_predicted = [predicted[:, joints].mean(axis=1) for joints in ends]
    reach = REACH * np.linalg.norm(ends_true[0] - ends_true[1], axis=1)
    distance = np.stack(
        [np.linalg.norm(p - t, axis=1) for p, t in zip(ends_predicted, ends_true, strict=True)]
    )
    return (distance <= reach).all(axis=0) if strict else distance.mean(axis=0) <= reach
