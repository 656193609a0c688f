"""Model folders as values, on their way to a worker and back.

A worker shares no file system with the driver, so a folder is sent as ``{name: bytes}``.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from fashion_ops.catalog.training_data import TrainingGarments
from fashion_ops.workspace import publish

Files = dict[str, bytes]


@dataclass(frozen=True, kw_only=True)
class CategoryJob:
    """The input of one category's training, as values that pickle; a step's ``prepare`` makes it.

    Attributes:
        category: its name.
        seed: of everything random in the training.
        garments: training garments of the category.
        validation: the ``ValidationSet`` that AP is reported on after each epoch, or None.
        images: all images of ``garments`` and ``validation`` in chunks: tables of image_id and bytes.
        landmarker: files of the landmarker that the training starts from.
        threads: CPU threads of the process.
        devices: largest number of devices that may share the training.
        device: ``distributed.device``; the worker selects it, as the driver may have no GPU.
        loader_workers: processes that read and cut images, see ``TrainerOptions``.
        compile: whether ``torch.compile`` compiles the network.
        checkpoint_minutes: least time between two checkpoints; 0 makes one each epoch.
    """

    category: str
    seed: int
    garments: TrainingGarments
    validation: Any
    images: Iterable[pa.Table]
    landmarker: Files
    threads: int = 1
    devices: int = 1
    device: str = "auto"
    loader_workers: int = 0
    compile: bool = False
    checkpoint_minutes: float = 0.0


@dataclass(frozen=True)
class Result:
    """What the ``work`` of a step returns to the driver.

    ``files``: the finished model folder. ``metrics``: numbers by name, for the ledger and MLflow.
    """

    files: Files
    metrics: dict[str, float]


def pack_folder(folder: Path) -> Files:
    """Read all files of a folder and its sub-folders; returns their bytes by relative path, sorted.

    Raises:
        FileNotFoundError: there is no such folder.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder; run the step that makes it first")
    paths = sorted(p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in paths}


def as_arrays(files: Files) -> dict[str, np.ndarray]:
    """The same files as arrays of bytes, of which all processes of a node share one copy."""
    return {name: np.frombuffer(data, np.uint8) for name, data in files.items()}


def unpack_folder(files: Mapping[str, bytes | np.ndarray], folder: Path) -> None:
    """Write what ``pack_folder`` returned into ``folder``, which is made if it is missing.

    Raises:
        ValueError: a name leads out of the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files.items():
        target = folder / name
        if not target.resolve().is_relative_to(folder.resolve()):
            raise ValueError(f"{name!r}: leads out of {folder}")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data if isinstance(data, bytes) else data.data)


def publish_files(target: Path, files: Files) -> None:
    """Replace the content of the folder ``target`` by ``files``, as a whole or not at all."""
    with publish(target) as folder:
        unpack_folder(files, folder)


def count_devices(requested: int, batch_size: int, samples: int) -> int:
    """Number of devices that share a training run: the most that split a batch evenly, at least 1.

    Args:
        requested: upper limit. The number of GPUs that this process sees is another one; on a worker
            Ray names them in ``CUDA_VISIBLE_DEVICES``.
        batch_size: samples of a batch over all devices.
        samples: number of training samples; if they are fewer, they are the only batch.
    """
    import torch  # the driver, which only packs and unpacks folders, does not need it

    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        available = torch.cuda.device_count()
    else:
        available = len([device for device in visible.split(",") if device])
    batch = min(batch_size, samples)
    return max((n for n in range(1, min(requested, available) + 1) if batch % n == 0), default=1)
