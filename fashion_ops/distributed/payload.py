"""The input and the result of a training as values, on their way to a worker and back.

A worker shares no file system with the driver, so a folder is sent as ``{name: bytes}``.
"""

import hashlib
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from fashion_ops.catalog.training_data import TrainingGarments
from fashion_ops.params import Distributed, TrainingConfig
from fashion_ops.workspace import publish

if TYPE_CHECKING:  # they load torch, which the driver does not need
    from fashion_ops.methods.parts.trainer import Group, OnEpoch, TrainerOptions

Files = dict[str, bytes]


@dataclass(frozen=True, kw_only=True)
class TrainingJob:
    """The input of one training, as values that pickle; a step's ``prepare`` makes it.

    Attributes:
        config: the optimisation.
        seed: of everything random in the training.
        images: all images of the training in chunks, tables of image_id and bytes; or, on a worker that
            shares them with others of its node, the file that holds them. See ``open_images``.
        devices: largest number of devices that may share the training.
        device: ``distributed.device``; the worker selects it, as the driver may have no GPU.
        loader_workers: processes that read and cut images, see ``TrainerOptions``.
        compile: whether ``torch.compile`` compiles the network.
        checkpoint_minutes: least time between two checkpoints; 0 makes one each epoch.
    """

    config: TrainingConfig
    seed: int
    images: Iterable[pa.Table] | Path
    devices: int = 1
    device: str = "auto"
    loader_workers: int = 0
    compile: bool = False
    checkpoint_minutes: float = 0.0

    @staticmethod
    def settings(distributed: Distributed) -> dict[str, Any]:
        """The arguments of a job that the section ``distributed`` gives, but for ``devices``."""
        return {
            "device": distributed.device,
            "loader_workers": distributed.loader_workers,
            "compile": distributed.compile,
            "checkpoint_minutes": distributed.checkpoint_minutes,
        }

    @property
    def samples(self) -> int:
        """Number of training samples."""
        raise NotImplementedError

    @property
    def epochs(self) -> int | None:
        """Number of epochs; None if it is not known before the training."""
        return self.config.epochs

    @property
    def batch(self) -> int:
        """Samples of a batch over all devices; if the training has fewer, they are the only batch."""
        return min(self.config.batch_size, self.samples)

    def options(
        self, checkpoint: Path | None, on_epoch: "OnEpoch | None", group: "Group | None"
    ) -> "TrainerOptions":
        """How the training is carried out; the arguments are those of a step's ``work``.

        In the driver's own process every epoch leaves a checkpoint, because it need not travel.
        """
        from fashion_ops.methods.parts.trainer import TrainerOptions

        travels = on_epoch is not None or group is not None
        return TrainerOptions(
            checkpoint=checkpoint,
            checkpoint_minutes=self.checkpoint_minutes if travels else 0.0,
            on_epoch=on_epoch,
            device=self.device,
            loader_workers=self.loader_workers,
            compile=self.compile,
            devices=self.devices,
            group=group,
        )


@dataclass(frozen=True, kw_only=True)
class CategoryJob(TrainingJob):
    """The input of one category's training.

    Attributes:
        category: its name.
        garments: training garments of the category.
        validation: the ``ValidationSet`` that AP is reported on after each epoch, or None.
        landmarker: files of the landmarker that the training starts from.
        threads: CPU threads of the process.
    """

    category: str
    garments: TrainingGarments
    validation: Any
    landmarker: Files
    threads: int = 1

    @property
    def samples(self) -> int:
        """Number of training garments."""
        return len(self.garments)


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


def pack(source: Path) -> Files:
    """What a training starts from, a model folder or one file of weights, under its own name.

    Raises:
        FileNotFoundError: there is neither.
    """
    if source.is_file():
        return {source.name: source.read_bytes()}
    return {f"{source.name}/{name}": data for name, data in pack_folder(source).items()}


def unpack(files: Files | None, folder: Path) -> Path | None:
    """Write what ``pack`` returned into ``folder``; returns the model folder or file, None for None."""
    if files is None:
        return None
    unpack_folder(files, folder)
    return folder / next(iter(files)).partition("/")[0]


def pack_weights(pretrained: str | None, setting: str) -> Files | None:
    """The file of published weights that a parameter names, for workers without the driver's disk.

    Args:
        pretrained: path of the file, or the name of weights, which every worker loads itself.
        setting: name of the parameter.

    Returns:
        The bytes of the file by its name; None where ``pretrained`` is no path.

    Raises:
        FileNotFoundError: there is no such file.
    """
    from fashion_ops.methods.parts.published_weights import FILES  # loads torch

    if not pretrained or not pretrained.endswith(FILES):
        return None
    path = Path(pretrained)
    if not path.is_file():
        raise FileNotFoundError(f"{setting}: {path} is no file; copy the published weights there")
    return {path.name: path.read_bytes()}


def unpack_weights(files: Files | None, folder: Path) -> str | None:
    """Write what ``pack_weights`` returned into ``folder``; returns the path, None if it was None."""
    if files is None:
        return None
    unpack_folder(files, folder)
    return str(folder / next(iter(files)))


def publish_files(target: Path, files: Files) -> None:
    """Replace the content of the folder ``target`` by ``files``, as a whole or not at all."""
    with publish(target) as folder:
        unpack_folder(files, folder)


def count_devices(requested: int, batch_size: int, samples: int) -> int:
    """Number of devices of this machine that share a training run: the most that split a batch evenly.

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
    return even_share(min(requested, available), min(batch_size, samples))


def even_share(most: int, batch: int) -> int:
    """The largest number of devices, up to ``most``, that split a batch evenly; at least 1."""
    return max((n for n in range(1, most + 1) if batch % n == 0), default=1)


@cache
def code_digest() -> str:
    """sha256 of the code of this package: with other code a result may be another."""
    sha256 = hashlib.sha256()
    for path in sorted(Path(__file__).parent.parent.rglob("*.py")):
        data = path.read_bytes()
        sha256.update(f"{len(data)} ".encode() + data)
    return sha256.hexdigest()
