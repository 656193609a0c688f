"""From the catalog's tables to the arrays that a training run takes; not a step itself."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from pydantic import BaseModel

from fashion_ops.catalog.reader import Catalog, decode_rgb
from fashion_ops.methods.parts.regions import Garments
from fashion_ops.taxonomy import Grouping, category, load_grouping
from fashion_ops.workspace import Workspace


def used_grouping(ws: Workspace) -> Grouping:
    """The grouping that the ``aggregate`` step applied."""
    return load_grouping(json.loads((ws.grouped / "grouping.json").read_text())["name"])


def load_garments(
    ws: Workspace,
    split: str,
    *,
    only: str | None = None,
    labelled: bool = True,
    soft_labels: bool = False,
) -> tuple[pd.DataFrame, Garments]:
    """Garments of a split as the catalog's rows and as arrays with grouped landmarks.

    Args:
        ws: the workspace.
        split: ``train`` or ``validation``.
        only: keep one category, by name.
        labelled: leave out garments without any labelled landmark.
        soft_labels: join the pseudo-labels.
    """
    rows = Catalog(ws.catalog).garments
    rows = rows[rows["split"] == split]
    if only is not None:
        rows = rows[rows["category_id"] == category(only).id]
    if labelled:
        rows = rows[rows["num_labelled"] > 0]
    grouped = pd.read_parquet(ws.grouped / "garments.parquet").set_index("garment_id")
    channels = used_grouping(ws).num_groups
    soft = np.zeros((len(rows), 0), np.float32)
    if soft_labels:
        labels = pd.read_parquet(ws.pseudo_labels / "labels.parquet").set_index("garment_id")
        soft = _stack(labels.loc[rows.index, "soft_label"], -1)
    return rows, Garments(
        image_id=rows["image_id"].to_numpy(np.int64),
        category_id=rows["category_id"].to_numpy(np.int64),
        boxes=_stack(rows["box"], 4),
        landmarks=_stack(grouped.loc[rows.index, "landmarks"], 3 * channels).reshape(-1, channels, 3),
        soft_labels=soft,
    )


def _stack(column: pd.Series, width: int) -> np.ndarray:
    """A column of equal-length lists as float32 (N, width)."""
    if len(column) == 0:
        return np.zeros((0, max(width, 0)), np.float32)
    return np.stack(column.to_list()).astype(np.float32)


def picture_table(catalog: Catalog, image_ids: np.ndarray) -> pa.Table:
    """Encoded pictures as an Arrow table (image_id, bytes): how they travel to a worker."""
    ids = np.unique(image_ids)
    return pa.table({"image_id": ids, "bytes": [catalog.image_bytes(int(i)) for i in ids]})


def picture_reader(table: pa.Table) -> Callable[[int], np.ndarray]:
    """Read pictures (RGB uint8) out of a ``picture_table``."""
    rows = {image_id: row for row, image_id in enumerate(table["image_id"].to_pylist())}
    column = table["bytes"]
    return lambda image_id: decode_rgb(column[rows[image_id]].as_py(), f"picture {image_id}")


def checkpoint_path(ws: Workspace, step: str, section: BaseModel, seed: int) -> Path:
    """Where a step resumes from: a name that changes with its parameters and its data."""
    digest = hashlib.sha256(f"{section.model_dump_json()} {seed}".encode())
    for table in (ws.catalog / "garments.parquet", ws.grouped / "garments.parquet"):
        digest.update(table.read_bytes())
    ws.checkpoints.mkdir(parents=True, exist_ok=True)
    return ws.checkpoints / f"{step}-{digest.hexdigest()[:16]}.ckpt"
