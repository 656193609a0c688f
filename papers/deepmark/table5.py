"""Table 5: AP by scale, occlusion, zoom-in and viewpoint; visible landmarks only, and all labelled."""

import numpy as np
import pandas as pd

from papers.config import TableConfig
from papers.decode_variants import describe, detect_variants, load_detector
from papers.deepmark import paper
from papers.deepmark.subsets import ATTRIBUTES, score_subset_boxes, score_subset_landmarks
from papers.deepmark.technique_variants import combined, load_postprocess
from papers.evaluation_set import EvaluationSet, load_evaluation_set
from papers.table import Column, PaperColumn, Table

COLUMNS = (
    Column("garments", 0, drawn=False),
    Column("AP_pt visible"),
    Column("AP_pt visible and occluded"),
    Column("AP_box"),
)


def run(config: TableConfig) -> Table:
    """All four techniques and NMS, as in the paper's table; garments of other levels are ignored."""
    detector, evaluated = load_detector(config), load_evaluation_set(config)
    post, source = load_postprocess(config)
    most = config.params.evaluate.max_detections
    variants = {"combined": combined(post)}
    predictions = detect_variants(detector, variants, evaluated, most)["combined"]
    rows = {
        label: scores(evaluated, predictions, inside, most)
        for label, inside in subsets(evaluated.garments).items()
    }
    table = pd.DataFrame.from_dict(rows, orient="index", columns=[c.name for c in COLUMNS])
    unknown = [name for name in ATTRIBUTES if (evaluated.garments[name] == 0).all()]
    notes = [source]
    if unknown:
        notes.append(f"The catalog's source does not say {', '.join(unknown)}: no garments there.")
    return Table(
        name="table5",
        title="DeepMark++ Table 5: parts of the validation split",
        columns=COLUMNS,
        rows=table.rename_axis("garments that count"),
        ours=describe(detector, evaluated),
        theirs=f"{paper.DATA}; mDLA-34 256x256",
        same_data=evaluated.is_papers_data,
        paper=tuple(
            PaperColumn(c.name, {row: values[k] for row, values in paper.TABLE_5.items()})
            for k, c in enumerate(COLUMNS[1:])
        ),
        notes=(
            *notes,
            "Garments of the other levels are regions to ignore, neither misses nor false positives "
            "(`papers/deepmark/subsets.py`); the paper does not say what it did with them.",
            "Visible: landmarks of visibility 2 only; a garment without any is ignored.",
        ),
    )


def subsets(garments: pd.DataFrame) -> dict[str, np.ndarray]:
    """Masks of the garments that count, by row label; bool (G,)."""
    out = {
        f"{column.replace('_', '-')}: {level}": (garments[column] == value).to_numpy()
        for column, levels in ATTRIBUTES.items()
        for value, level in enumerate(levels, start=1)
    }
    return out | {"overall": np.ones(len(garments), bool)}


def scores(
    evaluated: EvaluationSet, predictions: pd.DataFrame, inside: np.ndarray, most: int
) -> tuple[float, ...]:
    """One row: number of garments, AP of visible and of all landmarks, AP of boxes.

    Args:
        evaluated: images and garments.
        predictions: ``schemas.PREDICTIONS``.
        inside: mask of the garments that count, (G,).
        most: detections an image that count.

    Returns:
        ``COLUMNS``; an AP is NaN where no garment counts.
    """
    points = [
        score_subset_landmarks(
            evaluated.images,
            evaluated.garments,
            predictions,
            inside,
            visible_only=visible,
            max_detections=most,
        ).stats["AP"]
        for visible in (True, False)
    ]
    boxes = score_subset_boxes(evaluated.images, evaluated.garments, predictions, inside)
    aps = (*points, boxes.stats["AP"])
    return (int(inside.sum()), *(np.nan if ap < 0 else ap for ap in aps))
