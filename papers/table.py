"""A table of ours beside the paper's: numbers, where they come from, and what may be compared.

Nothing here knows of files (``write``) or of how a number came about (the tables themselves).
"""

from dataclasses import dataclass, field
from typing import Literal

import pandas as pd

PAPER_DATA = "DeepFashion2"


@dataclass(frozen=True)
class Column:
    """A column of our numbers.

    ``paper``: what a paper's number differs by: ``data`` (judged on images), ``machine`` (measured
    on a device), ``nothing`` (counted; holds everywhere). ``zero``: drawn as bars from zero (times,
    sizes) and not as dots. ``drawn``: has a panel in the image. ``gain``: drawn as the change from
    the first row, which can be compared over data sets.
    """

    name: str
    digits: int = 3
    paper: Literal["data", "machine", "nothing"] = "data"
    zero: bool = False
    drawn: bool = True
    gain: bool = False


@dataclass(frozen=True)
class PaperColumn:
    """The paper's numbers for one of our columns, by row label; ``setting`` where it has several."""

    column: str
    values: dict[str, float]
    setting: str = ""


@dataclass(frozen=True)
class Table:
    """One table of a paper, made again.

    ``rows``: our numbers and texts (index: row labels, its name is their header); NaN is nothing to
    say. ``ours``, ``theirs``: what was judged or measured. ``same_data``: both are the same images.
    ``paper_data``: the data set of the paper's numbers.
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

    def __post_init__(self) -> None:
        missing = [c.name for c in self.columns if c.name not in self.rows]
        strangers = [
            f"{p.column}: {row}" for p in self.paper for row in p.values if row not in self.rows.index
        ]
        if missing or strangers or not self.rows.index.is_unique:
            raise ValueError(
                f"{self.name}: columns without numbers {missing}, paper's rows that are not ours "
                f"{strangers}, row labels {list(self.rows.index)} must be unique"
            )

    def column(self, name: str) -> Column:
        """The column of this name."""
        return next(c for c in self.columns if c.name == name)

    def mark(self, column: Column) -> str:
        """Why a paper's number of this column is not ours to reach; empty where it is."""
        if column.paper == "machine":
            return "another machine"
        return "another data set" if column.paper == "data" and not self.same_data else ""

    def beside(self, column: Column) -> list[tuple[str, PaperColumn]]:
        """The paper's columns beside one of ours, with their headers."""
        out = []
        for theirs in self.paper:
            if theirs.column == column.name:
                said = ", ".join(filter(None, (theirs.setting, self.mark(column))))
                out.append((f"paper ({said})" if said else "paper", theirs))
        return out
