"""Step ``ingest``: labelled photos as they come -> a catalog, and a quarantine for what is unsound.

Every record that comes in ends in garments.parquet or in quarantine.parquet; the totals are printed
and add up. Too many refusals fail the step, and the catalog that was there stays.
"""

from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

from fashion_ops.catalog.ingest import Origin, Totals, ingest
from fashion_ops.catalog.sources.archive import content_root, is_archive, unpack
from fashion_ops.catalog.sources.batches import folders
from fashion_ops.params import Params
from fashion_ops.progress import track
from fashion_ops.workspace import Workspace, publish, seen_from

_TOP = 5


def run(params: Params, ws: Workspace) -> dict[str, float]:
    """Read ``params.ingest.root`` (relative to the workspace, or absolute), then the accepted batches.

    With ``copy_images: false`` the images stay where they are: images.parquet names them relative to
    the catalog's folder, or by their absolute path if the root is absolute, and ``sha256`` is empty.

    Returns:
        images, garments, quarantined; the same for each split as ``images_train`` and so on.

    Raises:
        ValueError: no such data set, or more than ``max_quarantined`` of the records are refused.
    """
    wanted = params.ingest
    root = ws.root / wanted.root
    if not root.exists():
        raise ValueError(f"{root}: no such file or folder (ingest.root = {wanted.root!r})")
    with ExitStack() as stack:
        folder = stack.enter_context(publish(ws.catalog))
        refused_members = []
        if is_archive(root):
            if not wanted.copy_images:
                raise ValueError(f"{root}: an archive can only be ingested with copy_images: true")
            scratch = Path(
                stack.enter_context(TemporaryDirectory(prefix=".unpacked-", dir=folder.parent))
            )
            refused_members = unpack(root, scratch)
            root = content_root(scratch)
        totals = ingest(
            wanted.source,
            root,
            folder,
            path_prefix=None if wanted.copy_images else seen_from(ws.catalog, root, wanted.root),
            shard_mb=wanted.shard_mb,
            workers=params.distributed.workers,
            more=_batches(ws, wanted.copy_images),
            known_refusals=refused_members,
            progress=partial(track, description="ingest, chunks"),
        )
        _judge(totals, wanted.max_quarantined, wanted.root)
    metrics = _metrics(totals)
    print(
        f"ingest: {totals.records} records = {metrics['garments']:.0f} garments "
        f"+ {metrics['quarantined']:.0f} quarantined, on {metrics['images']:.0f} images"
    )
    return metrics


def _batches(ws: Workspace, copy_images: bool) -> list[Origin]:
    """The accepted batches, as one more data set."""
    if not folders(ws.batches):
        return []
    root = ws.batches.parent
    return [Origin("batches", root, None if copy_images else seen_from(ws.catalog, root, root.name))]


def _judge(totals: Totals, limit: float, root: str) -> None:
    """Raise if too many records are refused, over all or a whole split of them."""
    refused = totals.quarantined.total()
    lost = [s for s in totals.quarantined if s and not totals.garments[s]]
    if refused <= limit * totals.records and (limit == 1 or not lost):
        return
    reasons = []
    for reason, count in totals.reasons.most_common(_TOP):
        example = totals.examples[reason]
        where = " ".join(part for part in (example.split, example.file, example.item) if part)
        reasons.append(f"  {count} x {reason}; for example {where}: {example.value}")
    whole = f"; nothing is left of split {', '.join(lost)}" if lost else ""
    raise ValueError(
        f"{root}: {refused} of {totals.records} records are unsound, ingest.max_quarantined allows "
        f"{limit:.2%}{whole}. Most frequent:\n" + "\n".join(reasons)
    )


def _metrics(totals: Totals) -> dict[str, float]:
    counts = {"images": totals.images, "garments": totals.garments, "quarantined": totals.quarantined}
    metrics = {name: float(count.total()) for name, count in counts.items()}
    for split in sorted(totals.images | totals.garments | totals.quarantined):
        metrics |= {f"{name}_{split or 'archive'}": float(c[split]) for name, c in counts.items()}
    return metrics
