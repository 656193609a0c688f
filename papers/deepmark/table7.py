"""Table 7: AP of each category, with its number of training and validation garments."""

import numpy as np
import pandas as pd

from fashion_ops.taxonomy import CATEGORIES
from papers.config import TableConfig
from papers.decode_variants import describe, detect_variants, load_detector
from papers.deepmark import paper
from papers.deepmark.technique_variants import combined, load_postprocess
from papers.evaluation_set import load_evaluation_set
from papers.table import MEAN, Column, PaperColumn, Table, garment_counts, missing_garments


def run(config: TableConfig) -> Table:
    """All four techniques and NMS; a remark names categories without garments."""
    detector, evaluated = load_detector(config), load_evaluation_set(config)
    post, source = load_postprocess(config)
    most = config.params.evaluate.max_detections
    variants = {"combined": combined(post)}
    predictions = detect_variants(detector, variants, evaluated, most)["combined"]
    points, boxes = evaluated.landmarks(predictions, most), evaluated.boxes(predictions)
    train = garment_counts(evaluated.training_garments())
    validation = garment_counts(evaluated.garments)
    table = pd.DataFrame(
        {
            "train": train,
            "validation": validation,
            "AP_pt": [points.per_category[c.id] for c in CATEGORIES],
            "AP_box": [boxes.per_category[c.id] for c in CATEGORIES],
            "remark": [missing_garments(t, v) for t, v in zip(train, validation, strict=True)],
        },
        index=pd.Index([c.name for c in CATEGORIES], name="category"),
    ).replace({"AP_pt": {-1.0: np.nan}, "AP_box": {-1.0: np.nan}})
    table.loc[MEAN] = [sum(train), sum(validation), points.stats["AP"], boxes.stats["AP"], ""]
    notes = [
        source,
        f"The mean is that of the {np.count_nonzero(validation)} categories with validation garments, "
        "as in DeepFashion2's evaluation.",
    ]
    untrained = [c.name for c, t, v in zip(CATEGORIES, train, validation, strict=True) if v and not t]
    if untrained:
        notes.append(f"Never trained, but counted in the mean: {', '.join(untrained)}.")
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
        ours=describe(detector, evaluated),
        theirs=f"{paper.DATA}; mDLA-34 256x256",
        same_data=evaluated.is_papers_data,
        paper=tuple(
            PaperColumn(name, {row: pair[k] for row, pair in values.items()})
            for k, name in enumerate(("AP_pt", "AP_box"))
        ),
        notes=tuple(notes),
    )
