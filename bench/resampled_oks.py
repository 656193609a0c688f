"""Mean OKS over seeds with a bootstrap interval over photos; a table of arms.

Photos are drawn with replacement (Efron & Tibshirani, An Introduction to the Bootstrap, 1993), the same
ones for all arms, each with all its garments. Seeds are averaged before, so the interval shows what the
choice of photos explains; the spread of the seeds stands beside it.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from fashion_ops.evaluation.garment_oks import CONFIDENCE, RESAMPLES

PHOTOS = "photos"  # the set that is resampled


@dataclass(frozen=True)
class Row:
    """An arm: means over its seeds on the photos, and on each other set.

    Attributes:
        oks: mean over garments and seeds.
        interval: of that mean, over photos.
        std: standard deviation of the seeds' means; 0 for one seed.
        gain: difference from the arm that all are compared with, and its paired interval.
        ap: mean AP over the seeds.
        others: mean OKS on each other set, by name.
    """

    oks: float
    interval: tuple[float, float]
    std: float
    gain: tuple[float, float, float]
    ap: float
    others: dict[str, float]


def resampled(scores: dict[str, list[dict[str, Any]]], base: str) -> dict[str, Row]:
    """Rows of the arms.

    Args:
        scores: of each arm, by seed: set -> AP, OKS, and of ``PHOTOS`` ``garments`` (OKS) and
            ``images`` (the photo of each).
        base: the arm that the others are compared with.
    """
    images = scores[base][0][PHOTOS]["images"]
    known, of_image = np.unique(images, return_inverse=True)
    draws = np.random.default_rng(0).multinomial(
        len(known), np.full(len(known), 1 / len(known)), RESAMPLES
    )
    weights = draws[:, of_image]  # (resamples, garments)
    tails = 50 * (1 - CONFIDENCE), 50 * (1 + CONFIDENCE)

    def means(values: np.ndarray) -> np.ndarray:
        return weights @ values / weights.sum(1)

    def interval(values: np.ndarray) -> tuple[float, float]:
        low, high = np.percentile(means(values), tails)
        return float(low), float(high)

    of_arm = {n: np.array([s[PHOTOS]["garments"] for s in seeds]) for n, seeds in scores.items()}
    rows = {}
    for name, seeds in scores.items():
        mean = of_arm[name].mean(0)
        gap = mean - of_arm[base].mean(0)
        rows[name] = Row(
            oks=float(mean.mean()),
            interval=interval(mean),
            std=float(of_arm[name].mean(1).std(ddof=1)) if len(seeds) > 1 else 0.0,
            gain=(float(gap.mean()), *interval(gap)),
            ap=float(np.mean([s[PHOTOS]["AP"] for s in seeds])),
            others={k: float(np.mean([s[k]["OKS"] for s in seeds])) for k in seeds[0] if k != PHOTOS},
        )
    return rows


def write_table(rows: dict[str, Row], base: str) -> str:
    """The rows as a Markdown table."""
    others = list(rows[base].others)
    head = [
        "trained on",
        "OKS, photos",
        "95 % interval",
        "std of seeds",
        f"against {base}",
        "AP, photos",
    ]
    head += [f"OKS, validation of {name}" for name in others]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for name, row in rows.items():
        gain, low, high = row.gain
        cells = [
            name,
            f"{row.oks:.3f}",
            "{:.3f} to {:.3f}".format(*row.interval),
            f"{row.std:.3f}",
            "" if name == base else f"{gain:+.3f} ({low:+.3f} to {high:+.3f})",
            f"{row.ap:.3f}",
            *(f"{row.others[k]:.3f}" for k in others),
        ]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
