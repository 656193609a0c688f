"""Several ways of reading one network's maps, side by side: their predictions, and their times.

The network runs once an image (and once for its mirror image and each scale that any way asks for);
its maps are forgotten after each batch, so that a large data set fits. Times are another matter: there
every way does all of its own work, on the same images, in turns.
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
from papers.config import Request
from papers.evaluation_set import Judged

T = TypeVar("T")


class Remembered:
    """A network that runs once on each input of a batch."""

    def __init__(self, network: Network) -> None:
        self.network, self.runs = network, 0
        self._known: list[tuple[Tensor, Maps]] = []

    def __call__(self, images: Tensor) -> Maps:
        for known, maps in self._known:
            if known.shape == images.shape and known.equal(images):
                return maps
        self.runs += 1
        self._known.append((images, self.network(images)))
        return self._known[-1][1]

    def forget(self) -> None:
        """Start a new batch."""
        self._known.clear()


def load_detector(request: Request) -> Detector:
    """The workspace's detector.

    Raises:
        FileNotFoundError: there is none yet.
        ValueError: a model of another method.
    """
    try:
        return Detector.load(request.ws.detector)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"{error}; `fashion-ops train_detector` makes one") from error


def detect_ways(
    detector: Detector, ways: Mapping[str, PostProcess], judged: Judged, max_detections: int
) -> dict[str, pd.DataFrame]:
    """What each way finds on the judged images, as ``schemas.PREDICTIONS``."""
    network = Remembered(detector.network)
    readers = {n: replace(detector, network=network, post=post) for n, post in ways.items()}
    rows: dict[str, list[tuple]] = {name: [] for name in ways}
    ids = [int(i) for i in judged.images["image_id"]]
    for start in track(range(0, len(ids), BATCH), "detect", -(-len(ids) // BATCH)):
        chunk = ids[start : start + BATCH]
        images = [judged.catalog.image(i) for i in chunk]
        for name, reader in readers.items():
            rows[name] += detection_rows(chunk, reader.detect(images), max_detections)
        network.forget()
    return {name: predictions_table(own) for name, own in rows.items()}


def milliseconds(
    actions: Mapping[str, Callable[[T], object]], items: Sequence[T], *, warm_up: int = 2
) -> dict[str, float]:
    """Median time of each action over the items, the actions taking turns on every item.

    Args:
        actions: what to time; each must be done when it returns.
        items: what to do it on.
        warm_up: items that are gone through first and not timed.
    """
    times: dict[str, list[float]] = {name: [] for name in actions}
    names = list(actions)
    for number, item in enumerate([*items[:warm_up], *items]):
        turn = number % len(names)
        for name in names[turn:] + names[:turn]:
            start = time.perf_counter()
            actions[name](item)
            if number >= warm_up:
                times[name].append(1000 * (time.perf_counter() - start))
    return {name: statistics.median(values) for name, values in times.items()}


def some_images(judged: Judged, count: int) -> list[np.ndarray]:
    """The first judged images, RGB uint8."""
    return [judged.catalog.image(int(i)) for i in judged.images["image_id"][:count]]


def described(detector: Detector, judged: Judged) -> str:
    """What was judged, with which network."""
    spec = detector.spec
    return f"{judged.name}; {spec['backbone']} {spec['input_size']}x{spec['input_size']}"
