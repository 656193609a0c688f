"""Table 7: AP of each category, with how many garments it was trained and judged on."""

import numpy as np
import pandas as pd

from fashion_ops.taxonomy import CATEGORIES
from papers.config import Request
from papers.decode_variants import described, detect_ways, load_detector
from papers.deepmark import paper
from papers.deepmark.technique_variants import combined, parameters
from papers.evaluation_set import load_judged
from papers.table import Column, PaperColumn, Table

MEAN = "mean"


def run(request: Request) -> Table:
    """All four techniques and NMS; categories without garments are named, not averaged away."""
    detector, judged = load_detector(request), load_judged(request)
    post, source = parameters(request)
    most = request.params.evaluate.max_detections
    found = detect_ways(detector, {"combined": combined(post)}, judged, most)["combined"]
    points, boxes = judged.landmarks(found, most), judged.boxes(found)
    everything = judged.catalog.garments
    train = counts(everything[everything["split"] == "train"])
    validation = counts(judged.garments)
    table = pd.DataFrame(
        {
            "train": train,
            "validation": validation,
            "AP_pt": [points.per_category[c.id] for c in CATEGORIES],
            "AP_box": [boxes.per_category[c.id] for c in CATEGORIES],
            "remark": [remark(t, v) for t, v in zip(train, validation, strict=True)],
        },
        index=pd.Index([c.name for c in CATEGORIES], name="category"),
    ).replace({"AP_pt": {-1.0: np.nan}, "AP_box": {-1.0: np.nan}})
    table.loc[MEAN] = [sum(train), sum(validation), points.stats["AP"], boxes.stats["AP"], ""]
    notes = [
        source,
        f"The mean is that of the {np.count_nonzero(validation)} categories with validation garments, "
        "as DeepFashion2's own.",
    ]
    untrained = [c.name for c, t, v in zip(CATEGORIES, train, validation, strict=True) if v and not t]
    if untrained:
        notes.append(f"Never trained, and in the mean all the same: {', '.join(untrained)}.")
    values = paper.TABLE_7 | {MEAN: paper.TABLE_2["combined"][:2]}
    return Table(
        name="table7",
        title="DeepMark++ Table 7: accuracy by category",
        columns=(
            Column("train", 0, drawn=False),
            Column("validation", 0, drawn=False),
            Column("AP_pt"),
            Column("AP_box"),
            Column("remark", drawn=False),
        ),
        rows=table,
        ours=described(detector, judged),
        theirs=f"{paper.DATA}; mDLA-34 256x256",
        same_data=judged.same,
        paper=tuple(
            PaperColumn(name, {row: pair[k] for row, pair in values.items()})
            for k, name in enumerate(("AP_pt", "AP_box"))
        ),
        notes=tuple(notes),
    )


def counts(garments: pd.DataFrame) -> list[int]:
    """Garments of each category."""
    ids = garments["category_id"].to_numpy(np.int64)
    return np.bincount(ids, minlength=len(CATEGORIES) + 1)[1:].tolist()


def remark(train: int, validation: int) -> str:
    """What is missing, in words."""
    missing = [n for n, count in (("training", train), ("validation", validation)) if not count]
    return f"no {' or '.join(missing)} garments" if missing else ""
