"""DeepFashion's ``list_*.txt``: line 1 the number of rows, line 2 the column names, then the rows.

Fields are separated by any white space; integers may be padded with zeros ("072"). Attribute names
hold spaces, so there the type is the last field. ``list_item_*.txt`` have no line of column names.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from fashion_ops.catalog.alignment.refusals import Reason, Refusal, Refused


class Row(NamedTuple):
    """One row: its line in the file (1-based) and its text, split when it is asked for.

    A row of 1,000 attributes is 2 KB as text and 60 KB as fields.
    """

    line: int
    text: str

    @property
    def name(self) -> str:
        """The first field."""
        return self.text.split(None, 1)[0]

    @property
    def fields(self) -> list[str]:
        return self.text.split()


@dataclass(frozen=True)
class ListFile:
    """A file as read. ``name`` is its path from the root; ``count`` what line 1 says."""

    name: str
    columns: tuple[str, ...]
    rows: list[Row]
    count: int

    def missing_rows(self) -> Refusal | None:
        """What to report where line 1 disagrees with the rows; missing rows are lost records."""
        if self.count == len(self.rows):
            return None
        rows = len(self.rows)
        refused = Refused(Reason.HEADER_COUNT, f"line 1 says {self.count}, {rows} rows follow")
        return refused.at(self.name, 1, "", num_records=max(0, self.count - rows))

    def by_name(self, records: "Names", primary: bool = False) -> dict[str, Row]:
        """Rows by their first field, the image; a second row of an image is refused.

        A name's first mention in any list makes it a record; in the ``primary`` list each further row
        is one too.
        """
        found: dict[str, Row] = {}
        for row in self.rows:
            name = row.name
            if name in found:
                refused = Refused(Reason.DUPLICATE, f"first in line {found[name].line}")
                records.refusals.append(refused.at(self.name, row.line, name, num_records=int(primary)))
                records.extra += primary
            else:
                found[name] = row
                records.names.setdefault(name, (self.name, row.line))
        return found


class Names:
    """All image names of a data set's lists, each with its first mention; and what is refused."""

    def __init__(self) -> None:
        self.names: dict[str, tuple[str, int]] = {}
        self.refusals: list[Refusal] = []
        self.extra = 0  # records that have no name of their own: duplicates, rows that are missing

    @property
    def count(self) -> int:
        return len(self.names) + self.extra


def read_list(root: Path, name: str, *, header: bool = True) -> ListFile:
    """Read one list.

    Args:
        root: of the data set.
        name: the file's path from there.
        header: whether line 2 holds column names.

    Raises:
        ValueError: no such file, or line 1 is no count.
    """
    path = root / name
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: cannot be read: {error}") from error
    first = lines[0].strip() if lines else ""
    if not (first.isascii() and first.isdecimal()):
        raise ValueError(f"{path}: line 1 is {first[:60]!r}; expected the number of rows")
    start = 2 if header else 1
    columns = tuple(lines[1].split()) if header and len(lines) > 1 else ()
    rows = [Row(i, line) for i, line in enumerate(lines[start:], start + 1) if not line.isspace()]
    return ListFile(name, columns, [row for row in rows if row.text], int(first))


def integers(fields: Sequence[str]) -> list[int]:
    """Fields as integers, however padded.

    Raises:
        Refused: one of them is none.
    """
    try:
        return [int(field) for field in fields]
    except ValueError:
        odd = next(field for field in fields if not _is_integer(field))
        raise Refused(Reason.NOT_INTEGER, odd) from None


def _is_integer(field: str) -> bool:
    return field.lstrip("+-").isdecimal()


def expect(row: Row, count: int, what: str) -> None:
    """Refuse a row that has another number of fields.

    Raises:
        Refused: it has.
    """
    if len(row.fields) != count:
        raise Refused(Reason.TOKENS, f"{len(row.fields)} tokens; expected {count}: {what}")


def named_types(listed: ListFile) -> Iterator[tuple[str, str]]:
    """(name, type) of ``list_attr_cloth.txt`` and ``list_category_cloth.txt``: the type is last."""
    for row in listed.rows:
        *name, kind = row.fields
        yield " ".join(name), kind
