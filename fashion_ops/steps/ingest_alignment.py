"""Step ``ingest_alignment``: FLD, DeepFashion's other benchmarks and LSP -> a catalog each.

Every record that comes in ends in a catalog's garments.parquet or in its quarantine.parquet, there
with file, line and reason; the totals are printed and add up. Too many refusals fail the step, and
the catalogs that were there stay.
"""

from functools import partial
from pathlib import Path

from fashion_ops.catalog.alignment.ingest import Totals, ingest
from fashion_ops.params import Params
from fashion_ops.progress import track
from fashion_ops.workspace import Workspace, publish, seen_from

_TOP = 5


def run(params: Params, ws: Workspace) -> dict[str, float]:
    """Read the data sets named by ``params.ingest_alignment`` and write ``ws.alignment_catalog``.

    Returns:
        By data set: garments and quarantined records.

    Raises:
        ValueError: a data set is missing, or more than ``max_quarantined`` of its records are refused.
    """
    wanted = params.ingest_alignment
    metrics = {}
    with publish(ws.alignment_catalog) as folder:
        for name in wanted.sources:
            root = ws.root / wanted.root / name
            if not root.is_dir():
                raise ValueError(f"{root}: no such folder (ingest_alignment.root, .sources: {name})")
            (folder / name).mkdir()
            prefix = seen_from(ws.alignment_catalog / name, root, f"{wanted.root}/{name}")
            person = name == "lsp" and wanted.lsp_convention == "person"
            totals = ingest(
                "lsp_person_centric" if person else name,
                root,
                folder / name,
                path_prefix=None if wanted.copy_images else prefix,
                shard_mb=wanted.shard_mb,
                progress=partial(track, description=f"ingest_alignment, {name}"),
            )
            _judge(totals, wanted.max_quarantined, root)
            garments = totals.garments.total()
            print(
                f"ingest_alignment, {name}: {totals.records} records = {garments} garments "
                f"+ {totals.quarantined} quarantined"
            )
            metrics |= {f"{name}_garments": garments, f"{name}_quarantined": totals.quarantined}
    return {key: float(value) for key, value in metrics.items()}


def _judge(totals: Totals, limit: float, root: Path) -> None:
    """Raise if too many records are refused."""
    if totals.quarantined <= limit * totals.records:
        return
    reasons = []
    for reason, count in totals.reasons.most_common(_TOP):
        example = totals.examples[reason]
        reasons.append(
            f"  {count} x {reason}; for example {example.file}, line {example.line}, {example.item}: "
            f"{example.value}"
        )
    raise ValueError(
        f"{root}: {totals.quarantined} of {totals.records} records are unsound, "
        f"ingest_alignment.max_quarantined allows {limit:.2%}. Most frequent:\n" + "\n".join(reasons)
    )
