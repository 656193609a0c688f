"""Writing a catalog: its tables, its image shards, and the count of what went where.

``ingest`` and ``alignment.ingest`` feed it. Ids count from 1 over all splits, in the order of writing.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from fashion_ops.catalog import schemas
from fashion_ops.catalog.images import CheckedImage
from fashion_ops.catalog.quarantine import Reason, Refusal
from fashion_ops.catalog.schemas import TableSchema
from fashion_ops.catalog.shards import ShardWriter
from fashion_ops.catalog.tables import TableWriter, table_of

_REASONS = 5  # reasons named in an error


@dataclass
class Totals:
    """How many records came in and where they went; ``images`` to ``crowds`` are by split.

    ``records`` is counted where labels are read, so that losses show. ``crowds`` are those among the
    ``quarantined`` that are no garments, but valid; ``unused`` names the files that are not used.
    """

    records: int = 0
    images: Counter[str] = field(default_factory=Counter)
    garments: Counter[str] = field(default_factory=Counter)
    quarantined: Counter[str] = field(default_factory=Counter)
    crowds: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)  # why records are invalid
    examples: dict[str, Refusal] = field(default_factory=dict)  # by reason
    unused: list[Refusal] = field(default_factory=list)

    @property
    def invalid(self) -> Counter[str]:
        """Numbers of quarantined records that are invalid, by split."""
        return self.quarantined - self.crowds

    def refuse(self, refusal: Refusal) -> None:
        """Count a row of the quarantine."""
        split, count = refusal.split, refusal.num_records
        self.quarantined[split] += count
        if refusal.reason == Reason.UNUSED:
            self.unused.append(refusal)
        elif refusal.reason == Reason.CROWD:
            self.crowds[split] += count
        else:
            self.reasons[refusal.reason] += max(1, count)
            self.examples.setdefault(refusal.reason, refusal)

    def check_balance(self, root: Path) -> None:
        """Raise RuntimeError unless each record became a garment or was quarantined."""
        garments, quarantined = self.garments.total(), self.quarantined.total()
        if self.records != garments + quarantined:
            raise RuntimeError(
                f"{root}: {self.records} records came in, but {garments} garments and {quarantined} "
                "quarantined came out"
            )

    def check_quarantined(self, limit: float, root: Path | str, step: str) -> None:
        """Check that not too many records are invalid, over all or a whole split of them.

        Args:
            limit: largest share of invalid records, 0..1; at 1 a split may also be lost whole.
            root: the data set, for the message.
            step: the step whose parameter ``max_quarantined`` is the limit.

        Raises:
            ValueError: there are too many; names the most frequent reasons, with an example each.
        """
        refused = self.invalid.total()
        lost = [s for s, count in self.invalid.items() if s and count and not self.garments[s]]
        if refused <= limit * self.records and (limit == 1 or not lost):
            return
        reasons = []
        for reason, count in self.reasons.most_common(_REASONS):
            example = self.examples[reason]
            reasons.append(f"  {count} x {reason}; for example {example.place}: {example.value}")
        nothing_left = f"; nothing is left of split {', '.join(lost)}" if lost else ""
        raise ValueError(
            f"{root}: {refused} of {self.records} records are invalid, {step}.max_quarantined allows "
            f"{limit:.2%}{nothing_left}. Most frequent:\n" + "\n".join(reasons)
        )


class CatalogWriter:
    """Writes NAME.parquet for each table, and shards/ where images are copied; a context manager.

    Args:
        folder: exists and is empty.
        tables: schema of each table besides ``images``; one is named ``quarantine``.
        shard_mb: upper size of a shard, MiB (one image is never cut); None leaves images in place.
    """

    def __init__(self, folder: Path, tables: Mapping[str, TableSchema], shard_mb: int | None) -> None:
        self.totals = Totals()
        self._stack = ExitStack()
        self.tables = {
            name: self._stack.enter_context(TableWriter(folder / f"{name}.parquet", schema))
            for name, schema in {"images": schemas.IMAGES, **tables}.items()
        }
        self._quarantine = tables["quarantine"]
        self._shards = None
        if shard_mb is not None:
            self._shards = self._stack.enter_context(ShardWriter(folder / "shards", shard_mb))

    def add_images(self, images: Sequence[CheckedImage], path_prefix: str | None) -> np.ndarray:
        """Write images; returns their ids.

        Args:
            images: in the order of their ids.
            path_prefix: prefix of the recorded paths of images that are left in place, else None.
        """
        ids = np.arange(self.tables["images"].rows, self.tables["images"].rows + len(images)) + 1
        shards = rows = np.full(len(ids), -1, np.int32)
        if self._shards is not None:
            shards, rows = self._shards.append(ids, [image.data for image in images])
        paths = ["" if path_prefix is None else f"{path_prefix}/{i.file_name}" for i in images]
        table = table_of(schemas.IMAGES, images, image_id=ids, shard=shards, row=rows, path=paths)
        self.tables["images"].append(table)
        self.totals.images.update(image.split for image in images)
        return ids

    def refuse(self, refusals: Sequence[Refusal]) -> None:
        """Write and count what is refused."""
        if refusals:
            self.tables["quarantine"].append(table_of(self._quarantine, refusals))
        for refusal in refusals:
            self.totals.refuse(refusal)

    def __enter__(self) -> "CatalogWriter":
        return self

    def __exit__(self, *error: Any) -> None:
        self._stack.__exit__(*error)
