"""Table 2: each technique alone, and all of them; AP and time of a whole image."""

import pandas as pd

from papers.config import TableConfig
from papers.decode_variants import (
    describe,
    detect_variants,
    first_images,
    load_detector,
    milliseconds,
)
from papers.deepmark import paper
from papers.deepmark.technique_variants import load_postprocess, single_techniques
from papers.evaluation_set import load_evaluation_set
from papers.subprocess_measure import machine
from papers.table import Column, PaperColumn, Table

TIMED = 60  # images


def run(config: TableConfig) -> Table:
    """AP from one pass of the network; times one image at a time, the variants taking turns."""
    detector, evaluated = load_detector(config), load_evaluation_set(config)
    post, source = load_postprocess(config)
    variants, most = single_techniques(post), config.params.evaluate.max_detections
    rows = []
    for predictions in detect_variants(detector, variants, evaluated, most).values():
        points, boxes = evaluated.landmarks(predictions, most), evaluated.boxes(predictions)
        rows.append((points.stats["AP"], boxes.stats["AP"]))
    table = pd.DataFrame(rows, index=pd.Index(variants, name="variant"), columns=["AP_pt", "AP_box"])
    images = first_images(evaluated, TIMED)
    readers = {name: detector.with_post(variant) for name, variant in variants.items()}
    times = milliseconds(
        {name: lambda image, r=reader: r.detect([image]) for name, reader in readers.items()},
        images,
    )
    table["time, ms"] = pd.Series(times)
    columns = (
        Column("AP_pt", gain=True),
        Column("AP_box", gain=True),
        Column("time, ms", 2, "machine", zero=True),
    )
    return Table(
        name="table2",
        title="DeepMark++ Table 2: post-processing techniques, alone and together",
        columns=columns,
        rows=table,
        ours=f"{describe(detector, evaluated)} on {machine('cpu')}",
        theirs=f"{paper.DATA}; mDLA-34 256x256 on a {paper.PHONE}",
        same_data=evaluated.is_papers_data,
        paper=tuple(
            PaperColumn(c.name, {row: values[k] for row, values in paper.TABLE_2.items()})
            for k, c in enumerate(columns)
        ),
        notes=(
            source,
            f"Time: from image to garments (letterbox, network, techniques, decode), median of "
            f"{len(images)} images, one at a time; the rows take turns on each image.",
            "`combined` is the four techniques and NMS.",
        ),
    )
