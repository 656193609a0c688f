"""What a rule of a gate finds, and the rules that all gates share.

``gate`` has the rules of the landmark pipeline, ``alignment_gate`` those of the alignment model. A rule
reads nothing: it compares measured numbers with limits.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Finding:
    """The result of one rule; a number is None where it does not apply or was not measured."""

    what: str  # the quantity that was checked
    rule: str  # its key in params.yaml, or the name of the rule
    passed: bool
    why: str  # why the rule does not hold; empty if it does
    new: float | None = None  # value of the challenger
    old: float | None = None  # value of the champion
    low: float | None = None  # confidence interval of their difference
    high: float | None = None
    limit: float | None = None  # that the value or the difference is compared with
    garments: int | None = None  # number of garments that it was measured on

    def to_json(self) -> dict[str, Any]:
        """The fields as JSON values; NaN becomes None."""
        return {
            k: None if isinstance(v, float) and math.isnan(v) else v for k, v in asdict(self).items()
        }


def latency_ratio(
    latency_ms: tuple[float | None, float | None],
    ratio: float | None,
    compared: bool,
    limit: float,
    rule: str,
) -> Iterator[Finding]:
    """Check the challenger's time of a photo against the champion's, timed in turn on one machine.

    Yields nothing where there is no champion to time, or none that this code can load.

    Args:
        latency_ms: median of one photo, challenger and champion.
        ratio: of their times of the same photo; None if not both were timed.
        compared: whether the predictions of the two were compared.
        limit: largest ratio.
        rule: key of the limit in params.yaml.
    """
    new, old = latency_ms
    if ratio is None and (new is not None or not compared):
        return
    what, why = "time of a photo, ratio", ""
    if ratio is None:
        why = f"{what}: was not measured, {rule} is {limit:g}"
    elif ratio > limit:
        why = (
            f"{what}: a photo takes {ratio:.2f} times as long as with the champion ({new:.0f} ms, "
            f"{old:.0f} ms), {rule} is {limit:g}"
        )
    yield Finding(what, rule, not why, why, new=ratio, old=None if ratio is None else 1.0, limit=limit)


def size(size_mb: tuple[float, float | None], limit: float, rule: str) -> Finding:
    """Check the size of the challenger's models against a limit in MB.

    Args:
        size_mb: of the models, challenger and champion.
        limit: largest size of the challenger's.
        rule: key of the limit in params.yaml.
    """
    what = "size of the models, MB"
    why = "" if size_mb[0] <= limit else f"{what}: {size_mb[0]:.0f} is above {rule} {limit:g}"
    return Finding(what, rule, not why, why, new=size_mb[0], old=size_mb[1], limit=limit)


def objections(reasons: Sequence[str]) -> Iterator[Finding]:
    """One finding for each other reason against the challenger."""
    return (Finding("challenger", "nothing against it", False, text) for text in reasons)
