"""From the catalog's tables to the arrays and images that a training run takes."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from pydantic import BaseModel

from fashion_ops.catalog.provenance import are_real
from fashion_ops.catalog.reader import LAYOUT, Catalog, decode_rgb
from fashion_ops.errors.reading import read_object, read_table
from fashion_ops.taxonomy import Grouping, category, load_grouping
from fashion_ops.workspace import Workspace

HELD_OUT = 15  # seed of ``held_out``
IMAGES_A_CHUNK = 128  # some 10 to 60 MB


@dataclass(frozen=True)
class TrainingGarments:
    """Arrays that describe N garments: what a training run needs besides the images.

    ``boxes``: (N, 4) x1, y1, x2, y2. ``landmarks``: (N, K, 3) x, y in image pixels and visibility, for
    the K channels of a grouping. ``soft_labels``: (N, clusters) pseudo-labels, or (N, 0) where a method
    uses none. ``real``: bool (N,), which garments are on photos and not on images that the wardrobe
    drew; None where no ``real_share`` asks for it.
    """

    image_id: np.ndarray
    category_id: np.ndarray
    boxes: np.ndarray
    landmarks: np.ndarray
    soft_labels: np.ndarray
    real: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.image_id)

    def with_channels(self, channels: np.ndarray) -> "TrainingGarments":
        """The same garments with a selection of their K landmark channels."""
        return replace(self, landmarks=self.landmarks[:, channels])

    def regrouped(self, old: Grouping, new: Grouping) -> "TrainingGarments":
        """The same garments with the channels of another grouping, which hold the same landmarks.

        Args:
            old: grouping of the landmarks.
            new: the other one.
        """
        shape = (len(self), new.num_groups, self.landmarks.shape[2])
        landmarks = np.zeros(shape, self.landmarks.dtype)
        for c in np.unique(self.category_id).tolist():
            rows = self.category_id == c
            landmarks[rows] = new.group(c, old.ungroup(c, self.landmarks[rows]))
        return replace(self, landmarks=landmarks)

    def take(self, index: np.ndarray) -> "TrainingGarments":
        """The garments at these positions, or where a boolean ``index`` is true."""
        columns = {name: column[index] for name, column in vars(self).items() if column is not None}
        return TrainingGarments(**columns)

    @classmethod
    def concatenate(cls, parts: Sequence["TrainingGarments"]) -> "TrainingGarments":
        """The garments of several sets as one set; ``real`` only if all sets say it."""
        columns = {}
        for f in fields(cls):
            values = [getattr(part, f.name) for part in parts]
            columns[f.name] = None if any(v is None for v in values) else np.concatenate(values)
        return cls(**columns)


def used_grouping(ws: Workspace) -> Grouping:
    """The grouping that the ``aggregate`` step applied."""
    return load_grouping(read_object(ws.grouped / "grouping.json", "name")["name"])


def load_garments(
    ws: Workspace,
    split: str,
    *,
    only: str | None = None,
    labelled: bool = True,
    soft_labels: bool = False,
    real: bool = False,
) -> tuple[pd.DataFrame, TrainingGarments]:
    """Load the garments of a split.

    Args:
        ws: the workspace.
        split: ``train`` or ``validation``.
        only: name of the only category to load; None loads all.
        labelled: whether to leave out garments without any labelled landmark.
        soft_labels: whether to join the pseudo-labels.
        real: whether to tell garments on photos from those on drawn images.

    Returns:
        The rows of the catalog (``schemas.GARMENTS``), and the same garments as arrays with grouped
        landmarks.
    """
    catalog = Catalog(ws.catalog)
    rows = catalog.garments
    rows = rows[rows["split"] == split]
    if only is not None:
        rows = rows[rows["category_id"] == category(only).id]
    if labelled:
        rows = rows[rows["num_labelled"] > 0]
    grouped = read_table(ws.grouped / "garments.parquet", needs=("garment_id",)).set_index("garment_id")
    channels = used_grouping(ws).num_groups
    soft = np.zeros((len(rows), 0), np.float32)
    if soft_labels:
        labels = read_table(ws.pseudo_labels / "labels.parquet", needs=("garment_id",)).set_index(
            "garment_id"
        )
        soft = _stack(labels.loc[rows.index, "soft_label"], -1)
    return rows, TrainingGarments(
        image_id=rows["image_id"].to_numpy(np.int64),
        category_id=rows["category_id"].to_numpy(np.int64),
        boxes=_stack(rows["box"], 4),
        landmarks=_stack(grouped.loc[rows.index, "landmarks"], 3 * channels).reshape(-1, channels, 3),
        soft_labels=soft,
        real=are_real(catalog, rows["image_id"].to_numpy(np.int64)) if real else None,
    )


def held_out(image_ids: np.ndarray, share: float) -> np.ndarray:
    """Which images (N,) no landmark network learns from: bool (N,), drawn by their ids alone.

    All steps draw the same ones, and an image keeps its place when others join the catalog.

    Args:
        image_ids: of the images, or of the garments on them.
        share: of all images, 0..1.
    """
    ids = np.asarray(image_ids, np.int64)
    if not share or not len(ids):
        return np.zeros(len(ids), bool)
    return np.random.default_rng(HELD_OUT).random(int(ids.max()) + 1)[ids] < share


def _stack(column: pd.Series, width: int) -> np.ndarray:
    """A column of equal-length lists as float32 (N, width)."""
    if len(column) == 0:
        return np.zeros((0, max(width, 0)), np.float32)
    return np.stack(column.to_list()).astype(np.float32)


class ImageChunks(Sequence[pa.Table]):
    """Encoded images as Arrow tables (image_id, bytes), each read on access.

    Images travel to a worker like this: no more than one chunk of ``size`` is in memory at once.
    """

    def __init__(self, catalog: Catalog, image_ids: np.ndarray, size: int = IMAGES_A_CHUNK) -> None:
        self._catalog, self._ids, self._size = catalog, np.unique(image_ids), size

    def __len__(self) -> int:
        return -(-len(self._ids) // self._size)

    def __getitem__(self, index: Any) -> Any:
        if not 0 <= index < len(self):
            raise IndexError(index)
        ids = self._ids[index * self._size : (index + 1) * self._size]
        return pa.table([ids, [self._catalog.image_bytes(int(i)) for i in ids]], schema=LAYOUT)

    @property
    def image(self) -> Callable[..., np.ndarray]:
        """``Catalog.image``: reads one image, for a process beside the catalog."""
        return self._catalog.image


class ImageReader:
    """Reads images (RGB uint8) by image id from a file of encoded images, which is memory-mapped.

    Args:
        chunks: tables of image_id and bytes, which are written to a file in ``folder`` one by one; or
            the file (``path``) that another reader has written.
        folder: existing folder.
    """

    def __init__(self, chunks: Iterable[pa.Table] | Path, folder: Path) -> None:
        if isinstance(chunks, Path):
            self.path = chunks
        else:
            self.path = folder / "images.arrow"
            with pa.ipc.new_file(str(self.path), LAYOUT) as writer:
                for chunk in chunks:
                    writer.write_table(chunk)
        self._map()

    def __call__(self, image_id: int, shrink: int = 1) -> np.ndarray:
        data = self._bytes[self._rows[image_id]].as_py()
        return decode_rgb(data, f"image {image_id}", shrink=shrink)

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path}  # another process maps the file itself

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.path = state["path"]
        self._map()

    def _map(self) -> None:
        table = pa.ipc.open_file(pa.memory_map(str(self.path))).read_all()
        self._rows = {image_id: row for row, image_id in enumerate(table["image_id"].to_pylist())}
        self._bytes = table["bytes"]


def open_images(images: Iterable[pa.Table] | Path, folder: Path) -> Callable[..., np.ndarray]:
    """How a training reads its images: image id, and how much smaller, to RGB uint8 (H, W, 3).

    Args:
        images: ``ImageChunks`` beside the catalog, which are read from it and not copied; chunks that
            arrive on another machine, or the file of an ``ImageReader``.
        folder: existing folder for chunks that arrive.
    """
    return images.image if isinstance(images, ImageChunks) else ImageReader(images, folder)


def checkpoint_path(
    ws: Workspace, step: str, section: BaseModel, seed: int, *, grouped: bool = True
) -> Path:
    """Path of a step's checkpoint; its name changes with the parameters and the data of the step.

    Args:
        ws: the workspace.
        step: name of the step.
        section: its parameters.
        seed: the global seed.
        grouped: whether the step's data include the grouped landmarks.
    """
    digest = hashlib.sha256(f"{section.model_dump_json()} {seed}".encode())
    tables = [ws.catalog / "garments.parquet"]
    for table in [*tables, ws.grouped / "garments.parquet"] if grouped else tables:
        digest.update(table.read_bytes())
    ws.checkpoints.mkdir(parents=True, exist_ok=True)
    return ws.checkpoints / f"{step}-{digest.hexdigest()[:16]}.ckpt"
