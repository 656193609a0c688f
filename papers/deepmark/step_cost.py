"""What 62 groups save against 294 landmarks: the common half of Figures 4 and 12.

Every case runs in processes of its own, the cases taking turns, on the catalog's images.
"""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from safetensors.torch import save_file
from torch import Tensor

from fashion_ops.catalog.training_data import TrainingGarments
from fashion_ops.methods.centernet.data import Images
from fashion_ops.taxonomy import load_grouping
from papers.evaluation_set import Judged
from papers.subprocess_measure import measure
from papers.table import Column

GROUPINGS = {294: "none", 62: "semantic62"}
COLUMNS = (
    Column("time, ms", 1, "machine", zero=True),
    Column("memory, MiB", 0, "machine", zero=True),
    Column("process, MiB", 0, "machine", zero=True, drawn=False),
    Column("time saved, %", 1, "machine", zero=True),
    Column("memory saved, %", 1, "machine", zero=True),
)
REPEATS = 3  # processes a case


def compare(function: str, cases: Mapping[str, Mapping[str, Any]], repeats: int) -> pd.DataFrame:
    """Measure each case with 294 and with 62 channels; the latter's rows say what they save.

    Args:
        function: of ``steps``.
        cases: keywords by row label, without the grouping; ``{grouping}`` in a value is filled in.
        repeats: processes a row.
    """
    rows = {
        f"{name}, {channels}": {
            key: value.format(grouping=grouping) if isinstance(value, str) else value
            for key, value in case.items()
        }
        | {"grouping": grouping}
        for name, case in cases.items()
        for channels, grouping in GROUPINGS.items()
    }
    found = measure(f"papers.deepmark.steps:{function}", rows, repeats)
    numbers = {
        row: [own["ms"], own["MiB"], own["process MiB"], np.nan, np.nan] for row, own in found.items()
    }
    for name in cases:
        all_landmarks, groups = found[f"{name}, 294"], found[f"{name}, 62"]
        numbers[f"{name}, 62"][3:] = [
            100 * (1 - groups[key] / all_landmarks[key]) for key in ("ms", "MiB")
        ]
    table = pd.DataFrame.from_dict(numbers, orient="index", columns=[c.name for c in COLUMNS])
    return table.rename_axis("network, channels")


def write_images(judged: Judged, count: int, path: Path) -> int:
    """The first judged images as a file for ``steps.inference``; returns how many there are."""
    ids = judged.images["image_id"].head(count)
    images = {f"{n:04d}": torch.from_numpy(judged.catalog.image(int(i))) for n, i in enumerate(ids)}
    save_file(images, path)
    return len(images)


def write_batch(judged: Judged, grouping: str, size: int, count: int, path: Path) -> None:
    """A batch of judged images as a file for ``steps.training_step``; repeats them if too few."""
    images = np.resize(judged.images["image_id"].to_numpy(np.int64), count)
    batch = make_batch(judged, grouping, size, images)
    save_file({name: values.contiguous() for name, values in batch.items()}, path)


def make_batch(judged: Judged, grouping: str, size: int, images: np.ndarray) -> dict[str, Tensor]:
    """A batch of these images, as ``Images`` gives it."""
    used = load_grouping(grouping)
    rows = judged.garments[judged.garments["image_id"].isin(images)]
    garments = TrainingGarments(
        image_id=rows["image_id"].to_numpy(np.int64),
        category_id=rows["category_id"].to_numpy(np.int64),
        boxes=np.stack(rows["box"].to_list()),
        landmarks=np.stack(
            [
                used.group(int(c), np.reshape(own, (-1, 3)))
                for c, own in zip(rows["category_id"], rows["landmarks"], strict=True)
            ]
        ),
        soft_labels=np.zeros((len(rows), 0), np.float32),
    )
    unique = np.unique(images)
    dataset = Images(unique, garments, judged.catalog.image, size)
    return dataset.__getitems__(np.searchsorted(unique, images).tolist())


def scratch() -> tempfile.TemporaryDirectory[str]:
    """A folder for the files that the measured processes read."""
    return tempfile.TemporaryDirectory(prefix="fashion-ops-")


def labels(backbones: Sequence[str], devices: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Row label of each backbone and device; the device is named where there are several."""
    return {
        backbone if len(devices) == 1 else f"{backbone}, {device}": (backbone, device)
        for device in devices
        for backbone in backbones
    }
