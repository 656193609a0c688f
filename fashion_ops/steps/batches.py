"""New labelled data: from ``data/inbox`` into the training data, or to ``data/rejected`` with a reason.

A user copies a batch to ``data/inbox/NAME`` (a folder in DeepFashion2's or COCO's layout, or an archive
of one), then adds an empty file ``data/inbox/NAME.ready``, of an archive ``NAME.zip.ready``: only its
owner knows when the copy is complete. Complete batches wait until together they have enough images for
a training. A valid batch becomes ``data/batches/0001-NAME``, is versioned by DVC and read by the next
``ingest``; an invalid one is moved away whole. Whatever an upload is, it holds up no other: what cannot
be moved stays, is reported by each call, and the rest is taken.

A batch may only add to the training split: the champion and its challengers are evaluated on one
validation split that stays as it is.
"""

import errno
import hashlib
import re
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from fashion_ops.catalog.inbox import (
    READY_SUFFIX,
    kind_of,
    move,
    printable,
    problem_of,
    put_away,
    short_name,
    walk,
)
from fashion_ops.catalog.ingest import DataSet, ingest
from fashion_ops.catalog.quarantine import readable
from fashion_ops.catalog.reader import Catalog
from fashion_ops.catalog.sources.archive import content_root, is_archive, named_after, unpack
from fashion_ops.catalog.sources.base import IMAGE_SUFFIXES, is_junk
from fashion_ops.catalog.sources.batches import folders, layout, number
from fashion_ops.errors.reading import read_table
from fashion_ops.ledger import Ledger
from fashion_ops.params import Params
from fashion_ops.workspace import Workspace

_MAX_NAMED = 20  # refused records named in a reason
# The machine's faults, not the batch's: it waits until they are over.
_MACHINE_FAULTS = (errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EROFS)


class InvalidBatchError(ValueError):
    """A batch is refused; the message says why."""


@dataclass(frozen=True)
class NewBatches:
    """The batches in ``data/inbox``.

    Args:
        num_images: for each complete batch, by name, the number of its images; 0 for an archive.
        incomplete: names of the batches that are not marked as complete, readable.
        version: changes when a batch is completed or completed again.
        problem: why the inbox cannot be read; "" if it can.
    """

    num_images: dict[str, int]
    incomplete: list[str]
    version: str = ""
    problem: str = ""

    def why_wait(self, min_images: int) -> str | None:
        """The reason to process no batch yet; None if there are ``min_images`` images or an archive."""
        if not self.num_images:
            names = ", ".join(self.incomplete)
            if names:
                return f"no batch is ready; without a NAME{READY_SUFFIX} beside it: {names}"
            return self.problem or "nothing there"
        total = sum(self.num_images.values())
        if total >= min_images or 0 in self.num_images.values():  # 0: an archive, opened later
            return None
        return f"{total} images are ready, batches.min_images is {min_images}"


@dataclass
class BatchResults:
    """What became of the complete batches.

    Args:
        accepted: names of the new folders in ``data/batches``.
        rejected: why each refused batch was refused, by its name in ``data/rejected``.
        waiting: why the other batches wait; "" if none does.
        stuck: why a batch stays in the inbox although it should be moved, by its name.
    """

    accepted: list[str] = field(default_factory=list)
    rejected: dict[str, str] = field(default_factory=dict)
    waiting: str = ""
    stuck: dict[str, str] = field(default_factory=dict)


def find_batches(ws: Workspace) -> NewBatches:
    """List the batches in ``data/inbox`` and count their images by file names; no file is opened.

    A hidden file or folder, such as the temporary one of a copy, is a batch only if it is marked.
    """
    if not ws.inbox.is_dir():
        return NewBatches({}, [])
    try:
        names = sorted(p.name for p in ws.inbox.iterdir())
    except OSError as error:
        return NewBatches({}, [], problem=f"{ws.inbox} cannot be read: {error.strerror}")
    marks = {n: _marked_at(ws.inbox / f"{n}{READY_SUFFIX}") for n in names}
    complete = {n: _count_images(ws.inbox / n) for n in names if marks[n] is not None}
    hidden = {n for n in names if n.startswith(".") or n.endswith(READY_SUFFIX)}
    incomplete = [readable(n) for n in names if n not in complete and n not in hidden]
    version = repr([(n, marks[n]) for n in complete])  # repr escapes bytes that are not UTF-8
    return NewBatches(complete, incomplete, hashlib.md5(version.encode()).hexdigest())


def _marked_at(mark: Path) -> int | None:
    """When a batch was marked as complete, ns; None if it is not. Only a file is a mark."""
    try:
        return mark.lstat().st_mtime_ns if kind_of(mark) == "a file" else None
    except OSError:
        return None


