"""Blocks of prediction: parts of a split that any process which has the models predicts alone.

A block is a value: it holds its images as they are encoded, so that no process needs the disk of
another one. Networks give the same bits only for the same batches, so a block is a whole number of
batches, and its result is the same wherever it is predicted, alone or among others.

A ``BlockRunner`` loads models and predicts blocks; ``LocalRunner`` does so in this process, and
``fashion_ops/distributed`` on a Ray cluster.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
import torch

from fashion_ops.catalog.reader import Catalog, decode_rgb
from fashion_ops.methods.parts.device import select_device
from fashion_ops.methods.parts.hardware import Hardware
from fashion_ops.progress import track

Load = Callable[[Sequence[Path], torch.device], Any]  # folders of models, device -> loaded models


@dataclass(frozen=True)
class Bundle:
    """A folder of models.

    Attributes:
        folder: its path.
        parts: names of the sub-folders that are loaded, no others travel to a worker; none for all.
    """

    folder: Path
    parts: tuple[str, ...] = ()


class Block(Protocol):
    """A part of a prediction. It pickles, and so does its result."""

    def predict(self, models: Any) -> Any:
        """Predict the block with the models that a ``Load`` returned."""
        ...


Blocks = Iterable[tuple[str, Block]]  # with a name each, unique


class BlockRunner(Protocol):
    """Predicts blocks with the models of some bundles.

    ``hardware`` is that of all processes which have predicted a block so far.
    """

    @property
    def hardware(self) -> set[Hardware]: ...

    def run(self, blocks: Blocks, label: str, total: int) -> dict[str, Any]:
        """Predict blocks, in any order.

        Args:
            blocks: read one after the other, so that they need not be in memory together.
            label: the work in a few words, for the progress.
            total: number of blocks.

        Returns:
            The result of each block by its name.
        """
        ...


OpenRunner = Callable[[Load, Sequence[Bundle]], BlockRunner]


class LocalRunner:
    """Predicts blocks in this process; the models are loaded with the first block."""

    def __init__(self, load: Load, bundles: Sequence[Bundle], device: str) -> None:
        self.hardware: set[Hardware] = set()
        self._load, self._bundles, self._device = load, bundles, device

    @cached_property
    def _models(self) -> Any:
        device = select_device(self._device)
        models = self._load([bundle.folder for bundle in self._bundles], device)
        self.hardware.add(Hardware.of(device))
        return models

    def run(self, blocks: Blocks, label: str, total: int) -> dict[str, Any]:
        """See ``BlockRunner``."""
        results = {}
        for name, block in track(blocks, label, total):
            results[name] = block.predict(self._models)
        return results


def loaded(models: Any) -> LocalRunner:
    """A runner in this process with models that are loaded already."""
    return LocalRunner(lambda *_: models, (), "cpu")


@dataclass(frozen=True)
class EncodedImages:
    """Some images of a catalog as they are encoded, by id; called with an id, it decodes one."""

    data: dict[int, bytes]

    @classmethod
    def of(cls, catalog: Catalog, image_ids: Iterable[int]) -> "EncodedImages":
        """Read images of a catalog, each once."""
        return cls({int(i): catalog.image_bytes(int(i)) for i in dict.fromkeys(image_ids)})

    def __call__(self, image_id: int) -> np.ndarray:
        """An image as RGB uint8 (H, W, 3), as ``Catalog.image`` returns it."""
        return decode_rgb(self.data[image_id], f"image {image_id}")


def chunks(table: pd.DataFrame, size: int) -> Iterator[pd.DataFrame]:
    """Divide a table into parts of ``size`` rows; the last one may be shorter."""
    for start in range(0, len(table), size):
        yield table.iloc[start : start + size]
