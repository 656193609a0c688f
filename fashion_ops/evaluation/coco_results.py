"""Read a COCO result file of any size: 882 numbers a result come in, the few that are compared stay.

``kept_points`` says which points are compared. The area of a result needs all of them, but only once.
So a few hundred results are in memory at a time (``json_stream``), and about fifty numbers of each
other one. A large file is cut into spans, which several processes read.
"""

import os
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from fashion_ops.catalog.sources.base import parse_json
from fashion_ops.evaluation.coco_records import (
    MAX_NUMBER,
    OURS,
    WIDTH,
    load_unstreamed,
    pack_keypoints,
    records,
)
from fashion_ops.evaluation.instances import Detections, GroundTruth
from fashion_ops.evaluation.json_reader import Batch, NotStreamed
from fashion_ops.evaluation.json_spans import Span, list_spans
from fashion_ops.evaluation.json_stream import stream_list, stream_span
from fashion_ops.evaluation.kept_points import KeptPoints, Needed
from fashion_ops.evaluation.quick_records import exact_record, quick_records
from fashion_ops.taxonomy import NUM_LANDMARKS

_ROWS = 256  # results whose 882 numbers are in memory at once
_SPAN = 16 << 20  # bytes that a process reads at a time
_POOL_FROM = 6  # spans; a process starts in the time of three
_LOOK = 0.05  # seconds
_MAX_PROCESSES = 4  # each needs 90 MB


def read_results(path: Path, truth: GroundTruth, processes: int = 1) -> Detections:
    """Read predictions from a COCO result file: image_id, category_id, 882 keypoints, score.

    As in pycocotools, the area of a result is that of its ``bbox`` when the first record has one,
    otherwise that of the rectangle around its keypoints. The points can be compared with the
    garments of ``truth`` only.

    Args:
        path: the file.
        truth: what its results are compared with.
        processes: at most so many read a large file; the results are the same for any number.

    Raises:
        ValueError: the file can't be read or is no such file, or a record in it is wrong.
    """
    known = Known.of(truth)
    parts = _read_spans(path, known, min(processes, _MAX_PROCESSES))
    return _joined(known, parts or _read_all(path, known))


def idle_processors() -> int:
    """The processors that have nothing to do now and may be used, at least 1; looks for 50 ms.

    Processes that share a processor take longer than one alone.
    """
    idle = psutil.cpu_times_percent(_LOOK).idle / 100 * (psutil.cpu_count() or 1)
    with suppress(AttributeError):  # not on every system
        idle = min(idle, len(os.sched_getaffinity(0)))
    return max(1, round(idle))


@dataclass(frozen=True)
class Known:
    """The ids that results may have, and the points of them that are needed."""

    images: frozenset[int]
    categories: frozenset[int]
    needed: Needed

    @classmethod
    def of(cls, truth: GroundTruth) -> "Known":
        images = frozenset(truth.image_ids.tolist())
        return cls(images, frozenset((*truth.category_ids.tolist(), *OURS)), Needed.of(truth))


@dataclass(frozen=True)
class Part:
    """Consecutive results (n): ids, scores, areas, and of their points what ``Needed`` says."""

    image: np.ndarray
    category: np.ndarray
    score: np.ndarray
    area: np.ndarray
    points: dict[int, np.ndarray]
    whole: np.ndarray


def read_span(path: Path, span: Span, known: Known, with_boxes: bool) -> list[Part]:
    """Read the results of a part of a file; runs in another process.

    Raises:
        NotStreamed, ValueError: something is wrong; the message counts records from the span's first.
    """
    return list(
        _Results(path, known, with_boxes).parts(stream_span(path, span, parse_json, quick_records))
    )


def _read_spans(path: Path, known: Known, processes: int) -> list[Part]:
    """Read a large file in several processes; [] if it is small, or must be read in order.

    Only reading it in order names the faulty record by its number.
    """
    spans = list_spans(path, _SPAN) if processes > 1 else []
    if len(spans) < _POOL_FROM:
        return []
    with suppress(NotStreamed, ValueError, OSError, BrokenProcessPool):
        first = next(stream_list(path, parse_json)).values[0]
        with_boxes = _has_boxes(path, first)
        # spawn, not fork: the caller may hold threads that a fork would freeze.
        with ProcessPoolExecutor(processes - 1, mp_context=get_context("spawn")) as pool:
            futures = [pool.submit(read_span, path, span, known, with_boxes) for span in spans]
            here = {}
            try:
                for n in reversed(range(len(spans))):  # the last first; others begin in front
                    if futures[n].cancel():
                        here[n] = read_span(path, spans[n], known, with_boxes)
                read = [here[n] if n in here else futures[n].result() for n in range(len(spans))]
            finally:
                pool.shutdown(cancel_futures=True)
        return [part for parts in read for part in parts]
    return []


