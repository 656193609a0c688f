"""Step ``ingest_alignment``: FLD, DeepFashion's other benchmarks and LSP -> one catalog each.

Every input record ends in a catalog's garments.parquet or in its quarantine.parquet, there with file,
line and reason; the totals are printed and add up. Too many refused records fail the step, and the
previous catalogs stay.
"""

from functools import partial

from fashion_ops.catalog.alignment.ingest import ingest
from fashion_ops.files.outputs import check_inputs
from fashion_ops.params import Params
from fashion_ops.progress import track
from fashion_ops.workspace import Workspace, publish, seen_from


def run(params: Params, ws: Workspace) -> dict[str, float]:
    """Read the data sets named by ``params.ingest_alignment`` and write ``ws.alignment_catalog``.

    Returns:
        For each data set, NAME_garments and NAME_quarantined: the number of records.

    Raises:
        OutputRefused: a data set lies in the catalogs' place.
        ValueError: a data set is missing, or more than ``max_quarantined`` of its records are refused.
    """
    section = params.ingest_alignment
    metrics = {}
    check_inputs(ws.alignment_catalog, [ws.root / section.root / name for name in section.sources])
    with publish(ws.alignment_catalog) as folder:
        for name in section.sources:
            root = ws.root / section.root / name
            if not root.is_dir():
                raise ValueError(f"{root}: no such folder (ingest_alignment.root, .sources: {name})")
            (folder / name).mkdir()
            prefix = seen_from(ws.alignment_catalog / name, root, f"{section.root}/{name}")
            person_centric = name == "lsp" and section.lsp_convention == "person"
            totals = ingest(
                "lsp_person_centric" if person_centric else name,
                root,
                folder / name,
                path_prefix=None if section.copy_images else prefix,
                shard_mb=section.shard_mb,
                progress=partial(track, description=f"ingest_alignment, {name}"),
            )
            totals.check_quarantined(section.max_quarantined, root, "ingest_alignment")
            garments, quarantined = totals.garments.total(), totals.quarantined.total()
            print(
                f"ingest_alignment, {name}: {totals.records} records = {garments} garments "
                f"+ {quarantined} quarantined"
            )
            metrics |= {f"{name}_garments": garments, f"{name}_quarantined": quarantined}
    return {key: float(value) for key, value in metrics.items()}
