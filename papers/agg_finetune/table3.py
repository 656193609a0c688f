"""Table 3: AP of each category without and with finetuning, with its counts.

Of the workspace's own models, with the boxes that ``evaluate.boxes`` names.
"""

import numpy as np
import pandas as pd

from fashion_ops.inference.box_sources import open_boxes
from fashion_ops.taxonomy import CATEGORIES, CATEGORY_NAMES
from papers.agg_finetune import paper, scoring
from papers.config import Request
from papers.deepmark.table7 import MEAN, counts, remark
from papers.evaluation_set import load_judged
from papers.table import Column, PaperColumn, Table

APS = ("AP_box", "AP_kps w/o ft", "AP_kps w/ ft")


def run(request: Request) -> Table:
    """Judge the universal and the finetuned landmarkers on the same boxes."""
    judged, ws = load_judged(request), request.ws
    universal = scoring.load(ws.landmarker)
    finetuned = {name: scoring.load(ws.finetuned(name)) for name in CATEGORY_NAMES}
    boxes = request.params.evaluate.boxes
    found = scoring.find(request, judged, open_boxes(boxes, ws, judged.catalog, judged.images))[0]
    made = scoring.landmarks(universal, finetuned, judged, found, "landmarks")
    scores = [
        judged.boxes(found),
        *(scoring.score(request, judged, made[row]) for row in scoring.VARIANTS),
    ]
    everything = judged.catalog.garments
    train = counts(everything[everything["split"] == "train"])
    validation = counts(judged.garments)
    rows = pd.DataFrame(
        {
            "train": train,
            "validation": validation,
            **{
                name: [one.per_category[c.id] for c in CATEGORIES]
                for name, one in zip(APS, scores, strict=True)
            },
            "remark": [remark(t, v) for t, v in zip(train, validation, strict=True)],
        },
        index=pd.Index(CATEGORY_NAMES, name="category"),
    ).replace({name: {-1.0: np.nan} for name in APS})
    rows.loc[MEAN] = [sum(train), sum(validation), *(s.stats["AP"] for s in scores), ""]
    rows["gain"] = rows[APS[2]].astype(float) - rows[APS[1]].astype(float)
    values = {name: own[2:] for name, own in paper.TABLE_3.items()} | {MEAN: paper.TABLE_3_MEAN}
    gains = {name: with_ft - without for name, (_, without, with_ft) in values.items()}
    printed = {name: {row: own[k] for row, own in values.items()} for k, name in enumerate(APS)}
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
        ours=f"{judged.name}; boxes of `evaluate.boxes: {boxes}`, "
        f"{universal.spec['backbone']} {width}x{height}",
        theirs=f"{paper.DATA}; boxes of HTC, HRNet-w48 384x512",
        same_data=judged.same,
        paper=tuple(PaperColumn(name, own) for name, own in (printed | {"gain": gains}).items()),
        notes=("The mean is that of the categories with validation garments.",),
    )
