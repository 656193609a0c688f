"""Whether predictors load, and how long they take for a photo, as blocks for any process."""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass

from fashion_ops.inference.alignment_predictor import AnyPredictor
from fashion_ops.inference.predictor import Predictor, decode_photo
from fashion_ops.progress import track

_WARM_UP = 2  # photos before latency counts


@dataclass(frozen=True)
class TryBlock:
    """Loads a predictor and lets it predict a photo, if one is given.

    Attributes:
        index: of the predictor. An error of the first one, the challenger, is raised.
        photo: the encoded photo.
    """

    index: int
    photo: bytes | None = None

    def predict(self, models: Sequence[Predictor]) -> str:
        """Why the predictor can't be used; empty if it can."""
        try:
            predictor = models[self.index]
            if self.photo is not None:
                predictor.predict(decode_photo(self.photo, "photo"))
        except Exception as error:  # files of another version of the code can be wrong in any way
            if self.index == 0:
                raise
            return first_line(error)
        return ""


@dataclass(frozen=True)
class TimeBlock:
    """Photos to time several predictors with, in one process, so that they can be compared.

    Attributes:
        indices: of the predictors.
        photos: the encoded photos.
    """

    indices: tuple[int, ...]
    photos: tuple[bytes, ...]

    def predict(self, models: Sequence[Predictor]) -> list[list[float]]:
        """Time the predictors; returns what ``latencies`` does."""
        return latencies([models[index] for index in self.indices], self.photos)


def first_line(error: Exception) -> str:
    """Kind and first line of an error."""
    return f"{type(error).__name__}: {(str(error).splitlines() or [''])[0]}"


def latencies(predictors: Sequence[AnyPredictor], photos: Sequence[bytes]) -> list[list[float]]:
    """Time in milliseconds from each photo's encoded bytes to its garments.

    The predictors take turns on every photo, there and back (A B B A), so that other load of the
    machine affects all alike. The shorter of a predictor's two times counts: load only ever adds. A few
    photos are predicted before the measurement starts.

    Returns:
        A list per predictor with one number per photo; empty if there are no photos.
    """
    for data in photos[:_WARM_UP]:
        for predictor in predictors:
            _milliseconds(predictor, data)
    times: list[list[float]] = [[] for _ in predictors]
    for data in track(photos, "time photos"):
        there = [_milliseconds(predictor, data) for predictor in predictors]
        back = [_milliseconds(predictor, data) for predictor in reversed(predictors)]
        for milliseconds, first, second in zip(times, there, reversed(back), strict=True):
            milliseconds.append(min(first, second))
    return times if photos else []


def _milliseconds(predictor: AnyPredictor, data: bytes) -> float:
    """How long a predictor takes for one photo."""
    start = time.perf_counter()
    predictor.predict(decode_photo(data, "photo"))
    return 1000 * (time.perf_counter() - start)


def median_ratio(new: Sequence[float], old: Sequence[float]) -> float:
    """Median over the photos of the challenger's time over the champion's for the same photo."""
    return statistics.median(a / b for a, b in zip(new, old, strict=True))
