"""Table 2: each technique alone, and all of them; AP and time of a whole image."""

import pandas as pd

from papers.config import Request
from papers.decode_variants import (
    described,
    detect_ways,
    load_detector,
    milliseconds,
    some_images,
)
from papers.deepmark import paper
from papers.deepmark.technique_variants import alone, parameters
from papers.evaluation_set import load_judged
from papers.subprocess_measure import machine
from papers.table import Column, PaperColumn, Table

TIMED = 60  # images


def run(request: Request) -> Table:
    """AP with the maps of each image made once; times one image at a time, ways in turns."""
    detector, judged = load_detector(request), load_judged(request)
    post, source = parameters(request)
    ways, most = alone(post), request.params.evaluate.max_detections
    rows = []
    for found in detect_ways(detector, ways, judged, most).values():
        points, boxes = judged.landmarks(found, most), judged.boxes(found)
        rows.append((points.stats["AP"], boxes.stats["AP"]))
    table = pd.DataFrame(rows, index=pd.Index(ways, name="way"), columns=["AP_pt", "AP_box"])
    images = some_images(judged, TIMED)
    readers = {name: detector.with_post(way) for name, way in ways.items()}
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
        ours=f"{described(detector, judged)} on {machine('cpu')}",
        theirs=f"{paper.DATA}; mDLA-34 256x256 on a {paper.PHONE}",
        same_data=judged.same,
        paper=tuple(
            PaperColumn(c.name, {row: values[k] for row, values in paper.TABLE_2.items()})
            for k, c in enumerate(columns)
        ),
        notes=(
            source,
            f"Time: image in, garments out (fit, network, techniques, decode), median of "
            f"{len(images)} images, one at a time; the ways take turns on each image.",
            "`combined` is the four techniques and NMS.",
        ),
    )