def process_batches(params: Params, ws: Workspace, ledger: Ledger) -> BatchResults:
    """Check the complete batches in ``data/inbox`` and add the valid ones to the training data.

    Nothing happens until they have ``batches.min_images`` images together or include an archive, whose
    images are not counted yet. Invalid batches are moved to ``data/rejected``; valid ones wait in the
    inbox if they have too few images together.

    A crash loses nothing: a batch is in the inbox or among the accepted ones, and a batch that was
    accepted but not yet versioned is versioned by the next call.

    Raises:
        LedgerError: DVC could not version a batch.
    """
    for folder in folders(ws.batches):
        if not folder.with_name(f"{folder.name}.dvc").is_file():
            ledger.add(folder)
    min_images = params.batches.min_images
    new, results = find_batches(ws), BatchResults()
    if why := new.why_wait(min_images):
        return BatchResults(waiting=why)
    known = _known_images(ws)
    valid: list[tuple[str, Path, int]] = []  # name, folder, number of images
    with tempfile.TemporaryDirectory(prefix=".inbox-", dir=ws.inbox.parent) as scratch:
        for i, name in enumerate(new.num_images):
            unpacked = Path(scratch, str(i))
            try:
                with named_after(ws.inbox / name, unpacked):
                    content = _as_folder(ws.inbox / name, unpacked)
                    images = _check(content, Path(scratch, f"catalog-{i}"), params, known)
            except Exception as error:  # whatever a stranger's files did, the other batches are taken
                _set_aside(ws, name, error, results)
                continue
            known |= {digest: f"{name}/{file}" for digest, file in _digests(images)}
            valid.append((name, content, len(images)))
        total = sum(count for _, _, count in valid)
        if total < min_images:
            results.waiting = f"{total} images in valid batches, batches.min_images is {min_images}"
            return results
        for name, content, _ in valid:
            try:
                folder = _accept(ws, name, content)
            except OSError as error:
                results.stuck[readable(name)] = readable(f"cannot be moved to {ws.batches}: {error}")
                continue
            _unmark(ws, name, results)
            ledger.add(folder)
            results.accepted.append(folder.name)
    return results


def _set_aside(ws: Workspace, name: str, error: Exception, results: BatchResults) -> None:
    """Move a batch to ``data/rejected``; it stays if the machine is at fault or it can't be moved."""
    reason = printable(str(error))
    if not isinstance(error, ValueError | OSError):
        reason = f"the check failed, a fault of this program: {type(error).__name__}: {reason}"
    if isinstance(error, MemoryError) or getattr(error, "errno", None) in _MACHINE_FAULTS:
        results.stuck[readable(name)] = readable(f"cannot be checked now: {error}")
        return
    try:
        target = put_away(ws.inbox / name, ws.rejected, reason)
    except OSError as problem:
        results.stuck[readable(name)] = readable(f"{reason}; {problem}")
        return
    results.rejected[target.name] = reason
    _unmark(ws, name, results)


def _unmark(ws: Workspace, name: str, results: BatchResults) -> None:
    """Delete the mark of a batch that has left the inbox; else the next of its name would be taken."""
    try:
        (ws.inbox / f"{name}{READY_SUFFIX}").unlink(missing_ok=True)
    except OSError as error:
        results.stuck[readable(f"{name}{READY_SUFFIX}")] = f"cannot be deleted: {error.strerror}"


def _as_folder(batch: Path, scratch: Path) -> Path:
    """The batch as a folder; an archive is unpacked into ``scratch``, which must not exist yet.

    Raises:
        InvalidBatchError: the batch is neither folder nor archive, or has a file that can't be
            versioned (see ``inbox.problem_of``), or a file of the archive is refused.
        ValueError: the archive can't be read.
        OSError: the batch can't be read, or the archive can't be unpacked for want of space.
    """
    name = readable(batch.name)
    if is_archive(batch):
        scratch.mkdir()
        if refused := unpack(batch, scratch):
            raise InvalidBatchError(f"{name}: {refused[0].reason}: {refused[0].value}")
        return content_root(scratch)
    if (kind := kind_of(batch)) != "a folder":
        raise InvalidBatchError(f"{name} is {kind}, neither a folder nor a .zip or .tar archive")
    if problem := problem_of(batch):
        raise InvalidBatchError(f"{name}: {problem}")
    return batch


