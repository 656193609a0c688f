"""New labelled data: from ``data/inbox`` into the training data, or to ``data/rejected`` with a reason.

Somebody drops a batch, ``data/inbox/NAME`` (a folder in DeepFashion2's or COCO's layout, or an archive
of one), and when all of it is there an empty file ``data/inbox/NAME.ready`` beside it: only its owner
knows when a copy is complete. Ready batches wait until together they are worth a training. A sound
batch becomes ``data/batches/0001-NAME``, is versioned by DVC and read by the next ``ingest``; an
unsound one is moved away whole.

A batch may only add to the training split: the champion and its challengers are judged on one
validation split that stays as it is.
"""

import re
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd

from fashion_ops.catalog.ingest import ingest
from fashion_ops.catalog.sources.archive import content_root, is_archive, unpack
from fashion_ops.catalog.sources.base import IMAGE_SUFFIXES
from fashion_ops.catalog.sources.batches import folders, layout, number
from fashion_ops.ledger import Ledger
from fashion_ops.params import Params
from fashion_ops.workspace import Workspace

READY = ".ready"
REASON = ".reason.txt"
_SHOWN = 20  # refused records named in a reason


class Unsound(ValueError):
    """A batch is refused; the message says why."""


@dataclass(frozen=True)
class Inbox:
    """What lies in the inbox. ``ready``: name -> number of images; 0 for an archive."""

    ready: dict[str, int]
    unmarked: list[str]

    @property
    def images(self) -> int:
        return sum(self.ready.values())

    def shortfall(self, least: int) -> str | None:
        """Why nothing is taken yet; None when the ready batches are worth it."""
        if not self.ready:
            names = ", ".join(self.unmarked)
            return f"no batch is ready; not marked as {READY}: {names}" if names else "nothing there"
        if self.images >= least or 0 in self.ready.values():  # an archive is looked into when taken
            return None
        return f"{self.images} images are ready, batches.min_images is {least}"


@dataclass
class Taken:
    """What became of the ready batches."""

    accepted: list[str] = field(default_factory=list)
    rejected: dict[str, str] = field(default_factory=dict)
    waiting: str = ""


def look(ws: Workspace) -> Inbox:
    """What is in the inbox now, counted by names alone."""
    if not ws.inbox.is_dir():
        return Inbox({}, [])
    names = sorted(p.name for p in ws.inbox.iterdir() if not p.name.startswith("."))
    batches = [name for name in names if not name.endswith(READY)]
    ready = {n: _count(ws.inbox / n) for n in batches if f"{n}{READY}" in names}
    return Inbox(ready, [name for name in batches if name not in ready])


def take(params: Params, ws: Workspace, ledger: Ledger) -> Taken:
    """Judge the ready batches, if they are enough; add the sound ones to the training data.

    A crash loses nothing: a batch is in the inbox or among the accepted, and what was accepted but not
    yet versioned is versioned by the next call.

    Raises:
        LedgerError: DVC could not version a batch.
    """
    for folder in folders(ws.batches):
        if not folder.with_name(f"{folder.name}.dvc").is_file():
            ledger.add(folder)
    found, taken = look(ws), Taken()
    if why := found.shortfall(params.batches.min_images):
        return Taken(waiting=why)
    known = _known(ws)
    sound: list[tuple[str, Path, pd.DataFrame]] = []
    with tempfile.TemporaryDirectory(prefix=".inbox-", dir=ws.inbox.parent) as scratch:
        for i, name in enumerate(found.ready):
            try:
                content = _content(ws.inbox / name, Path(scratch, str(i)))
                images = _judge(content, Path(scratch, f"catalog-{i}"), params, known)
            except ValueError as error:  # Unsound, and whatever a source finds wrong
                taken.rejected[name] = str(error)
                _reject(ws, name, str(error))
                continue
            known |= {digest: f"{name}/{file}" for digest, file in _pairs(images)}
            sound.append((name, content, images))
        total = sum(len(images) for _, _, images in sound)
        if total < params.batches.min_images:
            taken.waiting = f"{total} sound images, batches.min_images is {params.batches.min_images}"
            return taken
        for name, content, _ in sound:
            folder = _accept(ws, name, content)
            ledger.add(folder)
            taken.accepted.append(folder.name)
    return taken


