"""New labelled data: from ``data/inbox`` into the training data, or to ``data/rejected`` with a reason.

A user copies a batch to ``data/inbox/NAME`` (a folder in DeepFashion2's or COCO's layout, or an archive
of one), then adds an empty file ``data/inbox/NAME.ready``: only its owner knows when the copy is
complete. Complete batches wait until together they have enough images for a training. A valid batch
becomes ``data/batches/0001-NAME``, is versioned by DVC and read by the next ``ingest``; an invalid one
is moved away whole.

A batch may only add to the training split: the champion and its challengers are evaluated on one
validation split that stays as it is.
"""

import re
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from fashion_ops.catalog.ingest import DataSet, ingest
from fashion_ops.catalog.sources.archive import content_root, is_archive, unpack
from fashion_ops.catalog.sources.base import IMAGE_SUFFIXES
from fashion_ops.catalog.sources.batches import folders, layout, number
from fashion_ops.ledger import Ledger
from fashion_ops.params import Params
from fashion_ops.reading import read_table
from fashion_ops.workspace import Workspace

READY_SUFFIX = ".ready"
REASON_SUFFIX = ".reason.txt"
_MAX_NAMED = 20  # refused records named in a reason


class InvalidBatchError(ValueError):
    """A batch is refused; the message says why."""


@dataclass(frozen=True)
class NewBatches:
    """The batches in ``data/inbox``.

    Args:
        num_images: for each complete batch, by name, the number of its images; 0 for an archive.
        incomplete: names of the batches that are not marked as complete.
    """

    num_images: dict[str, int]
    incomplete: list[str]

    def why_wait(self, min_images: int) -> str | None:
        """The reason to process no batch yet; None if there are ``min_images`` images or an archive."""
        if not self.num_images:
            names = ", ".join(self.incomplete)
            if names:
                return f"no batch is ready; not marked as {READY_SUFFIX}: {names}"
            return "nothing there"
        total = sum(self.num_images.values())
        if total >= min_images or 0 in self.num_images.values():  # 0: an archive, opened later
            return None
        return f"{total} images are ready, batches.min_images is {min_images}"


@dataclass
class BatchResults:
    """What became of the complete batches.

    Args:
        accepted: names of the new folders in ``data/batches``.
        rejected: why each refused batch was refused, by its name.
        waiting: why the other batches wait; "" if none does.
    """

    accepted: list[str] = field(default_factory=list)
    rejected: dict[str, str] = field(default_factory=dict)
    waiting: str = ""


def find_batches(ws: Workspace) -> NewBatches:
    """List the batches in ``data/inbox`` and count their images by file names; no file is opened."""
    if not ws.inbox.is_dir():
        return NewBatches({}, [])
    names = sorted(p.name for p in ws.inbox.iterdir() if not p.name.startswith("."))
    batches = [name for name in names if not name.endswith(READY_SUFFIX)]
    complete = {n: _count_images(ws.inbox / n) for n in batches if f"{n}{READY_SUFFIX}" in names}
    return NewBatches(complete, [name for name in batches if name not in complete])


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
            try:
                content = _as_folder(ws.inbox / name, Path(scratch, str(i)))
                images = _check(content, Path(scratch, f"catalog-{i}"), params, known)
            except ValueError as error:  # InvalidBatchError, or an error of a source
                results.rejected[name] = str(error)
                _reject(ws, name, str(error))
                continue
            known |= {digest: f"{name}/{file}" for digest, file in _digests(images)}
            valid.append((name, content, len(images)))
        total = sum(count for _, _, count in valid)
        if total < min_images:
            results.waiting = f"{total} images in valid batches, batches.min_images is {min_images}"
            return results
        for name, content, _ in valid:
            folder = _accept(ws, name, content)
            ledger.add(folder)
            results.accepted.append(folder.name)
    return results


