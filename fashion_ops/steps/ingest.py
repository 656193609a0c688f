"""Step ``ingest``: labelled photos -> a catalog, and a quarantine for invalid records.

Every input record ends in garments.parquet or in quarantine.parquet; the totals are printed and add
up. Too many invalid records fail the step, and the previous catalog stays. An image without labels is
kept as a negative.
"""

import json
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from fashion_ops.catalog.ingest import DataSet, ingest
from fashion_ops.catalog.provenance import note_drawn
from fashion_ops.catalog.sources.archive import content_root, is_archive, named_after, unpack
from fashion_ops.catalog.sources.batches import folders
from fashion_ops.catalog.sources.remote import RECORD, fetch
from fashion_ops.catalog.writer import Totals
from fashion_ops.files.outputs import check_inputs
from fashion_ops.files.uris import is_uri
from fashion_ops.params import Params
from fashion_ops.progress import phase, track
from fashion_ops.workspace import Workspace, publish, seen_from


def run(params: Params, ws: Workspace) -> dict[str, float]:
    """Read the data set ``ingest.root`` and all accepted batches, and write ``ws.catalog``.

    The root is a folder or an archive, relative to the workspace, absolute, or behind a URI such as
    ``s3://BUCKET/deepfashion2.zip``. What is behind a URI is fetched for the time of the step, and
    ``source.json`` in the catalog records its version.

    With ``copy_images: false`` the images stay where they are: images.parquet names them relative to
    the catalog's folder, or by their absolute path if the root is absolute, and ``sha256`` is empty.

    Returns:
        images, garments and quarantined: their numbers; the same by split as ``images_train`` and so
        on.

    Raises:
        OutputRefused: the data set lies in the catalog's place.
        ValueError: there is no such data set, it is an archive or behind a URI and ``copy_images`` is
            false, or more than ``max_quarantined`` of the records are refused.
    """
    return run_into(params, ws, ws.catalog, batches=True)


def run_into(params: Params, ws: Workspace, catalog: Path, *, batches: bool) -> dict[str, float]:
    """Do as ``run``, for any catalog and with or without the accepted batches."""
    section = params.ingest
    remote = is_uri(section.root)
    root = ws.root / section.root
    if not remote and not root.exists():
        raise ValueError(f"{root}: no such file or folder (ingest.root = {section.root!r})")
    if not remote:
        check_inputs(catalog, [root])
    if not section.copy_images and (remote or is_archive(root)):
        what, where = ("a URI", section.root) if remote else ("an archive", root)
        raise ValueError(f"{where}: {what} can only be ingested with copy_images: true")
    with ExitStack() as stack:
        folder = stack.enter_context(publish(catalog))
        refused_members = []
        if remote:
            fetched = _scratch(stack, folder)
            with phase(f"ingest, fetching {section.root}"):
                root, record = fetch(section.root, fetched)
            (folder / RECORD).write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
            stack.enter_context(named_after(section.root, root))
        if is_archive(root):
            scratch = _scratch(stack, folder)
            refused_members = unpack(root, scratch)
            stack.enter_context(named_after(root, scratch))
            root = content_root(scratch)

        def data_set(source: str, root: Path, name: str) -> DataSet:
            prefix = None if section.copy_images else seen_from(catalog, root, name)
            return DataSet(source, root, prefix)

        data_sets = [data_set(section.source, root, section.root)]
        accepted = folders(ws.batches) if batches else []
        note_drawn(folder, root, accepted)
        if accepted:
            data_sets.append(data_set("batches", ws.batches.parent, ws.batches.parent.name))
        totals = ingest(
            data_sets,
            folder,
            shard_mb=section.shard_mb,
            workers=params.distributed.workers,
            known_refusals=refused_members,
            progress=partial(track, description="ingest, chunks"),
        )
        totals.check_quarantined(section.max_quarantined, section.root, "ingest")
    metrics = _metrics(totals)
    print(
        f"ingest: {totals.records} records = {metrics['garments']:.0f} garments "
        f"+ {metrics['quarantined']:.0f} quarantined, on {metrics['images']:.0f} images"
    )
    if crowds := totals.crowds.total():
        print(f"ingest: {crowds} of the quarantined are crowd regions, which are valid but no garments")
    for refusal in totals.unused:
        print(f"ingest: not used: {refusal.file}: {refusal.value}")
    return metrics


def _scratch(stack: ExitStack, folder: Path) -> Path:
    """An empty folder beside ``folder`` that is deleted with ``stack``."""
    return Path(stack.enter_context(TemporaryDirectory(prefix=".unpacked-", dir=folder.parent)))


def _metrics(totals: Totals) -> dict[str, float]:
    """Numbers of images, garments and quarantined records, over all and by split."""
    counts = {"images": totals.images, "garments": totals.garments, "quarantined": totals.quarantined}
    metrics = {name: float(count.total()) for name, count in counts.items()}
    for split in sorted(totals.images | totals.garments | totals.quarantined):
        metrics |= {f"{name}_{split or 'archive'}": float(c[split]) for name, c in counts.items()}
    return metrics
