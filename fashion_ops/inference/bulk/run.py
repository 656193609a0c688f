"""A bulk run in its folder: lists the photos once, computes the blocks that are missing, writes parts.

The folder holds ``manifest/``, ``photos/`` (the table) and, at the end, ``summary.json``.
"""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import pyarrow.parquet as pq
from filelock import FileLock, Timeout

from fashion_ops.errors.reading import read_object
from fashion_ops.files.outputs import OutputRefused, check_above, placed
from fashion_ops.files.publishing import recover, write_whole
from fashion_ops.inference.bulk.blocks import Block
from fashion_ops.inference.bulk.listing import list_photos
from fashion_ops.inference.bulk.manifest import INDEX, MADE_BY, Identity, Manifest
from fashion_ops.inference.bulk.results import PART, Summary, write_coco

MANIFEST, PHOTOS, SUMMARY, COCO, LOCK = "manifest", "photos", "summary.json", "coco.json", ".lock"
Blocks = Iterator[tuple[str, Block]]
Compute = Callable[[Blocks], Iterator[tuple[str, bytes]]]  # of each block its part, in any order


@dataclass(frozen=True)
class BulkRun:
    """A run that has its photos.

    Attributes:
        folder: of the run.
        manifest: its photos.
        done: what is finished.
    """

    folder: Path
    manifest: Manifest
    done: Summary

    @property
    def left(self) -> int:
        """Number of photos that are not finished."""
        return self.manifest.photos - self.done.photos

    def compute(self, compute: Compute, advance: Callable[[int], None]) -> None:
        """Compute the blocks that are missing.

        Args:
            compute: maps (name, block) to (name, bytes of its part).
            advance: called with the number of photos of each block that is written.
        """
        folder = self.folder / PHOTOS
        blocks = ((str(n), block) for n, block in self.manifest.blocks(frozenset(self.done.blocks)))
        for name, part in compute(blocks):
            before = self.done.photos
            write_whole(folder / PART.format(int(name)), part)
            self.done.add(int(name), pq.read_metadata(BytesIO(part)))
            advance(self.done.photos - before)

    def finish(self, *, coco: bool) -> None:
        """Write the summary and, if so said, COCO results.

        Raises:
            RuntimeError: photos are missing in the table, a fault of the program.
        """
        if self.left:
            raise RuntimeError(
                f"{self.folder}: {self.left} of {self.manifest.photos} photos have no row"
            )
        if coco:
            write_coco(self.folder / PHOTOS, self.folder / COCO)
        summary = {
            "photos": self.done.photos,
            "garments": self.done.garments,
            "reasons": dict(sorted(self.done.reasons.items())),
        }
        write_whole(self.folder / SUMMARY, (json.dumps(summary, indent=1) + "\n").encode())


@contextmanager
def bulk_run(folder: Path, identity: Identity) -> Iterator[BulkRun]:
    """Begin a run in ``folder``, or go on with it, as the only process that writes there.

    Args:
        folder: absent, empty, or of an earlier run with this identity.
        identity: the sources, the models and the settings.

    Raises:
        OutputRefused: the folder holds something else, or another process writes there.
        ValueError: a source holds no photos.
    """
    folder = placed(folder)
    check_above(folder)
    _check_own(folder)
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise OutputRefused(f"{folder}: another run writes here; wait until it is done") from None
    try:
        recover(folder / MANIFEST)
        if (folder / MANIFEST / INDEX).is_file():
            manifest = Manifest.read(folder / MANIFEST)
            if difference := manifest.identity.difference(identity):
                raise OutputRefused(
                    f"{folder}: holds results for {difference}; name another folder by --table, or "
                    "delete this one"
                )
        else:
            manifest = Manifest.write(folder / MANIFEST, list_photos(identity.sources), identity)
        (folder / PHOTOS).mkdir(exist_ok=True)
        yield BulkRun(folder, manifest, Summary.of(folder / PHOTOS))
    finally:
        lock.release()


def _check_own(folder: Path) -> None:
    """Check that ``folder`` is absent, empty or of a bulk run.

    Raises:
        OutputRefused: it is something else.
    """
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise OutputRefused(f"{folder}: is no folder; name another path by --table")
    if not folder.is_dir() or all(_is_leftover(path.name) for path in folder.iterdir()):
        return
    made_by = None
    with suppress(OSError, ValueError):
        made_by = read_object(folder / MANIFEST / INDEX).get("made_by")
    if made_by != MADE_BY:
        raise OutputRefused(
            f"{folder}: exists, and `{MADE_BY}` did not make it; name another folder by --table"
        )


def _is_leftover(name: str) -> bool:
    """Whether an entry may remain of a run that was killed before it had listed its photos."""
    return name == LOCK or name.startswith(f".{MANIFEST}.")
