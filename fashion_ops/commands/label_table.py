"""``fashion-ops pseudo-label``: DFA's clusters and soft labels from a table of landmarks alone.

No images and no catalog are needed. Centres are fitted on the rows that have all their landmarks;
every row gets a label. Distances are in the 224-px letterbox, as in the step ``pseudo_label``.
"""

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from fashion_ops.catalog.alignment.landmark_table import LandmarkTable, read_landmark_table
from fashion_ops.files.outputs import FolderKind, check_folder
from fashion_ops.files.publishing import publish
from fashion_ops.methods.parts.pseudo_labels import (
    distances,
    fit_centers,
    perplexity,
    soft_labels,
    to_frame,
)

COLUMNS = ["image_name", "cluster", "soft_label"]


def _is_own(folder: Path) -> bool:
    """Whether all tables of labels in a folder have the columns that are written here."""
    tables = list(folder.glob("labels_*.parquet"))
    return bool(tables) and all(pq.read_schema(path).names == COLUMNS for path in tables)


LABELS = FolderKind("fashion-ops pseudo-label", ("centers.csv", "labels_*.parquet"), _is_own)


def run(
    train: Path, others: list[Path], out: Path | None, clusters: int, temperature: float, seed: int
) -> list[dict[str, float | str]]:
    """Fit clusters on ``train``, then label it and ``others``.

    Args:
        train: CSV file, see ``catalog.alignment.landmark_table``.
        others: CSV files of the same landmarks, which are labelled only.
        out: folder for centers.csv and a labels_NAME.parquet per table, or None.
        clusters: number of clusters K.
        temperature: temperature T of the soft labels, 224-pixel units.
        seed: of the initial centres.

    Returns:
        For each table: number of rows and of complete rows; mean and median perplexity of the labels of
        complete rows at T = 1 and at ``temperature``, mean perplexity of all rows at ``temperature``;
        and the median distance of complete rows to the nearest centre.

    Raises:
        ValueError: a table cannot be read or has other landmarks, two tables have one name, or no row
            of ``train`` is complete.
        OutputRefused: ``out`` holds what this command did not make.
    """
    if out is not None:
        check_folder(out, LABELS, inputs=(train, *others))
        for stem, count in Counter(path.stem for path in (train, *others)).items():
            if count > 1:
                raise ValueError(f"{stem}: the name of {count} tables, whose labels would share a file")
    tables = [read_landmark_table(path) for path in (train, *others)]
    for path, table in zip(others, tables[1:], strict=True):
        if table.points.name != tables[0].points.name:
            raise ValueError(f"{path}: {table.points.name}-body landmarks; {train} has others")
    frame, complete = _frame(tables[0])
    if not complete.any():
        raise ValueError(f"{train}: no row shows all its landmarks")
    observed = tables[0].visibility > 0
    centers = fit_centers(frame[complete], observed[complete], clusters, seed)
    rows: list[dict[str, float | str]] = []
    files: dict[str, pd.DataFrame] = {"centers.csv": _centers(tables[0], centers)}
    for path, table in zip((train, *others), tables, strict=True):
        frame, complete = _frame(table)
        observed = table.visibility > 0
        d = distances(frame, observed, centers)
        known = observed.any(axis=1)
        labels = soft_labels(d, temperature)
        labels[~known] = 1 / len(centers)
        hard, tempered = perplexity(soft_labels(d, 1.0)), perplexity(labels)
        rows.append(
            {
                "table": path.name,
                "rows": len(table.xy),
                "complete": int(complete.sum()),
                "T=1, median": float(np.median(hard[complete])),
                "T=1": float(hard[complete].mean()),
                f"T={temperature:g}, median": float(np.median(tempered[complete])),
                f"T={temperature:g}": float(tempered[complete].mean()),
                f"T={temperature:g}, all rows": float(tempered[known].mean()),
                "nearest centre, px": float(np.median(d[complete].min(axis=1))),
            }
        )
        nearest = np.where(known, d.argmin(axis=1), -1).astype(np.int16)
        soft = pd.Series(list(labels.astype(np.float32)), dtype=object)
        columns = dict(zip(COLUMNS, (table.names, nearest, soft), strict=True))
        files[f"labels_{path.stem}.parquet"] = pd.DataFrame(columns)
    if out is not None:
        with publish(out, LABELS) as folder:
            for name, content in files.items():
                write = content.to_csv if name.endswith(".csv") else content.to_parquet
                write(folder / name, index=False)
    return rows


def _frame(table: LandmarkTable) -> tuple[np.ndarray, np.ndarray]:
    """Landmarks (N, n, 2) in the 224-px letterbox, and which rows have all of them (N,)."""
    return to_frame(table.xy, table.box), np.asarray((table.visibility > 0).all(axis=1))


def _centers(table: LandmarkTable, centers: np.ndarray) -> pd.DataFrame:
    names = [f"{name}_{axis}" for name in table.points.point_names for axis in "xy"]
    table_of_centers = pd.DataFrame(centers.reshape(len(centers), -1), columns=names)
    table_of_centers.insert(0, "cluster", range(len(centers)))
    return table_of_centers
