"""DeepFashion's ``list_*.txt``: line 1 the number of rows, line 2 the column names, then the rows.

Fields are separated by any white space; integers may be padded with zeros ("072"). Attribute names
hold spaces, so there the type is the last field. ``list_item_*.txt`` have no line of column names.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from fashion_ops.catalog.quarantine import Reason, Refusal, Refused


class Row(NamedTuple):
    """One row: its line in the file (1-based) and its text, which is split only on access.

    A row of 1,000 attributes takes 2 KB as text and 60 KB as fields.
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


class RecordNames:
    """All image names of a data set's lists, each with the file and line of its first mention."""

    def __init__(self) -> None:
        self.names: dict[str, tuple[str, int]] = {}
        self.refusals: list[Refusal] = []
        self.extra = 0  # records without a name of their own: duplicates and missing rows

    @property
    def count(self) -> int:
        """Number of records."""
        return len(self.names) + self.extra


@dataclass(frozen=True)
class ListFile:
    """A list as read. ``name`` is its path from the root, ``count`` the number in its first line."""

    name: str
    columns: tuple[str, ...]
    rows: list[Row]
    count: int

    def check_count(self, records: RecordNames, primary: bool = False) -> None:
        """Report a first line that disagrees with the rows.

        Only rows missing in the ``primary`` list are lost records.
        """
        missing = self.count - len(self.rows)
        if missing:
            lost = max(0, missing) if primary else 0
            value = f"line 1 says {self.count}, {len(self.rows)} rows follow"
            refused = Refused(Reason.HEADER_COUNT, value, lost)
            records.refusals.append(refused.row("", self.name, line=1))
            records.extra += lost

    def by_name(self, records: RecordNames, primary: bool = False) -> dict[str, Row]:
        """Rows by their first field, the image name; a second row of an image is refused.

        The first mention of a name in any list makes it a record; in the ``primary`` list each
        further row is a record too.
        """
        rows: dict[str, Row] = {}
        for row in self.rows:
            name = row.name
            if name in rows:
                value = f"first in line {rows[name].line}"
                refused = Refused(Reason.DUPLICATE, value, int(primary))
                records.refusals.append(refused.row("", self.name, name, line=row.line))
                records.extra += primary
            else:
                rows[name] = row
                records.names.setdefault(name, (self.name, row.line))
        return rows


def read_list(root: Path, name: str, *, header: bool = True) -> ListFile:
    """Read one list.

    Args:
        root: the folder of the data set.
        name: path of the file, relative to ``root``.
        header: whether line 2 holds column names.

    Raises:
        ValueError: there is no such file, or line 1 is no number.
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
    """Fields as integers, with or without padding zeros.

    Raises:
        Refused: a field is no integer.
    """
    try:
        return [int(field) for field in fields]
    except ValueError:
        odd = next(field for field in fields if not field.lstrip("+-").isdecimal())
        raise Refused(Reason.NOT_INTEGER, odd) from None


def expect(row: Row, count: int, fields: str) -> None:
    """Check the number of fields of a row; ``fields`` describes them.

    Raises:
        Refused: the row has another number of fields.
    """
    if len(row.fields) != count:
        raise Refused(Reason.TOKENS, f"{len(row.fields)} tokens; expected {count}: {fields}")


def named_types(listed: ListFile) -> Iterator[tuple[str, str]]:
    """Yield (name, type) of ``list_attr_cloth.txt`` or ``list_category_cloth.txt``; type comes last."""
    for row in listed.rows:
        *name, kind = row.fields
        yield " ".join(name), kind
