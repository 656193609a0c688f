"""DFA's Figure 10: queries with their predicted landmarks and the gallery's nearest images."""

from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from fashion_ops.catalog.alignment.reader import AlignmentCatalog, AlignmentLandmarks
from fashion_ops.methods.parts.frames import letterbox
from fashion_ops.reports.clusters import draw_points
from fashion_ops.reports.draw import side_color
from fashion_ops.taxonomy.alignment import point_set
from papers.alignment import SEEDS, open_source
from papers.applications import paper
from papers.applications.features import Scale
from papers.applications.localisations import Localiser, train_localiser
from papers.applications.retrieval import consumer_to_shop
from papers.config import TableConfig
from papers.pictures import RIGHT_MATCH, TILE, WRONG_MATCH, framed, spread, write_sheet
from papers.table import Column, Table

QUERIES, NEAREST, ROW = 6, 5, "fashion landmarks"
TITLE = "DFA Figure 10: retrieval by features at predicted landmarks"


def run(config: TableConfig) -> Table:
    """Rank the gallery of Consumer-to-shop for queries spread over the test split; the first seed.

    Raises:
        FileNotFoundError: a catalog is missing.
        ValueError: the catalog has no queries.
    """
    catalog = open_source(config, "consumer_to_shop")
    queries, gallery = consumer_to_shop(catalog)
    localiser = train_localiser(config, (config.seeds or SEEDS)[0])
    queries = queries.take(spread(len(queries), QUERIES))
    scale = Scale.of(localiser.features(catalog, catalog.points("train"))[ROW])
    known = scale(localiser.features(catalog, gallery)[ROW])
    asked = scale(localiser.features(catalog, queries)[ROW])
    order = np.argsort(((asked[:, None] - known[None]) ** 2).sum(-1), 1, kind="stable")
    same = gallery.item_id[order] == queries.item_id[:, None]
    rows = pd.DataFrame(
        {
            "rank of the item": [
                int(np.flatnonzero(line)[0]) + 1 if line.any() else np.nan for line in same
            ],
            f"right among {NEAREST}": same[:, :NEAREST].sum(1),
        },
        index=pd.Index([f"query {i}" for i in queries.garment_id], name="query"),
    )
    return Table(
        name="figure10",
        title=TITLE,
        columns=tuple(Column(name, 0, zero=True) for name in rows.columns),
        rows=rows,
        ours=f"Consumer-to-shop, {len(gallery)} images in the gallery; {localiser.name}",
        theirs=paper.DATA,
        same_data=False,
        notes=(
            "Green frames are images of the query's item. The queries are spread evenly, not chosen.",
        ),
        picture=partial(
            _draw,
            catalog=catalog,
            queries=queries,
            gallery=gallery,
            nearest=order[:, :NEAREST],
            localiser=localiser,
        ),
        paper_data="DeepFashion",
    )


def _draw(
    path: Path,
    catalog: AlignmentCatalog,
    queries: AlignmentLandmarks,
    gallery: AlignmentLandmarks,
    nearest: np.ndarray,
    localiser: Localiser,
) -> None:
    lines = []
    for i in range(len(queries)):
        tiles = [_tile(catalog, queries, i, localiser)]
        for j in nearest[i]:
            right = gallery.item_id[j] == queries.item_id[i]
            tile = _tile(catalog, gallery, int(j), localiser)
            tiles.append(framed(tile, RIGHT_MATCH if right else WRONG_MATCH))
        lines.append(tiles)
    heads = ["query", *(f"nearest {k + 1}" for k in range(nearest.shape[1]))]
    write_sheet(path, TITLE, heads, lines)


def _tile(
    catalog: AlignmentCatalog, points: AlignmentLandmarks, row: int, localiser: Localiser
) -> np.ndarray:
    """The box of one garment, letterboxed, with the landmarks that the network predicts."""
    one = points.take(np.array([row]))
    found = localiser.landmarks.predict(catalog.image, one.image_id, one.box)
    frame = letterbox(one.box, float(TILE))
    (scale_x, scale_y), (shift_x, shift_y) = frame.scale[0], frame.shift[0]
    matrix = np.array([[scale_x, 0, shift_x], [0, scale_y, shift_y]])
    image = catalog.image(int(one.image_id[0]))
    tile = cv2.warpAffine(image, matrix, (TILE, TILE), borderValue=(200, 200, 200))
    names = point_set("fld8").point_names
    places = frame.apply(found[..., :2])[0]
    draw_points(tile, places, [side_color(n) for n in names], point_set("fld8").links, one.present[0])
    return tile
