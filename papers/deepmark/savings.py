"""Time and memory that 62 groups save against 294 landmarks, for Figures 4 and 12.

Each case runs in processes of its own, the cases taking turns, on images of the catalog.
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
from papers.evaluation_set import EvaluationSet
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
    """Measure each case with 294 and with 62 channels; rows of 62 channels have the savings.

    Args:
        function: name of a function of ``workloads``.
        cases: its keyword arguments by row label, without the grouping; ``{grouping}`` in a value is
            replaced by the grouping's name.
        repeats: processes a row.

    Returns:
        ``COLUMNS``, a row for each case and number of channels.
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
    measured = measure(f"papers.deepmark.workloads:{function}", rows, repeats)
    numbers = {
        row: [n["ms"], n["MiB"], n["process MiB"], np.nan, np.nan] for row, n in measured.items()
    }
    for name in cases:
        all_landmarks, groups = measured[f"{name}, 294"], measured[f"{name}, 62"]
        numbers[f"{name}, 62"][3:] = [
            100 * (1 - groups[key] / all_landmarks[key]) for key in ("ms", "MiB")
        ]
    table = pd.DataFrame.from_dict(numbers, orient="index", columns=[c.name for c in COLUMNS])
    return table.rename_axis("network, channels")


def write_images(evaluated: EvaluationSet, count: int, path: Path) -> int:
    """Write the first evaluation images for ``workloads.inference``; returns their number."""
    ids = evaluated.images["image_id"].head(count)
    images = {f"{n:04d}": torch.from_numpy(evaluated.catalog.image(int(i))) for n, i in enumerate(ids)}
    save_file(images, path)
    return len(images)


def write_batch(evaluated: EvaluationSet, grouping: str, size: int, count: int, path: Path) -> None:
    """Write a batch for ``workloads.training_step``; repeats the evaluation images if too few."""
    images = np.resize(evaluated.images["image_id"].to_numpy(np.int64), count)
    batch = make_batch(evaluated, grouping, size, images)
    save_file({name: values.contiguous() for name, values in batch.items()}, path)


def make_batch(
    evaluated: EvaluationSet, grouping: str, size: int, images: np.ndarray
) -> dict[str, Tensor]:
    """A training batch of ``centernet.data.Images``.

    Args:
        evaluated: of the images.
        grouping: name of the landmark grouping.
        size: side of the network's input, pixels.
        images: image ids; may repeat.
    """
    landmark_grouping = load_grouping(grouping)
    rows = evaluated.garments[evaluated.garments["image_id"].isin(images)]
    garments = TrainingGarments(
        image_id=rows["image_id"].to_numpy(np.int64),
        category_id=rows["category_id"].to_numpy(np.int64),
        boxes=np.stack(rows["box"].to_list()),
        landmarks=np.stack(
            [
                landmark_grouping.group(int(c), np.reshape(landmarks, (-1, 3)))
                for c, landmarks in zip(rows["category_id"], rows["landmarks"], strict=True)
            ]
        ),
        soft_labels=np.zeros((len(rows), 0), np.float32),
    )
    unique = np.unique(images)
    dataset = Images(unique, garments, evaluated.catalog.image, size)
    return dataset.__getitems__(np.searchsorted(unique, images).tolist())


def scratch() -> tempfile.TemporaryDirectory[str]:
    """A temporary folder for the files that the measured processes read."""
    return tempfile.TemporaryDirectory(prefix="fashion-ops-")


def labels(backbones: Sequence[str], devices: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Backbone and device by row label, which names the device where there are several."""
    return {
        backbone if len(devices) == 1 else f"{backbone}, {device}": (backbone, device)
        for device in devices
        for backbone in backbones
    }
