"""Figure 1 (b, c): how much human joints and fashion landmarks vary in place and in appearance.

The paper prints no measure. Here the place of a point is relative to its garment's (or person's) box,
and its variance the root mean square distance from the mean place. Its appearance is the patch around
it, and the variance the standard deviation of the patches' pixels from the mean patch. Both cut square
patches of a tenth of the box's longer side, so they depend on no network.
"""

from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from fashion_ops.catalog.alignment.reader import AlignmentCatalog, AlignmentLandmarks
from fashion_ops.methods.parts.frames import letterbox
from fashion_ops.taxonomy.alignment import point_set
from papers.alignment import VISIBLE, open_source
from papers.config import TableConfig
from papers.pictures import spread
from papers.table import Column, Table

MOST, PATCH, SHARE = 1000, 12, 0.1  # photos; pixels of a patch; its side over the box's longer one
COLORS = {"human joints": "#2b6cb0", "fashion landmarks": "#2f855a"}


def run(config: TableConfig) -> Table:
    """Measure LSP's joints and FLD's landmarks on at most ``MOST`` training photos each."""
    joints, landmarks = open_source(config, "lsp"), open_source(config, "fld")
    sets = {
        "human joints": (joints, joints.points("train", "person"), point_set("lsp14").point_names),
        "fashion landmarks": (landmarks, landmarks.points("train"), point_set("fld8").point_names),
    }
    rows, counts = {}, []
    for kind, (catalog, points, names) in sets.items():
        if not len(points):
            raise ValueError(f"{catalog.folder}: no training photos; ingest some")
        points = points.take(spread(len(points), MOST))
        counts.append(f"{len(points)} photos of {kind}")
        for name, numbers in zip(names, _variances(catalog, points), strict=True):
            rows[f"{kind}: {name.replace('_', ' ')}"] = numbers
        means = np.nanmean([row for key, row in rows.items() if key.startswith(kind)], 0)
        rows[f"{kind}: mean"] = tuple(means)
    names = ("place, % of the box", "appearance, levels")
    columns = tuple(Column(name, 1, zero=True) for name in names)
    table = pd.DataFrame.from_dict(rows, orient="index", columns=[c.name for c in columns])
    return Table(
        name="figure1",
        title="DFA Figure 1 (b, c): variance of human joints and fashion landmarks",
        columns=columns,
        rows=table.rename_axis("point"),
        ours="; ".join(counts),
        theirs="an image without numbers",
        same_data=False,
        notes=(
            "Place: root mean square distance from the mean place within the box. Appearance: "
            f"standard deviation of grey levels over patches of {SHARE:g} of the longer side, from "
            "the mean patch. Visible points only.",
        ),
    )


def draw(table: Table, path: Path) -> None:
    """Draw one bar a point in both columns, joints blue and landmarks green as in the paper."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 0.24 * len(table.rows) + 1.0), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(1, len(table.columns), sharey=True)
    labels = [str(row) for row in table.rows.index]
    colors = [COLORS[label.partition(":")[0]] for label in labels]
    for panel, column in zip(panels, table.columns, strict=True):
        panel.barh(labels, table.rows[column.name].astype(float), color=colors, height=0.7)
        panel.set_title(column.name, fontsize=9)
        panel.tick_params(labelsize=8, length=0)
        panel.grid(axis="x", color="#dddddd", linewidth=0.6)
        panel.set_axisbelow(True)
        panel.spines[["top", "right", "left"]].set_visible(False)
    panels[0].invert_yaxis()
    figure.suptitle(table.title, fontsize=10, x=0.01, ha="left")
    figure.savefig(path, dpi=110, metadata={"Software": None})


def _variances(catalog: AlignmentCatalog, points: AlignmentLandmarks) -> list[tuple[float, float]]:
    """Variance of place and of appearance of each point; NaN where fewer than two are visible."""
    places = letterbox(points.box, 1.0, centered=True).apply(points.xy)
    visible = points.visibility == VISIBLE
    patches = np.zeros((*visible.shape, PATCH, PATCH), np.float32)
    for i in range(len(points)):
        grey = cv2.cvtColor(catalog.image(int(points.image_id[i])), cv2.COLOR_RGB2GRAY)
        side = max(2, round(SHARE * float((points.box[i, 2:] - points.box[i, :2]).max())))
        for k in np.flatnonzero(visible[i]):
            x, y = (float(v) for v in points.xy[i, k])
            patch = cv2.getRectSubPix(grey, (side, side), (x, y))
            patches[i, k] = cv2.resize(patch, (PATCH, PATCH), interpolation=cv2.INTER_AREA)
    out = []
    for k in range(visible.shape[1]):
        rows = visible[:, k]
        if rows.sum() < 2:
            out.append((np.nan, np.nan))
            continue
        place = places[rows, k] - places[rows, k].mean(0)
        look = patches[rows, k] - patches[rows, k].mean(0)
        out.append((100 * float((place**2).sum(-1).mean() ** 0.5), float((look**2).mean() ** 0.5)))
    return out
