"""The gate's paired bootstrap on an evaluation: its intervals, and its time against scoring once.

``python -m bench.bootstrap [WORKSPACE]`` reads the predictions of a finished evaluation, such as the
demo's. It compares refined with finetuned and finetuned with universal landmarks, in the roles of
challenger and champion.
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
    """Print one line for each kind of boxes and pair of variants."""
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
            interval = compare(truth, new, old, resamples=RESAMPLES, confidence=0.95, seed=0).overall
            middle = time.process_time()
            score_landmarks(truth, new)
            once = time.process_time() - middle
            print(
                f"{kind:12} {' - '.join(pair):22} {interval.difference:+.4f} "
                f"[{interval.low:+.4f}, {interval.high:+.4f}]  {middle - start:.2f} s, "
                f"{(middle - start) / (2 * once):.0f} times scoring both once"
            )


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
