"""Draw the synthetic wardrobe: people in labelled clothes, in DeepFashion2's released layout.

It stands in for a real data set, so that all later steps run on a machine without one.
"""

from collections import Counter

from fashion_ops import progress
from fashion_ops.catalog.origin_names import WARDROBE
from fashion_ops.params import Params
from fashion_ops.synthetic.wardrobe.generate import SPLITS, generate
from fashion_ops.workspace import Workspace, publish


def run(params: Params, ws: Workspace) -> dict[str, float]:
    """Draw the wardrobe into ``ws.raw``; its bytes do not depend on the number of workers.

    Returns:
        SPLIT_images and SPLIT_garments: the numbers drawn for each split.

    Raises:
        ValueError: ``ws.raw`` holds a data set that was not drawn here, or the user's photos for
            backgrounds or fabrics are missing or cannot be read.
    """
    if ws.raw.is_dir() and any(ws.raw.iterdir()) and not (ws.raw / WARDROBE).is_file():
        raise ValueError(
            f"{ws.raw}: has no {WARDROBE}, so `synthesize` did not make it and does not replace it; "
            "move it, and name its new place in ingest.root"
        )
    section = params.synthesize
    images: Counter[str] = Counter()
    garments: Counter[str] = Counter()
    with publish(ws.raw) as folder:
        workers = params.distributed.workers
        generated = generate(section, folder, seed=params.seed, workers=workers, root=ws.root)
        for split, items in progress.track(generated, "synthesize", section.train + section.validation):
            images[split] += 1
            garments[split] += items
    return {
        f"{split}_{name}": float(count[split])
        for split in SPLITS
        for name, count in (("images", images), ("garments", garments))
    }
