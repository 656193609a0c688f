"""Table 6: operations of an image by resolution: network, techniques, decode.

The operations are counted and not measured, so the table needs neither images nor a trained model and
its numbers must equal the paper's. The network is counted like the paper's (thop of 2020). The paper
gives no rule for the rest. Our rule, with K landmark maps, C = 13 centre maps of s^2 cells, s = side /
4, and G garments of L landmarks each:

- techniques: (C + K) s^2 9 for the 3x3 smoothing; a landmark takes s^2 + 4 s for its mask (each cell
  once, the rows' factors, the best row, two lines of a Gaussian), 4 for the blend and 1 for the score;
- decode: C s^2 5 for the local maxima of the centre maps (four comparisons and a product), 4 a garment
  for its box and 2 a landmark for its coarse position.
"""

import pandas as pd

from fashion_ops.methods.centernet.codec import STRIDE
from fashion_ops.methods.describe import describe_detector
from fashion_ops.taxonomy import NUM_CATEGORIES, load_grouping
from papers.config import TableConfig
from papers.deepmark import paper
from papers.table import Column, PaperColumn, Table

SIDES = (128, 256, 512)
GARMENTS, LANDMARKS = 3, 23  # in an image of DeepFashion2 at most 5, 1.6 on average; 294 / 13
COLUMNS = ("network", "techniques", "decode", "total")
OURS = "network, MACs of ours"


def run(config: TableConfig) -> Table:
    """mDLA-34 or the first of ``config.backbones``, with 62 groups."""
    backbone = config.backbones[0] if config.backbones else "mdla34"
    groups = load_grouping("semantic62").num_groups
    rows = {}
    for side in SIDES:
        network = describe_detector(backbone, "semantic62", side)
        published = network["reference"]["operations"]
        if published is None:
            raise ValueError(f"{backbone}: the paper's way of counting has no rule for its layers")
        parts = (published, *after_network(side, groups))
        rows[f"{side} x {side}"] = [v / 1e9 for v in (*parts, sum(parts), network["macs"])]
    columns = [Column(c, 4, "nothing", zero=True, drawn=c in COLUMNS[:3]) for c in (*COLUMNS, OURS)]
    table = pd.DataFrame.from_dict(rows, orient="index", columns=[c.name for c in columns])
    theirs = {f"{side} x {side}": values for side, values in paper.TABLE_6.items()}
    known = theirs if backbone == "mdla34" else {}
    return Table(
        name="table6",
        title="DeepMark++ Table 6: giga-operations of one image",
        columns=tuple(columns),
        rows=table.rename_axis("input"),
        ours=f"{backbone}, 62 groups, counted; holds for every data set",
        theirs="mDLA-34, counted; holds for every data set",
        same_data=True,
        paper=tuple(
            PaperColumn(name, {row: values[k] for row, values in known.items()})
            for k, name in enumerate(COLUMNS)
            if known
        ),
        notes=(
            "Network: the published one, as thop counted in 2020 (biases and normalisation too). The "
            "paper prints these as GFLOPs; they are multiply-accumulates, and twice as many with "
            "multiply and add counted apart. `fashion-ops describe detector` counts each part.",
            f"{OURS}: convolutions only, and without the two projections of the published DLA-34 "
            "whose output is unused.",
            "Techniques and decode: the formulas of `papers/deepmark/table6.py`, with "
            f"{GARMENTS} garments of {LANDMARKS} landmarks. The paper's rule is not published; its "
            "techniques are the smoothing alone (75 maps x cells x 9), ours count the mask too.",
        ),
    )


def after_network(side: int, groups: int) -> tuple[int, int]:
    """Operations of the techniques and of decode by the formulas of this module's docstring.

    Args:
        side: of the input, pixels.
        groups: number of landmark channels.
    """
    s, landmarks = side // STRIDE, GARMENTS * LANDMARKS
    techniques = (NUM_CATEGORIES + groups) * s * s * 9 + landmarks * (s * s + 4 * s + 4 + 1)
    decode = NUM_CATEGORIES * s * s * 5 + 4 * GARMENTS + 2 * landmarks
    return techniques, decode
