"""PCP, the percentage of correct parts, on LSP's 14 joints and 10 sticks.

Strict: both ends of a stick within half its true length. Loose: the mean distance of both ends within
half of it. The mean is over the ten sticks, so the limbs count twice and head and torso once. Strict
and loose numbers, and observer- and person-centric ones, can't be compared: the result says which.
"""

from dataclasses import dataclass

import numpy as np

from fashion_ops.taxonomy.alignment import point_set

LSP = point_set("lsp14")
REACH = 0.5  # of the stick's true length
# Group -> sticks, each between two points; a point is the mean of joints.
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
    """Percentages by group of sticks, their mean over the ten sticks, and what they mean."""

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
    """PCP of people.

    Args:
        predicted: (N, 14, 2), pixels.
        truth: likewise. A stick of no length is only correct where it is met exactly.
        strict: both ends, or their mean.
        labels: by whose left and right the joints are named; only said again in the result.
    """
    groups, sticks = {}, []
    for name, own in STICKS.items():
        found = [_correct(predicted, truth, a, b, strict) for a, b in own]
        groups[name] = 100 * float(np.mean(found))
        sticks += [100 * float(np.mean(one)) for one in found]
    kind = "strict" if strict else "loose"
    rule = "both ends" if strict else "mean of both ends"
    text = f"{kind} PCP: {rule} within {REACH} of the stick's length, {labels} joints"
    return Pcp(groups, float(np.mean(sticks)), text)


def _correct(
    predicted: np.ndarray, truth: np.ndarray, a: tuple[str, ...], b: tuple[str, ...], strict: bool
) -> np.ndarray:
    ends = [[LSP.point_names.index(name) for name in names] for names in (a, b)]
    true = [truth[:, own].mean(axis=1) for own in ends]
    found = [predicted[:, own].mean(axis=1) for own in ends]
    reach = REACH * np.linalg.norm(true[0] - true[1], axis=1)
    distance = np.stack([np.linalg.norm(f - t, axis=1) for f, t in zip(found, true, strict=True)])
    return (distance <= reach).all(axis=0) if strict else distance.mean(axis=0) <= reach
