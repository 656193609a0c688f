"""Step ``pseudo_label``: K typical landmark configurations per category, a soft label per garment.

Writes labels.parquet (all splits), centers.parquet and clusters/CATEGORY.png. The centres are fitted on
the train split alone. The landmarker learns the labels beside its landmarks (DFA), and the report
breaks its errors down by cluster. ``methods.parts.pseudo_labels`` has the computation,
``reports.clusters`` draws the figures.
"""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fashion_ops.catalog import schemas, tables
from fashion_ops.catalog.reader import Catalog
from fashion_ops.errors.reading import read_arrow
from fashion_ops.methods.parts.pseudo_labels import (
    distances,
    fit_centers,
    perplexity,
    soft_labels,
    to_frame,
)
from fashion_ops.params import Params
from fashion_ops.progress import track
from fashion_ops.reports.clusters import draw_clusters
from fashion_ops.taxonomy import CATEGORIES, Category
from fashion_ops.workspace import Workspace, publish

CENTERS = pa.schema(
    {
        "category_id": pa.int8(),
        "cluster": pa.int16(),
        "count": pa.int32(),  # garments of the train split nearest to it
        "center": pa.list_(pa.float32()),  # x, y of each landmark in the 224-px frame of the box
    }
)


def run(params: Params, ws: Workspace) -> dict[str, float]:
    """Cluster the garments of ``ws.catalog`` and write ``ws.pseudo_labels``.

    With K = ``pseudo_label.clusters``: a category with fewer than K different configurations gets fewer
    centres, and its labels are padded with zeros to length K. A garment without any labelled landmark,
    or of a category without centres, has cluster -1 and a uniform label.

    Returns:
        clusters: number of centres over all categories; perplexity: mean perplexity of the soft labels
        of the garments that have a cluster (1 if they are one-hot, K if uniform); unlabelled: number
        of garments without a cluster.
    """
    catalog = Catalog(ws.catalog)
    k, temperature = params.pseudo_label.clusters, params.pseudo_label.temperature
    columns = ["garment_id", "image_id", "split", "category_id", "box", "landmarks"]
    garments = read_arrow(ws.catalog / "garments.parquet", columns=columns)
    clusters = np.full(garments.num_rows, -1, np.int16)
    labels = np.full((garments.num_rows, k), 1 / k, np.float32)
    centers = []
    with publish(ws.pseudo_labels) as folder:
        (folder / "clusters").mkdir()
        for category in track(CATEGORIES, "pseudo_label, categories"):
            rows = np.flatnonzero(garments["category_id"].to_numpy() == category.id)
            table = garments.take(rows)
            landmarks, observed = _configurations(table, category)
            train = table["split"].to_numpy() == "train"
            fitted = fit_centers(landmarks[train], observed[train], k, params.seed + category.id)
            if not len(fitted):
                continue
            d = distances(landmarks, observed, fitted)
            known = observed.any(axis=1)
            nearest = np.where(known, d.argmin(axis=1), -1)
            clusters[rows] = nearest
            labels[rows[known]] = 0
            labels[rows[known], : len(fitted)] = soft_labels(d[known], temperature)
            counts = np.bincount(nearest[train & known], minlength=len(fitted))
            centers += [(category.id, j, int(counts[j]), c.ravel()) for j, c in enumerate(fitted)]
            members = [np.flatnonzero(train & (nearest == j)) for j in range(len(fitted))]
            figure = folder / "clusters" / f"{category.name}.png"
            draw_clusters(figure, category, fitted, members, table, catalog)
        _write(folder, garments["garment_id"], clusters, labels, centers)
    known_labels = labels[clusters >= 0]
    return {
        "clusters": float(len(centers)),
        "perplexity": float(perplexity(known_labels).mean()) if len(known_labels) else 0.0,
        "unlabelled": float((clusters < 0).sum()),
    }


def _configurations(garments: pa.Table, category: Category) -> tuple[np.ndarray, np.ndarray]:
    """Landmark configurations of the garments of one category.

    Args:
        garments: ``landmarks`` and ``box`` of N garments.
        category: their category, with n landmarks.

    Returns:
        x, y of each landmark in the 224-px frame of its box, (N, n, 2); and which landmarks are
        labelled, bool (N, n).
    """
    points = _values(garments["landmarks"]).reshape(-1, category.num_landmarks, 3)
    boxes = _values(garments["box"]).reshape(-1, 4)
    return to_frame(points[..., :2], boxes), points[..., 2] > 0


def _values(column: pa.ChunkedArray) -> np.ndarray:
    """The numbers of a column of lists, all lists concatenated."""
    return column.combine_chunks().flatten().to_numpy()


def _write(
    folder: Path,
    garment_ids: pa.ChunkedArray,
    clusters: np.ndarray,
    labels: np.ndarray,
    centers: list[tuple[int, int, int, np.ndarray]],
) -> None:
    """Write labels.parquet and centers.parquet.

    Args:
        folder: of the output.
        garment_ids: of the N garments.
        clusters: (N,); -1 for none.
        labels: soft labels (N, K).
        centers: rows of ``CENTERS``.
    """
    offsets = np.arange(len(labels) + 1, dtype=np.int32) * labels.shape[1]
    soft = pa.ListArray.from_arrays(offsets, pa.array(labels.reshape(-1)))
    target = folder / "labels.parquet"
    with tables.TableWriter(target, schemas.PSEUDO_LABELS) as writer:
        writer.append(pa.table({"garment_id": garment_ids, "cluster": clusters, "soft_label": soft}))
    rows = [dict(zip(CENTERS.names, row, strict=True)) for row in centers]
    pq.write_table(pa.Table.from_pylist(rows, CENTERS), folder / "centers.parquet", compression="zstd")