def _content(batch: Path, scratch: Path) -> Path:
    """The batch as a folder; an archive is unpacked into ``scratch``."""
    if is_archive(batch):
        scratch.mkdir()
        if refused := unpack(batch, scratch):
            raise Unsound(f"{batch.name}: {refused[0].reason}: {refused[0].value}")
        return content_root(scratch)
    if not batch.is_dir():
        raise Unsound(f"{batch.name}: neither a folder nor a .zip or .tar archive")
    if links := [p for p in batch.rglob("*") if p.is_symlink()]:
        raise Unsound(f"{batch.name}: links may lead anywhere: {links[0].relative_to(batch)}")
    return batch


def _judge(content: Path, scratch: Path, params: Params, known: dict[str, str]) -> pd.DataFrame:
    """The images of a sound batch, as ``ingest`` reads them.

    Raises:
        ValueError: it is unsound; says why.
    """
    scratch.mkdir()
    wanted = params.ingest
    totals = ingest(
        layout(content), content, scratch, path_prefix=None, shard_mb=wanted.shard_mb, workers=1
    )
    refused = totals.quarantined.total()
    if refused > wanted.max_quarantined * totals.records or not totals.garments:
        rows = pd.read_parquet(scratch / "quarantine.parquet").head(_SHOWN)
        lines = [
            f"  {r.file} {r.item}: {r.reason}: {r.value}".replace(" :", ":")
            for r in rows.itertuples(index=False)
        ]
        raise Unsound(
            f"{refused} of {totals.records} records are unsound, ingest.max_quarantined allows "
            f"{wanted.max_quarantined:.2%}:\n" + "\n".join(lines)
        )
    images = pd.read_parquet(scratch / "images.parquet", columns=["split", "file_name", "sha256"])
    if others := sorted(set(images["split"]) - {"train"}):
        raise Unsound(f"holds the split {', '.join(others)}; a batch may only add to train")
    again = [f"{file} is {known[digest]}" for digest, file in _pairs(images) if digest in known]
    if again:
        raise Unsound(f"{len(again)} images are in the data already: {'; '.join(again[:_SHOWN])}")
    return images


def _pairs(images: pd.DataFrame) -> Iterable[tuple[str, str]]:
    return zip(images["sha256"].tolist(), images["file_name"].tolist(), strict=True)


def _known(ws: Workspace) -> dict[str, str]:
    """sha256 -> name of each image of the catalog."""
    path = ws.catalog / "images.parquet"
    if not path.is_file():
        return {}
    return {d: f for d, f in _pairs(pd.read_parquet(path, columns=["file_name", "sha256"])) if d}


def _accept(ws: Workspace, name: str, content: Path) -> Path:
    """Move a batch among the accepted, under the next number; then its remains leave the inbox."""
    last = max((number(p.name) for p in folders(ws.batches)), default=0)
    plain = re.sub(r"[^\w.-]+", "-", Path(name).name).strip(".-") or "batch"
    folder = ws.batches / f"{last + 1:04d}-{plain}"
    ws.batches.mkdir(parents=True, exist_ok=True)
    content.rename(folder)
    if (ws.inbox / name).is_file():  # the archive that it was
        (ws.inbox / name).unlink()
    (ws.inbox / f"{name}{READY}").unlink(missing_ok=True)
    return folder


def _reject(ws: Workspace, name: str, reason: str) -> None:
    """Move a batch to ``data/rejected``, its reason beside it; an older one of that name stays."""
    ws.rejected.mkdir(parents=True, exist_ok=True)
    target, again = ws.rejected / name, 1
    while target.exists():
        again += 1
        target = ws.rejected / f"{name}-{again}"
    target.with_name(f"{target.name}{REASON}").write_text(f"{name}: {reason}\n", encoding="utf-8")
    shutil.move(ws.inbox / name, target)
    (ws.inbox / f"{name}{READY}").unlink(missing_ok=True)


def _count(batch: Path) -> int:
    if not batch.is_dir():
        return 0
    return sum(p.suffix.lower() in IMAGE_SUFFIXES for p in batch.rglob("*"))
