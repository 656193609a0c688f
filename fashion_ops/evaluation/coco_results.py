"""Read a COCO result file of any size: 882 numbers a result come in, the few that are compared stay.

OKS reads the labelled slots of a result's category, and all slots where a garment of the category has no
label in the same image (``oks``). The area of a result needs all slots, but only once. So one batch of
the file is in memory at a time (``json_stream``), and about fifty numbers of each result.
"""

from collections import defaultdict, deque
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fashion_ops.catalog.sources.base import parse_json
from fashion_ops.evaluation.coco_records import (
    MAX_NUMBER,
    OURS,
    WIDTH,
    load_json,
    pack_keypoints,
    records,
)
from fashion_ops.evaluation.instances import Detections, GroundTruth, SubmittedPoints
from fashion_ops.evaluation.json_stream import Batch, NotStreamed, stream_list
from fashion_ops.taxonomy import NUM_LANDMARKS

_PLAIN = ("image_id", "category_id", "score")
_PART = 256  # records handled at once of a file that is parsed as a whole


def read_results(path: Path, truth: GroundTruth) -> Detections:
    """Read predictions from a COCO result file: image_id, category_id, 882 keypoints, score.

    As in pycocotools, the area of a result is that of its ``bbox`` when the first record has one,
    otherwise that of the rectangle around its keypoints. The points can be compared with the
    garments of ``truth`` only.

    Raises:
        ValueError: the file can't be read or is no such file, or a record in it is wrong.
    """
    batches = stream_list(path, parse_json)
    with suppress(NotStreamed):
        try:
            return _read(path, truth, batches)
        except ValueError:
            deque(batches, 0)  # a file that breaks off behind the record is refused as a whole
            raise
    data = load_json(path)
    if not isinstance(data, list):
        raise ValueError(f"{path}: not a COCO result file (a list of results)")
    parts = (data[i : i + _PART] for i in range(0, len(data), _PART))
    return _read(path, truth, (Batch(part, None) for part in parts))


@dataclass(frozen=True)
class KeptPoints:
    """The slots of N results that are compared with garments, as ``PredictedPoints``.

    Attributes:
        category: (N,) category id of each result.
        row: (N,) its row in the points of its category.
        points: category id -> (n, slots, 2) x, y of its results.
        first: category id -> first slot of these.
        whole_row: (N,) its row in ``whole``; that of another result where not all slots are kept.
        whole: (m, 294, 2) x, y of all slots.
    """

    category: np.ndarray
    row: np.ndarray
    points: dict[int, np.ndarray]
    first: dict[int, int]
    whole_row: np.ndarray
    whole: np.ndarray

    def take(self, rows: np.ndarray, slots: slice) -> np.ndarray:
        """x, y of some slots of some results of one category, float64 (n, slots, 2)."""
        if not len(rows):
            return np.zeros((0, slots.stop - slots.start, 2))
        category = int(self.category[rows[0]])
        kept, first = self.points[category], self.first[category]
        if first <= slots.start and slots.stop <= first + kept.shape[1]:
            return kept[self.row[rows], slots.start - first : slots.stop - first]
        return self.whole[self.whole_row[rows], slots]


class _Keeper:
    """Collects the points that stay, batch by batch."""

    def __init__(self, truth: GroundTruth) -> None:
        labelled = truth.keypoints[..., 2] > 0
        self._slots: dict[int, slice] = {}
        for category in np.unique(truth.category).tolist():
            used = np.flatnonzero(labelled[truth.category == category].any(0))
            self._slots[category] = slice(int(used[0]), int(used[-1]) + 1) if len(used) else slice(0, 0)
        without = ~labelled.any(1)
        self._without = set(
            zip(truth.image[without].tolist(), truth.category[without].tolist(), strict=True)
        )
        self._points: dict[int, list[np.ndarray]] = defaultdict(list)
        self._rows: list[np.ndarray] = []
        self._counts: dict[int, int] = defaultdict(int)
        self._whole: list[np.ndarray] = []
        self._whole_rows: list[np.ndarray] = []
        self._num_whole = 0

    def add(self, image: np.ndarray, category: np.ndarray, points: np.ndarray) -> None:
        """Keep what is needed of n results: image (n,), category (n,), points (n, 294, 3)."""
        row = np.zeros(len(category), np.int64)
        for c in np.unique(category).tolist():
            at = np.flatnonzero(category == c)
            self._points[c].append(points[at, self._slots.get(c, slice(0, 0)), :2])
            row[at] = self._counts[c] + np.arange(len(at))
            self._counts[c] += len(at)
        self._rows.append(row)
        whole_row = np.zeros(len(category), np.int64)
        if self._without:
            pairs = zip(image.tolist(), category.tolist(), strict=True)
            at = np.flatnonzero([pair in self._without for pair in pairs])
            whole_row[at] = self._num_whole + np.arange(len(at))
            self._num_whole += len(at)
            self._whole.append(points[at, :, :2])
        self._whole_rows.append(whole_row)

    def points(self, category: np.ndarray) -> KeptPoints:
        """All that was kept, of results of these categories (N,)."""
        kept = {}
        for c in list(self._points):  # each freed as soon as it is joined
            kept[c] = np.concatenate(self._points.pop(c))
        return KeptPoints(
            category=category,
            row=_joined(self._rows, np.zeros(0, np.int64)),
            points=kept,
            first={c: self._slots.get(c, slice(0, 0)).start for c in kept},
            whole_row=_joined(self._whole_rows, np.zeros(0, np.int64)),
            whole=_joined(self._whole, np.zeros((0, NUM_LANDMARKS, 2))),
        )


