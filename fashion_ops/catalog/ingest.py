"""From a source to a catalog: the driver that chunks, spreads, numbers and writes.

Chunks are cut by the listing alone and their results are taken in order, so the bytes written do not
depend on how many processes read. Only a few chunks are under way at a time: memory is bounded by the
chunk, not by the data set.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from fashion_ops.catalog import schemas, tables
from fashion_ops.catalog.chunks import Chunk, read_chunk
from fashion_ops.catalog.quarantine import Refusal
from fashion_ops.catalog.rows import garments_table, images_table, quarantine_table
from fashion_ops.catalog.shards import ShardWriter
from fashion_ops.catalog.sources import SOURCES
from fashion_ops.catalog.sources.base import Entry

CHUNK_IMAGES = 512
CHUNK_BYTES = 64 << 20
MAX_WAITING = 8  # chunks read but not yet written
POOL_FROM = 16000  # images below which starting processes costs more than it saves


@dataclass
class Totals:
    """What came in and where it went. ``records`` is counted apart, where labels are read."""

    records: int = 0
    images: Counter[str] = field(default_factory=Counter)
    garments: Counter[str] = field(default_factory=Counter)
    quarantined: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    examples: dict[str, Refusal] = field(default_factory=dict)


@dataclass(frozen=True)
class Origin:
    """One data set: ``source`` as in ``SOURCES``, ``root`` as it wants it.

    ``path_prefix``: None copies the images into shards; else they stay where they are, each path
    recorded as this prefix plus its name below ``root``, and no checksum is taken.
    """

    source: str
    root: Path
    path_prefix: str | None

    @property
    def base(self) -> Path:
        """What the paths of its entries are relative to."""
        return self.root if self.root.is_dir() else self.root.parent


@dataclass(frozen=True)
class Work:
    """One chunk's entries and the data set that they are of."""

    entries: list[Entry]
    origin: Origin


def ingest(
    source: str,
    root: Path,
    folder: Path,
    *,
    path_prefix: str | None,
    shard_mb: int,
    workers: int,
    more: Iterable[Origin] = (),
    known_refusals: Iterable[Refusal] = (),
    progress: Callable[[Iterable[Chunk]], Iterable[Chunk]] = iter,
) -> Totals:
    """Write images.parquet, garments.parquet, quarantine.parquet and shards/ into ``folder``.

    Args:
        source: a name in ``SOURCES``.
        root: the data set, as the source wants it.
        folder: exists and is empty.
        path_prefix: see ``Origin``.
        shard_mb: upper size of a shard, MiB (one image is never cut).
        workers: processes at most.
        more: data sets that are read after this one; all copy their images or none does.
        known_refusals: members of an archive that were refused before.
        progress: wraps the chunks as they arrive.

    Raises:
        ValueError: ``root`` is not what the source expects.
        RuntimeError: records were lost or counted twice; a fault of this program.
    """
    copy = path_prefix is None
    totals = Totals()
    listed = list(known_refusals)
    origins = [Origin(source, root, path_prefix), *more]
    assert all((origin.path_prefix is None) == copy for origin in origins)
    work = [
        Work(chunk, origin)
        for origin in origins
        for chunk in _cut(SOURCES[origin.source](origin.root), origin.base, copy, listed)
    ]
    for refusal in listed:
        totals.records += refusal.num_records
    done = 0
    with ExitStack() as stack:
        images, garments, quarantine = (
            stack.enter_context(tables.TableWriter(folder / f"{name}.parquet", layout, schema))
            for name, layout, schema in (
                ("images", tables.IMAGES, schemas.IMAGES),
                ("garments", tables.GARMENTS, schemas.GARMENTS),
                ("quarantine", tables.QUARANTINE, schemas.QUARANTINE),
            )
        )
        shards = stack.enter_context(ShardWriter(folder / "shards", shard_mb)) if copy else None
        _refuse(listed, quarantine, totals)
        for chunk in progress(_spread(work, copy, workers)):
            prefix = work[done].origin.path_prefix
            done += 1
            image_ids = np.arange(images.rows, images.rows + len(chunk.images)) + 1
            nowhere = np.full(len(image_ids), -1, np.int32)
            place = shards.append(image_ids, [p.data for p in chunk.images]) if shards else None
            images.append(images_table(chunk, image_ids, *(place or (nowhere, nowhere)), prefix))
            garments.append(garments_table(chunk, garments.rows + 1, image_ids))
            _refuse(chunk.refusals, quarantine, totals)
            totals.records += chunk.records
            totals.images.update(p.split for p in chunk.images)
            totals.garments.update(chunk.images[i].split for i in chunk.image_of)
    if totals.records != totals.garments.total() + totals.quarantined.total():
        raise RuntimeError(
            f"{root}: {totals.records} records came in, but {totals.garments.total()} garments and "
            f"{totals.quarantined.total()} quarantined came out"
        )
    return totals


def _cut(
    listing: Iterable[Entry | Refusal], base: Path, by_size: bool, refusals: list[Refusal]
) -> Iterator[list[Entry]]:
    """Chunks of at most ``CHUNK_IMAGES`` or about ``CHUNK_BYTES``; refusals are set aside."""
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
    except OSError:
        return 0


def _spread(work: list[Work], copy: bool, workers: int) -> Iterator[Chunk]:
    """Results of ``read_chunk`` in order. This process works too, first of all while others start."""
    if workers == 1 or sum(len(w.entries) for w in work) < POOL_FROM:
        yield from (read_chunk(w.entries, w.origin.base, copy) for w in work)
        return
    left = deque(work)
    # spawn, not fork: the caller may hold threads (Dagster, Arrow) that a fork would freeze.
    with ProcessPoolExecutor(workers - 1, mp_context=get_context("spawn")) as pool:
        results: deque[Future[Chunk]] = deque()
        while left or results:
            while left and sum(not r.done() for r in results) < workers:
                w = left.popleft()
                results.append(pool.submit(read_chunk, w.entries, w.origin.base, copy))
            if results[0].done() or not left or len(results) > MAX_WAITING:
                yield results.popleft().result()
            else:
                own: Future[Chunk] = Future()
                results.append(own)
                w = left.popleft()
                own.set_result(read_chunk(w.entries, w.origin.base, copy))


def _refuse(refusals: list[Refusal], writer: tables.TableWriter, totals: Totals) -> None:
    if not refusals:
        return
    writer.append(quarantine_table(refusals))
    for refusal in refusals:
        totals.quarantined[refusal.split] += refusal.num_records
        totals.reasons[refusal.reason] += refusal.num_records
        totals.examples.setdefault(refusal.reason, refusal)
