"""The size chart of a style: for each label and size, what several photos of it say together.

The value is the median of the photos. Its interval is at least the median interval of one photo: a
model errs alike on photos of one garment, so more photos do not narrow it. Where the photos differ by
more than their intervals say, it is as wide as their spread demands.
"""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from fashion_ops.measurement.sizes import WITHIN_95, Size

_MEDIAN = float(np.sqrt(np.pi / 2))  # deviation of a median over that of a mean
COLUMNS = ("label", "category", "size", "term", "unit", "value", "low", "high", "photos", "left_out")


@dataclass(frozen=True)
class Row:
    """A size of a label: median, interval, number of photos it comes from and of those left out."""

    label: str
    category: str
    size: str
    term: str
    unit: str
    value: float
    low: float
    high: float
    photos: int
    left_out: int


def size_chart(measured: Iterable[tuple[str, str, Sequence[Size]]]) -> list[Row]:
    """Combine the sizes of garments of one style.

    Args:
        measured: label (such as S, M, L), category and sizes of the garment of each photo. Only shown
            sizes in centimetres count.

    Raises:
        ValueError: a label has garments of several categories.
    """
    groups: dict[str, dict[str, list[Size]]] = {}
    categories: dict[str, str] = {}
    for label, category, sizes in measured:
        if categories.setdefault(label, category) != category:
            raise ValueError(
                f"{label}: photos show a {categories[label]} and a {category}; a chart is of one style"
            )
        for size in sizes:
            groups.setdefault(label, {}).setdefault(size.name, []).append(size)
    rows = []
    for label, by_name in groups.items():
        for name, sizes in by_name.items():
            good = [size for size in sizes if size.shown and size.unit == "cm"]
            if good:
                value, low, high = _together(good)
                left_out = len(sizes) - len(good)
                row = Row(
                    *(label, categories[label], name, good[0].term, "cm", value, low, high),
                    *(len(good), left_out),
                )
                rows.append(row)
    return rows


def _together(sizes: list[Size]) -> tuple[float, float, float]:
    """Median and interval of several measurements of one size."""
    values = np.array([size.value for size in sizes])
    value, reach = float(np.median(values)), float(np.median([size.reach for size in sizes]))
    if len(values) > 1:
        spread = float(values.std(ddof=1)) / np.sqrt(len(values)) * (_MEDIAN if len(values) > 2 else 1)
        reach = max(reach, WITHIN_95 * spread)
    return value, max(value - reach, 0.0), value + reach


def as_csv(rows: Iterable[Row]) -> bytes:
    """The chart as CSV with a header, numbers in hundredths of a centimetre."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    for row in rows:
        numbers = (f"{row.value:.2f}", f"{row.low:.2f}", f"{row.high:.2f}")
        words = (row.label, row.category, row.size, row.term, row.unit)
        writer.writerow((*words, *numbers, row.photos, row.left_out))
    return file.getvalue().encode()