def _check(content: Path, scratch: Path, params: Params, known: dict[str, str]) -> pd.DataFrame:
    """Ingest a batch into a catalog of its own, to see whether it is valid.

    Args:
        content: folder of the batch.
        scratch: new folder for the catalog.
        params: ``ingest`` limits the share of refused records.
        known: name by sha256 of the images that the training data have already.

    Returns:
        One row per image: split, file_name, sha256.

    Raises:
        ValueError: too many records are refused, the batch has a split other than train, some of its
            images are known, or an image can't be decoded and would fail every training.
    """
    scratch.mkdir()
    section = params.ingest
    data_set = DataSet(layout(content), content, path_prefix=None)
    totals = ingest([data_set], scratch, shard_mb=section.shard_mb, workers=1)
    refused = totals.invalid.total()
    if not totals.records and not totals.images:
        raise InvalidBatchError("holds no labelled image")
    if refused > section.max_quarantined * totals.records or not totals.images:
        rows = read_table(scratch / "quarantine.parquet").head(_MAX_NAMED)
        lines = [
            f"  {r.file} {r.item}: {r.reason}: {r.value}".replace(" :", ":")
            for r in rows.itertuples(index=False)
        ]
        raise InvalidBatchError(
            f"{refused} of {totals.records} records are invalid, ingest.max_quarantined allows "
            f"{section.max_quarantined:.2%}:\n" + "\n".join(lines)
        )
    if totals.unused:
        unused = totals.unused[0]
        raise InvalidBatchError(f"{unused.file} is not used: {unused.value}")
    catalog = Catalog(scratch)
    images = catalog.images[["split", "file_name", "sha256"]]
    if others := sorted(set(images["split"]) - {"train"}):
        raise InvalidBatchError(f"holds the split {', '.join(others)}; a batch may only add to train")
    duplicates = [f"{file} is {known[digest]}" for digest, file in _digests(images) if digest in known]
    if duplicates:
        raise InvalidBatchError(
            f"{len(duplicates)} images are in the data already: {'; '.join(duplicates[:_MAX_NAMED])}"
        )
    files = zip(images.index.tolist(), images["file_name"].tolist(), strict=True)
    undecodable = [file for image_id, file in files if not _decodes(catalog, image_id)]
    if undecodable:
        raise InvalidBatchError(
            f"{len(undecodable)} images cannot be decoded: {'; '.join(undecodable[:_MAX_NAMED])}"
        )
    return images


def _decodes(catalog: Catalog, image_id: int) -> bool:
    """Whether an image can be decoded; ``ingest`` looks at the header and the end of most images."""
    try:
        catalog.image(image_id)
    except ValueError:
        return False
    return True


def _digests(images: pd.DataFrame) -> Iterable[tuple[str, str]]:
    """(sha256, file name) of each row of ``images``."""
    return zip(images["sha256"].tolist(), images["file_name"].tolist(), strict=True)


def _known_images(ws: Workspace) -> dict[str, str]:
    """File name by sha256 of all images in the catalog; empty if there is no catalog yet."""
    path = ws.catalog / "images.parquet"
    if not path.is_file():
        return {}
    images = read_table(path, columns=["file_name", "sha256"])
    return {digest: file for digest, file in _digests(images) if digest}


def _accept(ws: Workspace, name: str, content: Path) -> Path:
    """Move a batch to ``data/batches`` under the next number, and delete its archive in the inbox.

    Args:
        ws: the workspace.
        name: name of the batch in the inbox.
        content: folder with its files: the batch itself, or its unpacked archive.

    Returns:
        The new folder, such as ``data/batches/0001-NAME``.

    Raises:
        OSError: a file can't be moved or deleted; nothing is accepted then.
    """
    last = max((number(p.name) for p in folders(ws.batches)), default=0)
    plain = re.sub(r"[^\w.-]+", "-", short_name(name)).strip(".-")
    plain = plain.removesuffix(".dvc") or "batch"  # DVC takes a folder NAME.dvc for one of its files
    folder = ws.batches / f"{last + 1:04d}-{plain}"
    ws.batches.mkdir(parents=True, exist_ok=True)
    move(content, folder)
    if (ws.inbox / name).is_file():  # the archive that it was unpacked from
        try:
            (ws.inbox / name).unlink()
        except OSError:  # it would be taken again by the next call
            move(folder, content)
            raise
    return folder


def _count_images(batch: Path) -> int:
    """Number of image files in a folder and below; 0 for an archive, or a folder that can't be read."""
    try:
        if kind_of(batch) != "a folder":
            return 0
        names = [entry.name for entry in walk(batch)]
    except OSError:
        return 0
    return sum(not is_junk(n) and Path(n).suffix.lower() in IMAGE_SUFFIXES for n in names)
