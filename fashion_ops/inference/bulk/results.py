"""The table of a bulk prediction: one row for each photo, in a part file for each block.

A part has the number of its block and appears whole or not at all, so the parts are the record of what
is done. ``read_parts`` reads them in order; pandas, DuckDB and others read the folder as one table.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from fashion_ops.errors.reading import read_arrow
from fashion_ops.files.publishing import temporary
from fashion_ops.taxonomy import NUM_LANDMARKS, category

if TYPE_CHECKING:
    from fashion_ops.inference.measuring import Measured
    from fashion_ops.inference.predictor import Garment

PART = "part-{:06d}.parquet"
_PART = re.compile(r"part-(\d{6,})\.parquet")
_COUNTS = b"fashion_ops.counts"  # in the metadata of a part: garments, photos by reason

GARMENT = pa.struct(
    {
        "category": pa.string(),  # name
        "category_id": pa.int8(),  # 1..13
        "score": pa.float32(),
        "box": pa.list_(pa.float32()),  # x1, y1, x2, y2
        "landmarks": pa.list_(pa.float32()),  # 3 * num_landmarks: x, y, score, in the category's order
        "deviations": pa.list_(pa.float32()),  # num_landmarks, pixels; empty without a shape prior
        "clothes_type": pa.string(),  # of an alignment model, whose landmarks it has; else null
        "visibility": pa.list_(pa.string()),  # of a model that predicts it: visible, occluded, cut off
    }
)
PHOTOS = pa.schema(
    {
        "image_id": pa.int64(),  # running, from 1, in the order of the listing
        "uri": pa.string(),  # absolute path or whole URI
        "reason": pa.string(),  # "" or what is wrong with the photo, one of a few texts
        "error": pa.string(),  # "" or the same in a line that says what to do
        "width": pa.int32(),  # of the upright photo, pixels; 0 if it was not decoded
        "height": pa.int32(),
        "garments": pa.list_(GARMENT),  # best first
    }
)
SIZE = pa.struct(
    {
        "garment": pa.int16(),  # its place in ``garments``, from 0
        "name": pa.string(),
        "unit": pa.string(),  # cm, or px without a reference
        "value": pa.float32(),
        "low": pa.float32(),  # of the 95 % interval
        "high": pa.float32(),
        "shown": pa.bool_(),  # whether it is exact enough
        "occluded": pa.list_(pa.string()),  # landmarks that are not to be relied on
    }
)
SIZES = (pa.field("reference", pa.string()), pa.field("sizes", pa.list_(SIZE)))  # extra columns


@dataclass(frozen=True)
class PhotoResult:
    """What came of one photo: its garments, or the reason why there are none.

    Attributes:
        garments: best first.
        size: width and height of the upright photo; zeros if it was not decoded.
        reason: "" or one of a few texts.
        error: "" or a line for the reader.
        measured: sizes of the garments; None where none were asked for, or the photo failed.
    """

    garments: "list[Garment]"
    size: tuple[int, int] = (0, 0)
    reason: str = ""
    error: str = ""
    measured: "Measured | None" = None


def part_bytes(
    first_id: int, uris: list[str], results: list[PhotoResult], *, sized: bool = False
) -> bytes:
    """Write a block's part file.

    Args:
        first_id: ``image_id`` of the first photo.
        uris: of the photos.
        results: of the photos.
        sized: whether the file has the columns ``SIZES``.

    Returns:
        The bytes of the file.
    """
    columns = {
        "image_id": list(range(first_id, first_id + len(uris))),
        "uri": uris,
        "reason": [r.reason for r in results],
        "error": [r.error for r in results],
        "width": [r.size[0] for r in results],
        "height": [r.size[1] for r in results],
        "garments": [[_garment(g) for g in r.garments] for r in results],
    }
    schema = PHOTOS
    if sized:
        schema = pa.schema([*PHOTOS, *SIZES])
        references = [r.measured.reference if r.measured else None for r in results]
        columns["reference"] = [reference.name if reference else "" for reference in references]
        columns["sizes"] = [_sizes(r.measured) if r.measured else [] for r in results]
    reasons = Counter(r.reason for r in results if r.reason)
    return _written(pa.table(columns, schema), sum(len(r.garments) for r in results), reasons)


def join_parts(parts: list[bytes]) -> bytes:
    """The part file of a block whose photos lie in several, in the order of their rows."""
    total = Summary()
    for number, part in enumerate(parts):
        total.add(number, pq.read_metadata(BytesIO(part)))
    rows = pa.concat_tables([pq.read_table(BytesIO(part)) for part in parts])
    return _written(rows, total.garments, total.reasons)


def _written(rows: pa.Table, garments: int, reasons: Counter[str]) -> bytes:
    """A part file of these rows with their counts."""
    counts = json.dumps({"garments": garments, "reasons": reasons})
    sink = pa.BufferOutputStream()
    pq.write_table(rows.replace_schema_metadata({_COUNTS: counts}), sink, compression="zstd")
    return sink.getvalue().to_pybytes()


def _garment(garment: "Garment") -> dict[str, Any]:
    """A garment as a value of ``GARMENT``."""
    return {
        "category": garment.category,
        "category_id": category(garment.category).id,
        "score": garment.score,
        "box": list(garment.box),
        "landmarks": [value for point in garment.landmarks.values() for value in point],
        "deviations": list(garment.deviations.values()),
        "clothes_type": garment.clothes_type,
        "visibility": None if garment.visibility is None else list(garment.visibility.values()),
    }


def _sizes(measured: "Measured") -> list[dict[str, Any]]:
    """The sizes of a photo as values of ``SIZE``."""
    return [
        {
            "garment": number,
            "name": size.name,
            "unit": size.unit,
            "value": size.value,
            "low": size.low,
            "high": size.high,
            "shown": size.shown,
            "occluded": list(size.occluded),
        }
        for number, sizes in enumerate(measured.sizes)
        for size in sizes
    ]


@dataclass
class Summary:
    """What a table holds.

    Attributes:
        blocks: numbers of the blocks whose part is there.
        photos: number of its rows.
        garments: number of garments in them.
        reasons: number of photos by what is wrong with them.
    """

    blocks: set[int] = field(default_factory=set)
    photos: int = 0
    garments: int = 0
    reasons: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, folder: Path) -> "Summary":
        """Count what the parts in ``folder`` hold, by their ends; a damaged part is deleted.

        Raises:
            OSError: a part cannot be read now; it stays.
        """
        summary = cls()
        for number, path in _parts(folder):
            try:
                summary.add(number, pq.read_metadata(path))
            except (OSError, pa.ArrowException) as error:
                if getattr(error, "errno", None):  # of the system, not of what was read
                    raise
                path.unlink()  # cut off when the machine lost its power
        return summary

    def add(self, number: int, part: pq.FileMetaData) -> None:
        """Count the part of block ``number``."""
        counts = json.loads(part.metadata[_COUNTS])
        self.blocks.add(number)
        self.photos += part.num_rows
        self.garments += counts["garments"]
        self.reasons.update(counts["reasons"])


def _parts(folder: Path) -> list[tuple[int, Path]]:
    """Number and file of each part, in order."""
    found = ((_PART.fullmatch(path.name), path) for path in folder.glob("part-*.parquet"))
    return sorted((int(match[1]), path) for match, path in found if match)


def read_parts(folder: Path) -> Iterator[pa.Table]:
    """Yield the parts of a table in order."""
    for _, path in _parts(folder):
        yield read_arrow(path)


def write_coco(folder: Path, target: Path) -> int:
    """Write the garments of all parts as COCO keypoint results, and return their number.

    ``image_id`` is that of the table; ``keypoints`` has the 294 landmarks of all categories, those of
    other categories are zeros; ``bbox`` is x, y, width, height.

    Args:
        folder: of the parts.
        target: the JSON file.
    """
    partial, count = temporary(target), 0
    try:
        with partial.open("w", encoding="ascii") as file:
            file.write("[")
            for part in read_parts(folder):
                for row in part.select(["image_id", "garments"]).to_pylist():
                    for garment in row["garments"]:
                        file.write(",\n" if count else "\n")
                        json.dump(_coco(row["image_id"], garment), file, separators=(",", ":"))
                        count += 1
            file.write("\n]\n")
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
    return count


def _coco(image_id: int, garment: dict[str, Any]) -> dict[str, Any]:
    """A garment of a part as one of COCO's results."""
    kind = category(garment["category_id"])
    keypoints = [0.0] * (3 * NUM_LANDMARKS)
    keypoints[3 * kind.slots.start : 3 * kind.slots.stop] = [round(v, 4) for v in garment["landmarks"]]
    x1, y1, x2, y2 = garment["box"]
    box = [round(v, 4) for v in (x1, y1, x2 - x1, y2 - y1)]
    score = round(garment["score"], 6)
    return {
        "image_id": image_id,
        "category_id": garment["category_id"],
        "score": score,
        "bbox": box,
        "keypoints": keypoints,
    }
