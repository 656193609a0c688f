"""Table 5: AP by scale, occlusion, zoom-in and viewpoint; visible landmarks only, and all labelled."""

import numpy as np
import pandas as pd

from papers.config import Request
from papers.decode_variants import described, detect_ways, load_detector
from papers.deepmark import paper
from papers.deepmark.subsets import ATTRIBUTES, score_subset_boxes, score_subset_landmarks
from papers.deepmark.technique_variants import combined, parameters
from papers.evaluation_set import Judged, load_judged
from papers.table import Column, PaperColumn, Table

COLUMNS = (
    Column("garments", 0, drawn=False),
    Column("AP_pt visible"),
    Column("AP_pt visible and occluded"),
    Column("AP_box"),
)


def run(request: Request) -> Table:
    """All four techniques and NMS, as the paper's table; garments of other levels count neither way."""
    detector, judged = load_detector(request), load_judged(request)
    post, source = parameters(request)
    most = request.params.evaluate.max_detections
    found = detect_ways(detector, {"combined": combined(post)}, judged, most)["combined"]
    rows = {
        label: scores(judged, found, inside, most) for label, inside in subsets(judged.garments).items()
    }
    table = pd.DataFrame.from_dict(rows, orient="index", columns=[c.name for c in COLUMNS])
    unknown = [name for name in ATTRIBUTES if (judged.garments[name] == 0).all()]
    notes = [source]
    if unknown:
        notes.append(f"The catalog's source does not say {', '.join(unknown)}: no garments there.")
    return Table(
        name="table5",
        title="DeepMark++ Table 5: parts of the validation split",
        columns=COLUMNS,
        rows=table.rename_axis("garments that count"),
        ours=described(detector, judged),
        theirs=f"{paper.DATA}; mDLA-34 256x256",
        same_data=judged.same,
        paper=tuple(
            PaperColumn(c.name, {row: values[k] for row, values in paper.TABLE_5.items()})
            for k, c in enumerate(COLUMNS[1:])
        ),
        notes=(
            *notes,
            "Garments of the other levels are regions to ignore, neither missed nor falsely found "
            "(`papers/deepmark/subsets.py`); the paper does not say what it did with them.",
            "Visible: landmarks of visibility 2 only; a garment without any is ignored.",
        ),
    )


def subsets(garments: pd.DataFrame) -> dict[str, np.ndarray]:
    """Which garments are inside, by row label; bool (G,)."""
    out = {
        f"{column.replace('_', '-')}: {level}": (garments[column] == value).to_numpy()
        for column, levels in ATTRIBUTES.items()
        for value, level in enumerate(levels, start=1)
    }
    return out | {"overall": np.ones(len(garments), bool)}


def scores(judged: Judged, found: pd.DataFrame, inside: np.ndarray, most: int) -> tuple[float, ...]:
    """One row: garments, AP of visible landmarks, of all labelled ones, of boxes; NaN without any."""
    points = [
        score_subset_landmarks(
            judged.images,
            judged.garments,
            found,
            inside,
            visible_only=visible,
            max_detections=most,
        ).stats["AP"]
        for visible in (True, False)
    ]
    boxes = score_subset_boxes(judged.images, judged.garments, found, inside).stats["AP"]
    return (int(inside.sum()), *(np.nan if ap < 0 else ap for ap in (*points, boxes)))