def _read_all(path: Path, known: Known) -> list[Part]:
    batches = stream_list(path, parse_json, quick_records)
    try:
        try:
            return list(_Results(path, known).parts(batches))
        except ValueError:
            deque(batches, 0)  # a file that breaks off behind the record is refused as a whole
            raise
    except NotStreamed as cause:
        data = load_unstreamed(path, cause)
    if not isinstance(data, list):
        raise ValueError(f"{path}: not a COCO result file (a list of results)")
    pieces = (data[i : i + _ROWS] for i in range(0, len(data), _ROWS))
    return list(_Results(path, known).parts(Batch(piece, None) for piece in pieces))


def _has_boxes(path: Path, first: Any) -> bool:
    """Whether areas are those of boxes, which the first record decides."""
    record = next(records(path, "result", [first]))
    with_boxes = record.values.get("bbox", []) != []
    if "caption" in record.values or ("segmentation" in record.values and not with_boxes):
        raise record.error("has a caption, or a segmentation but no bbox; expected neither")
    return with_boxes


class _Results:
    """Reads and checks results; ``with_boxes`` None stands for what the first of them says."""

    def __init__(self, path: Path, known: Known, with_boxes: bool | None = None) -> None:
        self._path, self._known, self._with_boxes = path, known, with_boxes
        self._listed = sorted(known.categories)
        self._count = 0  # results read
        self._rows = np.empty((_ROWS, WIDTH))

    def parts(self, batches: Iterable[Batch]) -> Iterator[Part]:
        """Yield the results of all batches.

        Raises:
            ValueError: a record is wrong.
        """
        waiting: list[tuple[np.ndarray, ...]] = []
        filled = 0
        for batch in batches:
            count = len(batch.values)
            if filled and filled + count > len(self._rows):
                yield self._part(waiting, filled)
                waiting, filled = [], 0
            if count > len(self._rows):
                self._rows = np.empty((count, WIDTH))
            waiting.append(self._read(batch, self._rows[filled : filled + count]))
            filled += count
        if filled:
            yield self._part(waiting, filled)

    def _part(self, waiting: list[tuple[np.ndarray, ...]], filled: int) -> Part:
        image, category, score, area = map(np.concatenate, zip(*waiting, strict=True))
        keypoints = self._rows[:filled].reshape(-1, NUM_LANDMARKS, 3)
        if not self._with_boxes:
            x, y = keypoints[..., 0], keypoints[..., 1]
            area = (x.max(1) - x.min(1)) * (y.max(1) - y.min(1))
        points, whole = self._known.needed.of_results(image, category, keypoints)
        return Part(image, category, score, area, points, whole)

    def _read(self, batch: Batch, keypoints: np.ndarray) -> tuple[np.ndarray, ...]:
        """Image ids, category ids, scores, areas of boxes (n,); keypoints go to an array (n, 882)."""
        count = len(batch.values)
        packed = pack_keypoints(batch.values, batch.text, keypoints)
        image, category = np.zeros(count, np.int64), np.zeros(count, np.int64)
        score, area = np.zeros(count), np.zeros(count)
        if self._with_boxes is None and count:
            self._with_boxes = _has_boxes(self._path, batch.values[0])
        for n, value in enumerate(batch.values):
            if packed[n] and not self._with_boxes and self._is_plain(value):
                image[n], category[n], score[n] = (
                    value["image_id"],
                    value["category_id"],
                    value["score"],
                )
                continue
            whole = value if packed[n] else exact_record(batch, n)
            record = next(records(self._path, "result", [whole], self._count + n))
            image[n] = identity = record.integer("image_id")
            if identity not in self._known.images:
                raise record.error(f"image_id {identity} is unknown to the annotations")
            category[n] = record.category("category_id", self._listed)
            score[n] = record.number("score")
            if not packed[n]:
                keypoints[n] = record.numbers("keypoints", WIDTH)
            if self._with_boxes:
                area[n] = np.prod(record.numbers("bbox", 4)[2:])
        self._count += count
        return image, category, score, area

    def _is_plain(self, value: dict[str, Any]) -> bool:
        """Whether ids and score are valid and of the usual types, so that ``Record`` need not look."""
        image, category, score = value.get("image_id"), value.get("category_id"), value.get("score")
        return (
            type(image) is int
            and image in self._known.images
            and type(category) is int
            and category in self._known.categories
            and type(score) is float
            and abs(score) <= MAX_NUMBER
        )


def _joined(known: Known, parts: list[Part]) -> Detections:
    image, category, score, area = (
        np.concatenate([none, *(getattr(part, name) for part in parts)])
        for name, none in zip(
            ("image", "category", "score", "area"),
            (np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0), np.zeros(0)),
            strict=True,
        )
    )
    kept = KeptPoints.joined(known.needed, image, category, [(p.points, p.whole) for p in parts])
    return Detections(image, category, score, area, kept)
