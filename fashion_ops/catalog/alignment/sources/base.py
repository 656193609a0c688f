"""What a source of alignment data gives, and the joining of DeepFashion's lists by image name.

A source is one function ``read(root)``. It parses and checks the lists; images are opened later.
Whatever name any list holds is one record: it becomes a ``Record`` or a refusal, never nothing.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from fashion_ops.catalog.alignment.list_file import ListFile, Names, Row, read_list
from fashion_ops.catalog.alignment.records import (
    Record,
    clothes_type,
    has_variation,
    parse_box,
    parse_landmarks,
)
from fashion_ops.catalog.alignment.refusals import Reason, Refusal, Refused
from fashion_ops.catalog.quarantine import Refused as RefusedPath
from fashion_ops.catalog.sources.base import inside


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
    """All of a data set. ``count``: how many records came in; refusals of images come later."""

    records: list[Record]
    refusals: list[Refusal]
    count: int
    attributes: list[Attribute] = field(default_factory=list)
    pairs: list[Pair] = field(default_factory=list)


Source = Callable[[Path], Listing]


def image_folder(root: Path, first: str) -> str:
    """Where image names start from: ``Img/`` or the root. ``first`` is the folder of one of them."""
    return "Img/" if (root / "Img" / first).is_dir() else ""


@dataclass
class Lists:
    """The lists of one data set and the rows of each image."""

    root: Path
    names: Names = field(default_factory=Names)
    files: dict[str, ListFile] = field(default_factory=dict)
    rows: dict[str, dict[str, Row]] = field(default_factory=dict)

    def add(self, key: str, file: str, *, primary: bool = False) -> ListFile:
        """Read a list whose first field is the image. ``primary``: its rows are the records."""
        listed = read_list(self.root, file)
        self.files[key] = listed
        self.rows[key] = listed.by_name(self.names, primary)
        self.check_count(listed, primary)
        return listed

    def check_count(self, listed: ListFile, primary: bool = False) -> None:
        """Report a header that disagrees; only rows missing in the primary list are lost records."""
        if refusal := listed.missing_rows():
            lost = refusal.num_records if primary else 0
            self.names.refusals.append(refusal._replace(num_records=lost))
            self.names.extra += lost

    def row(self, key: str, name: str) -> Row:
        """The row of an image. Raises Refused where the list doesn't name it."""
        if name not in self.rows[key]:
            raise Refused(Reason.NOT_LISTED, self.files[key].name)
        return self.rows[key][name]


BoxParser = Callable[[Row, Record], None]


def join(
    lists: Lists,
    status: Callable[[str], str],
    box: BoxParser,
    extras: Mapping[str, Callable[[Row, Record], None]] | None = None,
) -> Listing:
    """Records from the lists ``landmarks`` and ``bbox``, split by ``status``.

    Args:
        lists: with the keys landmarks (primary) and bbox, and those of ``extras``.
        status: the split of an image; raises Refused.
        box: reads a row of the bbox list into a record.
        extras: by key, reads a row of another list into a record.
    """
    names, refusals = lists.names.names, lists.names.refusals
    variation = has_variation(lists.files["landmarks"])
    folder = _folder(lists)
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
            found = parse_landmarks(row, variation)
            image = folder + _inside(name)
            record = Record(
                name,
                image,
                file,
                line,
                split,
                found.clothes_type,
                box=parse_box(["1"] * 4),
                xy=found.xy,
                visibility=found.visibility,
                codes=found.codes,
                variation=found.variation,
            )
            for key, parse in {"bbox": box, **(extras or {})}.items():
                row = lists.row(key, name)
                file, line = lists.files[key].name, row.line
                parse(row, record)
                if key == "bbox":
                    record.box_at = file, line
            records.append(record)
        except Refused as refused:
            refusals.append(refused.at(file, line, name, split))
    return Listing(records, refusals, lists.names.count)


def same_type(record: Record, code: int) -> None:
    """Raises Refused unless another list gives the record the same clothes type."""
    if clothes_type(code) != record.clothes_type:
        raise Refused(Reason.TYPES_DISAGREE, f"{code}, landmarks say {record.clothes_type}")


def _inside(name: str) -> str:
    try:
        return inside(name)
    except RefusedPath as refused:
        raise Refused(refused.reason, refused.value) from None


def _folder(lists: Lists) -> str:
    first = next(iter(lists.rows["landmarks"]), "")
    return image_folder(lists.root, first.partition("/")[0]) if first else ""
