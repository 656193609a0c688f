"""Draw the wardrobe in the formats of alignment data: FLD, Category & Attribute, In-shop, C2S, LSP.

Stands in for data that has to be asked for, so that everything after it runs without.
"""

from fashion_ops import progress
from fashion_ops.params import Params
from fashion_ops.synthetic.alignment.generate import generate
from fashion_ops.workspace import Workspace, publish


def run(params: Params, ws: Workspace) -> dict[str, float]:
    """Write ``ws.alignment_raw``; returns the images of each data set.

    The bytes depend on ``params.seed`` and ``params.synthesize_alignment``, not on the number of
    workers.
    """
    with publish(ws.alignment_raw) as folder:
        counts = generate(
            params.synthesize_alignment,
            folder,
            seed=params.seed,
            workers=params.distributed.workers,
            progress=progress.track,
        )
    return {f"{name}_images": float(count) for name, count in counts.items()}
