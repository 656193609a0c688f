"""The part of the report on a further catalog, such as real photos: scores, failures and pictures.

``report`` puts it before everything else; the layout is in ``also.html``.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fashion_ops.evaluation.failures import KINDS, count_failures, describe_failure
from fashion_ops.evaluation.tables import Evaluation
from fashion_ops.taxonomy import CATEGORY_NAMES


@dataclass(frozen=True)
class AlsoEvaluated:
    """The evaluation on a further catalog.

    Attributes:
        name: of the catalog.
        evaluation: the scores.
        num_images: how many were evaluated.
        failures: from ``failures.find_failures``.
        images: caption and RGB image (H, W, 3) uint8 each, the worst first.
    """

    name: str
    evaluation: Evaluation
    num_images: int
    failures: pd.DataFrame
    images: Sequence[tuple[str, np.ndarray]]


def worst_first(images: pd.DataFrame, failures: pd.DataFrame) -> pd.DataFrame:
    """Order images by their number of garments that were not found right, then by their mean OKS.

    Args:
        images: ``schemas.IMAGES``.
        failures: from ``failures.find_failures``, on these images.
    """
    wrong = failures[failures["kind"] != "found"].groupby("image_id").size()
    similarity = failures.fillna({"oks": 0.0}).groupby("image_id")["oks"].mean()
    ids = images["image_id"]
    keys = pd.DataFrame({"wrong": -ids.map(wrong).fillna(0), "oks": ids.map(similarity).fillna(1.0)})
    return images.loc[keys.sort_values(["wrong", "oks"], kind="stable").index]


def failure_captions(images: pd.DataFrame, failures: pd.DataFrame) -> list[str]:
    """What is wrong on each image, after its file name."""
    wrong = failures[failures["kind"] != "found"]
    captions = []
    for image_id, name in zip(images["image_id"], images["file_name"], strict=True):
        rows = wrong[wrong["image_id"] == image_id].to_dict("records")
        what = "; ".join(describe_failure({str(k): v for k, v in row.items()}) for row in rows)
        captions.append(f"{name}: {what or 'all found'}")
    return captions


def failure_rows(failures: pd.DataFrame) -> list[tuple[str, list[int]]]:
    """Category, number of garments, and number of each of ``KINDS``; the last row is of all."""
    rows = [
        (name, failures[failures["category"] == name])
        for name in CATEGORY_NAMES
        if (failures["category"] == name).any()
    ]
    return [
        (name, [len(part), *(count_failures(part)[kind] for kind in KINDS)])
        for name, part in [*rows, ("all", failures)]
    ]
