"""Step ``aggregate``: landmarks of all garments, mapped to the groups of a grouping.

Writes garments.parquet (x, y, visibility of every group, zeros where a garment has none),
groups.parquet (the members of each group and how often it is labelled) and grouping.json. Row groups
are processed one after the other, so memory does not grow with the catalog.
"""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fashion_ops.catalog import schemas, tables
from fashion_ops.errors.reading import open_table
from fashion_ops.params import Params
from fashion_ops.taxonomy import CATEGORIES, Grouping, load_grouping
from fashion_ops.workspace import Workspace, publish


def run(params: Params, ws: Workspace) -> dict[str, float]:
    """Apply ``params.aggregate.grouping`` to ``ws.catalog`` and write ``ws.grouped``.

    Returns:
        garments and groups: their number; unseen_groups: groups without a single labelled landmark.
    """
    grouping = load_grouping(params.aggregate.grouping)
    counts = np.zeros((grouping.num_groups, 3), np.int64)
    source = open_table(ws.catalog / "garments.parquet")
    with publish(ws.grouped) as folder:
        target = folder / "garments.parquet"
        with tables.TableWriter(target, schemas.GROUPED) as writer:
            columns = ["garment_id", "category_id", "landmarks"]
            for batch in source.iter_batches(tables.ROW_GROUP, columns=columns):
                category_ids = batch["category_id"].to_numpy()
                values = batch["landmarks"].flatten().to_numpy().reshape(-1, 3)
                grouped = group_landmarks(grouping, category_ids, values)
                visibility = grouped[..., 2]
                counts += np.stack(
                    [
                        grouping.mask[category_ids - 1].sum(axis=0),
                        (visibility > 0).sum(axis=0),
                        (visibility == 2).sum(axis=0),
                    ],
                    axis=1,
                )
                offsets = np.arange(len(grouped) + 1, dtype=np.int32) * 3 * grouping.num_groups
                lists = pa.ListArray.from_arrays(offsets, pa.array(grouped.reshape(-1)))
                writer.append(pa.table({"garment_id": batch["garment_id"], "landmarks": lists}))
        _write_groups(folder, grouping, counts)
    return {
        "garments": float(source.metadata.num_rows),
        "groups": float(grouping.num_groups),
        "unseen_groups": float((counts[:, 1] == 0).sum()),
    }


def group_landmarks(grouping: Grouping, category_ids: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """Group the landmarks of many garments of mixed categories.

    Args:
        grouping: which landmarks share a group.
        category_ids: of the N garments, shape (N,).
        landmarks: (x, y, visibility) of all garments concatenated, shape (M, 3), as many of each
            garment as its category has.

    Returns:
        float32 (N, num_groups, 3), zeros where a category has no such group.

    Raises:
        ValueError: the grouping does not have all categories.
    """
    lengths = np.array([c.num_landmarks for c in CATEGORIES])[category_ids - 1]
    starts = np.cumsum(lengths) - lengths
    out = np.zeros((len(category_ids), grouping.num_groups, 3), np.float32)
    for category in CATEGORIES:
        rows = np.flatnonzero(category_ids == category.id)
        values = landmarks[starts[rows][:, None] + np.arange(category.num_landmarks)]
        out[rows[:, None], grouping.channels(category.id)] = values
    return out


def _write_groups(folder: Path, grouping: Grouping, counts: np.ndarray) -> None:
    """Write groups.parquet and grouping.json.

    Args:
        folder: of the output.
        grouping: the grouping.
        counts: (num_groups, 3): for each group the number of garments whose category has it, of those
            where it is labelled, and of those where it is visible.
    """
    members: list[list[str]] = [[] for _ in range(grouping.num_groups)]
    for category in CATEGORIES:
        channels = grouping.channels(category.id).tolist()
        for group, name in zip(channels, category.landmark_names, strict=True):
            members[group].append(f"{category.name}.{name}")
    table = pa.table(
        {
            "group": pa.array(range(grouping.num_groups), pa.int32()),
            "members": members,
            "garments": counts[:, 0],
            "labelled": counts[:, 1],
            "visible": counts[:, 2],
        }
    )
    pq.write_table(table, folder / "groups.parquet", compression="zstd")
    content = {"name": grouping.name, "num_groups": grouping.num_groups}
    (folder / "grouping.json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
