"""Table 3: AP of each category without and with finetuning, with its counts.

Evaluates the workspace's models on the boxes of ``evaluate.boxes``.
"""

import numpy as np
import pandas as pd

from fashion_ops.inference.box_sources import open_boxes
from fashion_ops.taxonomy import CATEGORIES, CATEGORY_NAMES
from papers import landmarker_scores as scoring
from papers.agg_finetune import paper
from papers.config import TableConfig
from papers.evaluation_set import load_evaluation_set
from papers.table import MEAN, Column, PaperColumn, Table, garment_counts, missing_garments

APS = ("AP_box", "AP_kps w/o ft", "AP_kps w/ ft")


def run(config: TableConfig) -> Table:
    """Evaluate the universal and the finetuned landmarkers on the same boxes."""
    evaluated, ws = load_evaluation_set(config), config.ws
    universal = scoring.load_landmarker(ws.landmarker, config.device)
    finetuned = {
        name: scoring.load_landmarker(ws.finetuned(name), config.device) for name in CATEGORY_NAMES
    }
    boxes = config.params.evaluate.boxes
    source = open_boxes(boxes, ws, evaluated.catalog, evaluated.images, config.device)
    detected, _ = scoring.detect_boxes(config, evaluated, source)
    tables = scoring.predict_landmarks(universal, finetuned, evaluated, detected, "landmarks")
    scores = [
        evaluated.boxes(detected),
        *(scoring.landmark_scores(config, evaluated, tables[row]) for row in scoring.VARIANTS),
    ]
    train = garment_counts(evaluated.training_garments())
    validation = garment_counts(evaluated.garments)
    rows = pd.DataFrame(
        {
            "train": train,
            "validation": validation,
            **{
                name: [per_row.per_category[c.id] for c in CATEGORIES]
                for name, per_row in zip(APS, scores, strict=True)
            },
            "remark": [missing_garments(t, v) for t, v in zip(train, validation, strict=True)],
        },
        index=pd.Index(CATEGORY_NAMES, name="category"),
    ).replace({name: {-1.0: np.nan} for name in APS})
    rows.loc[MEAN] = [sum(train), sum(validation), *(s.stats["AP"] for s in scores), ""]
    rows["gain"] = rows[APS[2]].astype(float) - rows[APS[1]].astype(float)
    values = {name: row[2:] for name, row in paper.TABLE_3.items()} | {MEAN: paper.TABLE_3_MEAN}
    gains = {name: with_ft - without for name, (_, without, with_ft) in values.items()}
    printed = {name: {row: aps[k] for row, aps in values.items()} for k, name in enumerate(APS)}
    width, height = universal.crop
    return Table(
        name="table3",
        title="Aggregation & Finetuning Table 3: finetuning by category",
        columns=(
            Column("train", 0, drawn=False),
            Column("validation", 0, drawn=False),
            *(Column(name) for name in APS),
            Column("gain"),
            Column("remark", drawn=False),
        ),
        rows=rows,
        ours=f"{evaluated.name}; boxes of `evaluate.boxes: {boxes}`, "
        f"{universal.spec['backbone']} {width}x{height}",
        theirs=f"{paper.DATA}; boxes of HTC, HRNet-w48 384x512",
        same_data=evaluated.is_papers_data,
        paper=tuple(PaperColumn(name, column) for name, column in (printed | {"gain": gains}).items()),
        notes=("The mean is that of the categories with validation garments.",),
    )
