"""Draw the wardrobe in the formats of FLD, Category & Attribute, In-shop, Consumer-to-shop and LSP.

It stands in for data sets that are given on request only, so that all later steps run without them.
"""

from fashion_ops import progress
from fashion_ops.params import Params
from fashion_ops.synthetic.alignment.generate import generate, is_synthetic
from fashion_ops.workspace import Workspace, publish


def run(params: Params, ws: Workspace) -> dict[str, float]:
    """Draw all data sets into ``ws.alignment_raw``; the bytes do not depend on the number of workers.

    Returns:
        NAME_images: the number drawn for each data set.

    Raises:
        ValueError: ``ws.alignment_raw`` holds data sets that were not drawn here.
    """
    folder = ws.alignment_raw
    if folder.is_dir() and any(folder.iterdir()) and not is_synthetic(folder):
        raise ValueError(
            f"{folder}: holds data that `synthesize_alignment` did not make and does not replace; move "
            "them, and name their new place in ingest_alignment.root"
        )
    with publish(ws.alignment_raw) as folder:
        counts = generate(
            params.synthesize_alignment,
            folder,
            seed=params.seed,
            workers=params.distributed.workers,
            progress=progress.track,
        )
    return {f"{name}_images": float(count) for name, count in counts.items()}
