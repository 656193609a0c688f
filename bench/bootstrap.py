"""The paired bootstrap of the gate on an evaluation: intervals, and time against scoring once.

``python -m bench.bootstrap [WORKSPACE]``, after the demo: refined against finetuned and finetuned
against universal landmarks, as if they were challenger and champion.
"""

import sys
import time
from pathlib import Path

import pandas as pd

from fashion_ops.catalog.reader import Catalog
from fashion_ops.evaluation.bootstrap import compare
from fashion_ops.evaluation.coco import detections, ground_truth
from fashion_ops.evaluation.oks import score_landmarks
from fashion_ops.workspace import Workspace

RESAMPLES = 1000


def main(root: Path) -> None:
    """Print one line a pair and kind of boxes."""
    ws = Workspace(root)
    catalog = Catalog(ws.catalog)
    images = catalog.images[catalog.images["split"] == "validation"]
    truth = ground_truth(images, catalog.garments[catalog.garments["split"] == "validation"])
    print(f"{len(images)} images, {len(truth.ids)} garments, {RESAMPLES} resamples")
    for kind in ("truth_boxes", "own_boxes"):
        for pair in (("refined", "finetuned"), ("finetuned", "universal")):
            new, old = (
                detections(
                    pd.read_parquet(ws.evaluation / "predictions" / kind / f"{row}.parquet"), images
                )
                for row in pair
            )
            start = time.process_time()
            made = compare(truth, new, old, resamples=RESAMPLES, confidence=0.95, seed=0).overall
            middle = time.process_time()
            score_landmarks(truth, new)
            once = time.process_time() - middle
            print(
                f"{kind:12} {' - '.join(pair):22} {made.difference:+.4f} "
                f"[{made.low:+.4f}, {made.high:+.4f}]  {middle - start:.2f} s, "
                f"{(middle - start) / (2 * once):.0f} times scoring both once"
            )


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
