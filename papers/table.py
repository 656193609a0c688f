"""A table of ours beside the paper's: numbers, where they come from, and what may be compared.

``write`` turns a ``Table`` into files; the modules of the papers compute the numbers.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import pandas as pd

from fashion_ops.taxonomy import CATEGORIES

PAPER_DATA = "DeepFashion2"
MEAN = "mean"  # label of the row with the mean over categories


@dataclass(frozen=True)
class Column:
    """A column of our numbers.

    Attributes:
        name: header.
        digits: after the decimal point.
        paper: what a paper's number depends on: ``data`` (evaluated on images), ``machine`` (measured
            on a device) or ``nothing`` (counted, the same everywhere).
        zero: the image draws bars from zero (times, sizes) instead of dots.
        drawn: the image has a panel for this column.
        gain: the image draws the change from the first row, which can be compared over data sets.
    """

    name: str
    digits: int = 3
    paper: Literal["data", "machine", "nothing"] = "data"
    zero: bool = False
    drawn: bool = True
    gain: bool = False


@dataclass(frozen=True)
class PaperColumn:
    """The paper's numbers for one of our columns.

    Attributes:
        column: name of our column.
        values: number by row label.
        setting: tells several columns of the paper for one of ours apart.
    """

    column: str
    values: dict[str, float]
    setting: str = ""


@dataclass(frozen=True)
class Table:
    """A reproduced table of a paper.

    Attributes:
        name: stem of the file names.
        title: heading.
        columns: ours, in order.
        rows: our numbers and texts. The index holds the row labels, its name is their header; NaN is
            an empty cell.
        ours: what our numbers were evaluated or measured on.
        theirs: what the paper's numbers were evaluated or measured on.
        same_data: whether both are the same images.
        paper: the paper's numbers.
        notes: sentences below the table.
        paper_data: data set of the paper's numbers.
        picture: writes the image as PNG; None leaves it to ``write``.

    Raises:
        ValueError: a column has no numbers, a row of the paper is not ours, or row labels repeat.
    """

    name: str
    title: str
    columns: tuple[Column, ...]
    rows: pd.DataFrame
    ours: str
    theirs: str
    same_data: bool
    paper: tuple[PaperColumn, ...] = ()
    notes: tuple[str, ...] = field(default=())
    paper_data: str = PAPER_DATA
    picture: Callable[[Path], None] | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        missing = [c.name for c in self.columns if c.name not in self.rows]
        unknown = [
            f"{p.column}: {row}" for p in self.paper for row in p.values if row not in self.rows.index
        ]
        if missing or unknown or not self.rows.index.is_unique:
            raise ValueError(
                f"{self.name}: columns without numbers {missing}, rows of the paper that are not ours "
                f"{unknown}; row labels must be unique, got {list(self.rows.index)}"
            )

    def column(self, name: str) -> Column:
        """The column of this name."""
        return next(c for c in self.columns if c.name == name)

    def mark(self, column: Column) -> str:
        """Why the paper's numbers of this column can't be compared with ours; empty if they can."""
        if column.paper == "machine":
            return "another machine"
        return "another data set" if column.paper == "data" and not self.same_data else ""

    def beside(self, column: Column) -> list[tuple[str, PaperColumn]]:
        """The paper's columns for one of ours, each with its header."""
        columns = []
        for theirs in self.paper:
            if theirs.column == column.name:
                remarks = ", ".join(filter(None, (theirs.setting, self.mark(column))))
                columns.append((f"paper ({remarks})" if remarks else "paper", theirs))
        return columns


def garment_counts(garments: pd.DataFrame) -> list[int]:
    """Number of garments of each category, in the order of ``CATEGORIES``."""
    ids = garments["category_id"].to_numpy(np.int64)
    return np.bincount(ids, minlength=len(CATEGORIES) + 1)[1:].tolist()


def missing_garments(train: int, validation: int) -> str:
    """A category's remark: which of its splits is empty; "" if none is."""
    missing = [n for n, count in (("training", train), ("validation", validation)) if not count]
    return f"no {' or '.join(missing)} garments" if missing else ""