def _as_folder(batch: Path, scratch: Path) -> Path:
    """The batch as a folder; an archive is unpacked into ``scratch``, which must not exist yet.

    Raises:
        InvalidBatchError: the batch is neither folder nor archive, or holds a link, or a file of the
            archive is refused.
        ValueError: the archive can't be read.
    """
    if is_archive(batch):
        scratch.mkdir()
        if refused := unpack(batch, scratch):
            raise InvalidBatchError(f"{batch.name}: {refused[0].reason}: {refused[0].value}")
        return content_root(scratch)
    if not batch.is_dir():
        raise InvalidBatchError(f"{batch.name}: neither a folder nor a .zip or .tar archive")
    if links := [p for p in batch.rglob("*") if p.is_symlink()]:
        raise InvalidBatchError(f"{batch.name}: links may lead anywhere: {links[0].relative_to(batch)}")
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
        ValueError: too many records are refused, the batch has a split other than train, or some of
            its images are known.
    """
    scratch.mkdir()
    section = params.ingest
    data_set = DataSet(layout(content), content, path_prefix=None)
    totals = ingest([data_set], scratch, shard_mb=section.shard_mb, workers=1)
    refused = totals.unsound.total()
    if refused > section.max_quarantined * totals.records or not totals.images:
        rows = read_table(scratch / "quarantine.parquet").head(_MAX_NAMED)
        lines = [
            f"  {r.file} {r.item}: {r.reason}: {r.value}".replace(" :", ":")
            for r in rows.itertuples(index=False)
        ]
        raise InvalidBatchError(
            f"{refused} of {totals.records} records are unsound, ingest.max_quarantined allows "
            f"{section.max_quarantined:.2%}:\n" + "\n".join(lines)
        )
    if totals.unused:
        unused = totals.unused[0]
        raise InvalidBatchError(f"{unused.file} is not used: {unused.value}")
    images = read_table(scratch / "images.parquet", columns=["split", "file_name", "sha256"])
    if others := sorted(set(images["split"]) - {"train"}):
        raise InvalidBatchError(f"holds the split {', '.join(others)}; a batch may only add to train")
    duplicates = [f"{file} is {known[digest]}" for digest, file in _digests(images) if digest in known]
    if duplicates:
        raise InvalidBatchError(
            f"{len(duplicates)} images are in the data already: {'; '.join(duplicates[:_MAX_NAMED])}"
        )
    return images


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
    """Move a batch to ``data/batches`` under the next number, and delete what is left in the inbox.

    Args:
        ws: the workspace.
        name: name of the batch in the inbox.
        content: folder with its files: the batch itself, or its unpacked archive.

    Returns:
        The new folder, such as ``data/batches/0001-NAME``.
    """
    last = max((number(p.name) for p in folders(ws.batches)), default=0)
    plain = re.sub(r"[^\w.-]+", "-", Path(name).name).strip(".-") or "batch"
    folder = ws.batches / f"{last + 1:04d}-{plain}"
    ws.batches.mkdir(parents=True, exist_ok=True)
    content.rename(folder)
    if (ws.inbox / name).is_file():  # the archive that it was unpacked from
        (ws.inbox / name).unlink()
    (ws.inbox / f"{name}{READY_SUFFIX}").unlink(missing_ok=True)
    return folder


def _reject(ws: Workspace, name: str, reason: str) -> None:
    """Move a batch from the inbox to ``data/rejected``, and write the reason into a file beside it.

    If a rejected batch has this name already, the new one is called NAME-2, NAME-3 and so on.
    """
    ws.rejected.mkdir(parents=True, exist_ok=True)
    target, number_of_name = ws.rejected / name, 1
    while target.exists():
        number_of_name += 1
        target = ws.rejected / f"{name}-{number_of_name}"
    target.with_name(f"{target.name}{REASON_SUFFIX}").write_text(
        f"{name}: {reason}\n", encoding="utf-8"
    )
    shutil.move(ws.inbox / name, target)
    (ws.inbox / f"{name}{READY_SUFFIX}").unlink(missing_ok=True)


def _count_images(batch: Path) -> int:
    """Number of image files in a folder and below; 0 for an archive."""
    if not batch.is_dir():
        return 0
    return sum(p.suffix.lower() in IMAGE_SUFFIXES for p in batch.rglob("*"))
