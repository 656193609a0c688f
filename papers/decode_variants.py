"""Several ways of decoding one network's maps, side by side: their predictions and their times.

For predictions the network runs once on each image (and once on its mirror image and on each scale
that a variant asks for), and its maps are dropped after each batch, so that a large data set fits in
memory. For times each variant does all of its work on the same images, in turns.
"""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np
import pandas as pd
from torch import Tensor

from fashion_ops.inference.predictions import detection_rows, predictions_table
from fashion_ops.methods.centernet.inference import BATCH, Detector, Network
from fashion_ops.methods.centernet.landmarks import Maps
from fashion_ops.params import PostProcess
from fashion_ops.progress import track
from papers.config import TableConfig
from papers.evaluation_set import EvaluationSet

T = TypeVar("T")


class CachedNetwork:
    """A network that keeps its output for each input until ``clear``. ``runs`` counts its calls."""

    def __init__(self, network: Network) -> None:
        self.network, self.runs = network, 0
        self._outputs: list[tuple[Tensor, Maps]] = []

    def __call__(self, images: Tensor) -> Maps:
        for known, maps in self._outputs:
            if known.shape == images.shape and known.equal(images):
                return maps
        self.runs += 1
        self._outputs.append((images, self.network(images)))
        return self._outputs[-1][1]

    def clear(self) -> None:
        """Drop all outputs."""
        self._outputs.clear()


def load_detector(config: TableConfig) -> Detector:
    """Load the workspace's detector.

    Raises:
        FileNotFoundError: the detector does not exist yet.
        ValueError: the folder holds a model of another method.
    """
    return Detector.load(config.ws.detector, config.device)


def detect_variants(
    detector: Detector,
    variants: Mapping[str, PostProcess],
    evaluated: EvaluationSet,
    max_detections: int,
) -> dict[str, pd.DataFrame]:
    """Detections of each variant on the evaluation images, as ``schemas.PREDICTIONS``."""
    network = CachedNetwork(detector.network)
    readers = {n: replace(detector, network=network, post=post) for n, post in variants.items()}
    rows: dict[str, list[tuple]] = {name: [] for name in variants}
    ids = [int(i) for i in evaluated.images["image_id"]]
    for start in track(range(0, len(ids), BATCH), "detect", -(-len(ids) // BATCH)):
        chunk = ids[start : start + BATCH]
        images = [evaluated.catalog.image(i) for i in chunk]
        for name, reader in readers.items():
            rows[name] += detection_rows(chunk, reader.detect(images), max_detections)
        network.clear()
    return {name: predictions_table(detections) for name, detections in rows.items()}


def milliseconds(
    actions: Mapping[str, Callable[[T], object]], items: Sequence[T], *, warm_up: int = 2
) -> dict[str, float]:
    """Median time of each action over the items. The actions take turns on every item.

    Args:
        actions: what to time; each must have finished its work when it returns.
        items: what to call the actions with.
        warm_up: number of items to go through first without timing.
    """
    times: dict[str, list[float]] = {name: [] for name in actions}
    names = list(actions)
    for number, item in enumerate([*items[:warm_up], *items]):
        first = number % len(names)
        for name in names[first:] + names[:first]:
            start = time.perf_counter()
            actions[name](item)
            if number >= warm_up:
                times[name].append(1000 * (time.perf_counter() - start))
    return {name: statistics.median(values) for name, values in times.items()}


def first_images(evaluated: EvaluationSet, count: int) -> list[np.ndarray]:
    """The first ``count`` evaluation images, RGB uint8."""
    return [evaluated.catalog.image(int(i)) for i in evaluated.images["image_id"][:count]]


def describe(detector: Detector, evaluated: EvaluationSet) -> str:
    """The evaluation set and the network, in words."""
    spec = detector.spec
    return f"{evaluated.name}; {spec['backbone']} {spec['input_size']}x{spec['input_size']}"
