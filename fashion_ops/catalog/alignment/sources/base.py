"""The interface of a source of alignment data, and the join of DeepFashion's lists by image name.

A source is one function ``read(root)``. It parses and checks the lists; images are opened later. Every
name in any list is one record: it becomes a ``Record`` or a refusal.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fashion_ops.catalog.alignment.list_file import ListFile, RecordNames, Row, read_list
from fashion_ops.catalog.alignment.records import (
    Record,
    clothes_type,
    has_variation,
    parse_landmarks,
)
from fashion_ops.catalog.quarantine import Reason, Refusal, Refused
from fashion_ops.catalog.sources.base import inside

PARTITION = "Eval/list_eval_partition.txt"


class Attribute(NamedTuple):
    """A column of the attribute lists."""

    name: str
    kind: str


class Pair(NamedTuple):
    """A consumer's image and a shop's image of the same item, by image name."""

    consumer: str
    shop: str
    item_id: str
    split: str
    file: str
    line: int


@dataclass
class Listing:
    """The content of a data set's lists; ``count`` is the number of records that came in."""

    records: list[Record]
    refusals: list[Refusal]
    count: int
    attributes: list[Attribute] = field(default_factory=list)
    pairs: list[Pair] = field(default_factory=list)


Source = Callable[[Path], Listing]


@dataclass
class Lists:
    """The lists of one data set and the rows of each image."""

    root: Path
    names: RecordNames = field(default_factory=RecordNames)
    files: dict[str, ListFile] = field(default_factory=dict)
    rows: dict[str, dict[str, Row]] = field(default_factory=dict)

    def add(self, key: str, file: str, *, primary: bool = False) -> ListFile:
        """Read a list whose first field is the image. ``primary``: its rows are the records."""
        listed = read_list(self.root, file)
        self.files[key] = listed
        self.rows[key] = listed.by_name(self.names, primary)
        listed.check_count(self.names, primary)
        return listed

    def row(self, key: str, name: str) -> Row:
        """The row of an image; raises Refused where the list does not name it."""
        if name not in self.rows[key]:
            raise Refused(Reason.NOT_LISTED, self.files[key].name)
        return self.rows[key][name]


RowParser = Callable[[Row, Record], None]


def read_base_lists(root: Path, suffix: str = "") -> Lists:
    """Read the lists that all benchmarks have, of landmarks (primary) and of boxes."""
    lists = Lists(root)
    lists.add("landmarks", f"Anno/list_landmarks{suffix}.txt", primary=True)
    lists.add("bbox", f"Anno/list_bbox{suffix}.txt")
    return lists


def join(
    lists: Lists,
    status: Callable[[str], str],
    box: RowParser,
    extras: Mapping[str, RowParser] | None = None,
) -> Listing:
    """Make records from the lists ``landmarks`` and ``bbox``.

    Args:
        lists: with the keys landmarks (primary) and bbox, and those of ``extras``.
        status: gives the split of an image name, or raises Refused.
        box: reads a row of the bbox list into a record.
        extras: for further lists, by key, a function that reads a row into a record.
    """
    names, refusals = lists.names.names, lists.names.refusals
    variation = has_variation(lists.files["landmarks"])
    folder = _image_folder(lists)
    records = []
    for name, (file, line) in names.items():
        split = ""
        try:
            if name in lists.rows.get("partition", {}):
                file, line = lists.files["partition"].name, lists.rows["partition"][name].line
            split = status(name)
            key = "landmarks"
            row = lists.row(key, name)
            file, line = lists.files[key].name, row.line
            landmarks = parse_landmarks(row, variation)
            record = Record(
                name,
                folder + inside(name),
                file,
                line,
                split,
                landmarks.clothes_type,
                box=np.zeros(4),  # set by ``box``
                xy=landmarks.xy,
                visibility=landmarks.visibility,
                codes=landmarks.codes,
                variation=landmarks.variation,
            )
            for key, parse in {"bbox": box, **(extras or {})}.items():
                row = lists.row(key, name)
                file, line = lists.files[key].name, row.line
                parse(row, record)
                if key == "bbox":
                    record.box_at = file, line
            records.append(record)
        except Refused as refused:
            refusals.append(refused.row(split, file, name, line=line))
    return Listing(records, refusals, lists.names.count)


def one_of(status: str, splits: tuple[str, ...]) -> str:
    """``status`` if it is one of ``splits``; else raises Refused."""
    if status not in splits:
        raise Refused(Reason.PARTITION, f"{status}; expected one of {', '.join(splits)}")
    return status


def same_type(record: Record, code: int) -> None:
    """Raise Refused unless ``code``, from another list, is the record's clothes type."""
    if clothes_type(code) != record.clothes_type:
        raise Refused(Reason.TYPES_DISAGREE, f"{code}, landmarks say {record.clothes_type}")


def _image_folder(lists: Lists) -> str:
    """Where image names start from: ``Img/`` or the root."""
    first = next(iter(lists.rows["landmarks"]), "")
    return "Img/" if first and (lists.root / "Img" / first.partition("/")[0]).is_dir() else ""
