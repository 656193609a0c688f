"""From labelled data sets to a catalog: cuts them into chunks, reads those in parallel, and writes.

Chunks are cut by the listing alone and their results are taken in order, so the bytes written do not
depend on the number of processes. Only a few chunks are in flight at a time: memory is bounded by the
chunk, not by the data set.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pyarrow as pa

from fashion_ops.catalog import schemas
from fashion_ops.catalog.checks import Ragged
from fashion_ops.catalog.chunks import Chunk, read_chunk
from fashion_ops.catalog.quarantine import Refusal
from fashion_ops.catalog.sources import SOURCES
from fashion_ops.catalog.sources.base import Entry
from fashion_ops.catalog.tables import table_of
from fashion_ops.catalog.writer import CatalogWriter, Totals

CHUNK_IMAGES = 512
CHUNK_BYTES = 64 << 20
MAX_WAITING = 8  # chunks read but not yet written
POOL_FROM = 16000  # images below which starting processes costs more than it saves


@dataclass(frozen=True)
class DataSet:
    """A labelled data set.

    Args:
        source: a name in ``SOURCES``.
        root: its folder or file, as the source expects.
        path_prefix: None copies the images into shards; else they stay where they are, the path of
            each is recorded as this prefix plus its name below ``root``, without a checksum.
    """

    source: str
    root: Path
    path_prefix: str | None

    @property
    def base(self) -> Path:
        """The folder that the paths of its entries are relative to."""
        return self.root if self.root.is_dir() else self.root.parent

    @property
    def copy_images(self) -> bool:
        return self.path_prefix is None


@dataclass(frozen=True)
class ChunkTask:
    """The entries of one chunk and the data set that they belong to."""

    entries: list[Entry]
    data_set: DataSet

    @property
    def arguments(self) -> tuple[list[Entry], Path, bool]:
        """What ``read_chunk`` takes; a worker process that imported this module would start slowly."""
        return self.entries, self.data_set.base, self.data_set.copy_images


def ingest(
    data_sets: Sequence[DataSet],
    folder: Path,
    *,
    shard_mb: int,
    workers: int,
    known_refusals: Iterable[Refusal] = (),
    progress: Callable[[Iterable[Chunk]], Iterable[Chunk]] = iter,
) -> Totals:
    """Write images.parquet, garments.parquet, quarantine.parquet and shards/ into ``folder``.

    Args:
        data_sets: read one after the other; all copy their images or none does.
        folder: exists and is empty.
        shard_mb: upper size of a shard, MiB (one image is never cut).
        workers: largest number of processes.
        known_refusals: what was refused before, such as members of an archive.
        progress: wraps the chunks as they arrive.

    Returns:
        The totals over all data sets.

    Raises:
        ValueError: a root is not what its source expects.
        RuntimeError: records were lost or counted twice; a fault of this program.
    """
    copy = data_sets[0].copy_images
    assert all(data_set.copy_images == copy for data_set in data_sets)
    refusals = list(known_refusals)
    tasks = [
        ChunkTask(entries, data_set)
        for data_set in data_sets
        for entries in _cut(SOURCES[data_set.source](data_set.root), data_set.base, copy, refusals)
    ]
    tables = {"garments": schemas.GARMENTS, "quarantine": schemas.QUARANTINE}
    with CatalogWriter(folder, tables, shard_mb if copy else None) as writer:
        totals = writer.totals
        totals.records = sum(refusal.num_records for refusal in refusals)
        writer.refuse(refusals)
        for task, chunk in zip(tasks, progress(_run_in_order(tasks, workers)), strict=True):
            image_ids = writer.add_images(chunk.images, task.data_set.path_prefix)
            garments = writer.tables["garments"]
            garments.append(_garments_table(chunk, garments.rows + 1, image_ids))
            writer.refuse(chunk.refusals)
            totals.records += chunk.records
            totals.garments.update(chunk.images[i].split for i in chunk.image_of)
    totals.check_balance(data_sets[0].root)
    return totals


def _garments_table(chunk: Chunk, first_id: int, image_ids: np.ndarray) -> pa.Table:
    """Rows of garments.parquet. ``image_ids``: the ids of the chunk's images."""
    garments, count = chunk.garments, len(chunk.items)
    columns = vars(garments) | {
        "garment_id": np.arange(first_id, first_id + count),
        "image_id": image_ids[chunk.image_of],
        "split": [chunk.images[i].split for i in chunk.image_of],
        "item": chunk.items,
        "box": _lists(Ragged.of(garments.box.ravel(), np.full(count, 4))),
        "landmarks": _lists(garments.landmarks),
        "polygons": pa.ListArray.from_arrays(
            garments.polygons.offsets, _lists(garments.polygon_points)
        ),
    }
    return table_of(schemas.GARMENTS, (), **columns)


def _lists(rows: Ragged) -> pa.ListArray:
    return pa.ListArray.from_arrays(rows.offsets, pa.array(rows.values))


def _cut(
    listing: Iterable[Entry | Refusal], base: Path, by_size: bool, refusals: list[Refusal]
) -> Iterator[list[Entry]]:
    """Yield chunks of at most ``CHUNK_IMAGES`` or about ``CHUNK_BYTES``; collect ``refusals``."""
    chunk: list[Entry] = []
    size = 0
    for entry in listing:
        if isinstance(entry, Refusal):
            refusals.append(entry)
            continue
        chunk.append(entry)
        size += _size(base / entry.image) if by_size else 0
        if len(chunk) == CHUNK_IMAGES or size >= CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except (OSError, ValueError):  # not there, or a name that no file can have
        return 0


def _run_in_order(tasks: list[ChunkTask], workers: int) -> Iterator[Chunk]:
    """Results of the tasks in order. This process works too, above all while others start."""
    if workers == 1 or sum(len(task.entries) for task in tasks) < POOL_FROM:
        yield from (read_chunk(*task.arguments) for task in tasks)
        return
    left = deque(tasks)
    # spawn, not fork: the caller may hold threads (Dagster, Arrow) that a fork would freeze.
    with ProcessPoolExecutor(workers - 1, mp_context=get_context("spawn")) as pool:
        results: deque[Future[Chunk]] = deque()
        while left or results:
            while left and sum(not r.done() for r in results) < workers:
                results.append(pool.submit(read_chunk, *left.popleft().arguments))
            if results[0].done() or not left or len(results) > MAX_WAITING:
                yield results.popleft().result()
            else:
                here: Future[Chunk] = Future()
                results.append(here)
                here.set_result(read_chunk(*left.popleft().arguments))