def _joined(parts: list[np.ndarray], none: np.ndarray) -> np.ndarray:
    return np.concatenate(parts) if parts else none


class _Columns:
    """Reads image, category, score and area of each result, and checks all that a result holds."""

    def __init__(self, path: Path, truth: GroundTruth) -> None:
        self._path = path
        self._images = frozenset(truth.image_ids.tolist())
        self._known = sorted({*truth.category_ids.tolist(), *OURS})
        self._categories = frozenset(self._known)
        self._count = 0
        self._with_boxes = False

    def read(self, batch: Batch, keypoints: np.ndarray) -> tuple[np.ndarray, ...]:
        """Read n results that follow those read before; their keypoints go to an array (n, 882).

        Returns:
            Image ids, category ids, scores and areas, (n,) each.

        Raises:
            ValueError: a record is wrong.
        """
        count = len(batch.values)
        packed = pack_keypoints(batch.values, batch.text, keypoints).tolist()
        image, category = np.zeros(count, np.int64), np.zeros(count, np.int64)
        score, area = np.zeros(count), np.zeros(count)
        if self._count == 0 and count:
            self._with_boxes = self._has_boxes(batch.values[0])
        for n, value in enumerate(batch.values):
            if packed[n] and not self._with_boxes and self._is_plain(value):
                image[n], category[n], score[n] = value["image_id"], value["category_id"], value["score"]
                continue
            record = next(records(self._path, "result", [value], self._count + n))
            image[n] = identity = record.integer("image_id")
            if identity not in self._images:
                raise record.error(f"image_id {identity} is unknown to the annotations")
            category[n] = record.category("category_id", self._known)
            score[n] = record.number("score")
            if not packed[n]:
                keypoints[n] = record.numbers("keypoints", WIDTH)
            if self._with_boxes:
                area[n] = np.prod(record.numbers("bbox", 4)[2:])
        self._count += count
        if not self._with_boxes:
            area = SubmittedPoints(keypoints.reshape(count, NUM_LANDMARKS, 3)).area()
        return image, category, score, area

    def _has_boxes(self, value: Any) -> bool:
        record = next(records(self._path, "result", [value]))
        with_boxes = record.values.get("bbox", []) != []
        if "caption" in record.values or ("segmentation" in record.values and not with_boxes):
            raise record.error("has a caption, or a segmentation but no bbox; expected neither")
        return with_boxes

    def _is_plain(self, value: dict[str, Any]) -> bool:
        """Whether ids and score are valid and of the usual types, so that ``Record`` need not look."""
        image, category, score = (value.get(key) for key in _PLAIN)
        return (
            type(image) is int
            and image in self._images
            and type(category) is int
            and category in self._categories
            and type(score) is float
            and abs(score) <= MAX_NUMBER
        )


def _read(path: Path, truth: GroundTruth, batches: Iterable[Batch]) -> Detections:
    columns, keeper = _Columns(path, truth), _Keeper(truth)
    ids, none = np.zeros(0, np.int64), np.zeros(0)
    parts = [(ids, ids, none, none)]
    keypoints = np.zeros((0, WIDTH))
    for batch in batches:
        count = len(batch.values)
        if len(keypoints) < count:
            keypoints = np.empty((count, WIDTH))
        parts.append(columns.read(batch, keypoints[:count]))
        image, category, _, _ = parts[-1]
        keeper.add(image, category, keypoints[:count].reshape(count, NUM_LANDMARKS, 3))
    image, category, score, area = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Detections(image, category, score, area, keeper.points(category))
