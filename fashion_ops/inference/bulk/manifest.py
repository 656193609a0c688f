"""The photos of a bulk run, fixed when it starts: a killed run goes on with the same ones.

The manifest also holds what the results depend on. A run with other photos, models or settings writes
to another folder.
"""

import itertools
import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from fashion_ops.errors.reading import read_arrow, read_object
from fashion_ops.files.publishing import publish
from fashion_ops.inference.bulk.blocks import Block
from fashion_ops.inference.bulk.listing import Listed

MADE_BY = "fashion-ops predict --table"
INDEX = "manifest.json"
ROWS = 100_000  # photos in one of its files
_PART = "photos-{:05d}.parquet"
_SCHEMA = pa.schema(
    {"uri": pa.string(), "table": pa.string(), "row": pa.int64(), "refused": pa.string()}
)
# Photos of a block: as many as keep the parts few, and as few as keep the work of a killed run small.
_BLOCKS, _SMALLEST, _LARGEST, _LARGEST_OF_BYTES = 400, 16, 256, 64


@dataclass(frozen=True)
class Identity:
    """What the results depend on, besides the photos.

    Attributes:
        sources: where the photos were listed.
        model: the model, as given.
        digest: hash of the model's files.
        settings: all other settings, by the name of their option.
    """

    sources: list[str]
    model: str
    digest: str
    settings: dict[str, Any]

    def difference(self, other: "Identity") -> str:
        """What differs in ``other``, as a text ``OURS, not OTHERS``; "" if nothing does."""
        if self.sources != other.sources:
            return f"photos of {', '.join(self.sources)}, not of {', '.join(other.sources)}"
        if self.digest != other.digest:
            same = self.model == other.model
            return f"model {self.model}" + (" as it was then" if same else f", not {other.model}")
        for name in self.settings | other.settings:
            ours, others = self.settings.get(name), other.settings.get(name)
            if ours != others:
                return f"{name} {ours}, not {others}"
        return ""


@dataclass(frozen=True)
class Manifest:
    """A written manifest.

    Attributes:
        folder: its folder.
        identity: what the results depend on.
        photos: number of photos.
        block_size: photos of a block; the last has fewer.
    """

    folder: Path
    identity: Identity
    photos: int
    block_size: int

    @classmethod
    def read(cls, folder: Path) -> "Manifest":
        """Open the manifest in ``folder``.

        Raises:
            FileNotFoundError: there is none.
            ValueError: it cannot be read.
        """
        index = read_object(folder / INDEX, "identity", "photos", "block_size")
        return cls(folder, Identity(**index["identity"]), index["photos"], index["block_size"])

    @classmethod
    def write(cls, folder: Path, listing: Iterable[Listed], identity: Identity) -> "Manifest":
        """List all photos into ``folder``, which appears as a whole."""
        photos, largest, listing = 0, _LARGEST, iter(listing)
        with publish(folder) as fresh:
            for number in itertools.count():
                rows = list(itertools.islice(listing, ROWS))
                if not rows:
                    break
                columns = dict(zip(Listed._fields, map(list, zip(*rows, strict=True)), strict=True))
                pq.write_table(pa.table(columns, _SCHEMA), fresh / _PART.format(number))
                photos += len(rows)
                if any(columns["table"]):
                    largest = _LARGEST_OF_BYTES
            size = min(largest, max(_SMALLEST, -(-photos // _BLOCKS)))
            index = {
                "made_by": MADE_BY,
                "identity": asdict(identity),
                "photos": photos,
                "block_size": size,
            }
            (fresh / INDEX).write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")
        return cls(folder, identity, photos, size)

    def blocks(self, finished: Collection[int]) -> Iterator[tuple[int, Block]]:
        """Yield number and photos of the blocks that are not finished, in order."""
        rows, number = _SCHEMA.empty_table(), 0
        for path in sorted(self.folder.glob("photos-*.parquet")):
            rows = pa.concat_tables([rows, read_arrow(path)])
            while len(rows) >= self.block_size:
                if number not in finished:
                    yield number, self._block(number, rows)
                rows, number = rows.slice(self.block_size), number + 1
        if len(rows) and number not in finished:
            yield number, self._block(number, rows)

    def _block(self, number: int, rows: pa.Table) -> Block:
        """The block at the start of ``rows``."""
        photos = [Listed(**row) for row in rows.slice(0, self.block_size).to_pylist()]
        return Block(number * self.block_size + 1, photos)
