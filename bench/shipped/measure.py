"""How good models are on labelled photos: landmarks in labelled and in own boxes, and the boxes.

    python -m bench.shipped.measure --labels FILE [--models FOLDER] [--folds 4]

``--labels`` is a COCO file of labelled photos beside its images, as DeepFashion2's converter writes it.
``--models`` is a folder with detector, postprocess and landmarker; the default are the models in the
package. Prints a table: AP and mean OKS of the universal landmarks in labelled boxes, AP in own boxes,
box AP, and the garments that a reported box finds: from the threshold on, of the right category, and
with an IoU of at least 0.5. Intervals are those of the photos, drawn 2,000 times. ``--folds``
prints the same numbers of each fold, for choices between models.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd

from bench.wardrobe_ablation import labelled
from fashion_ops.catalog.splits import Split, read_whole
from fashion_ops.evaluation.boxes import score_boxes
from fashion_ops.evaluation.coco import detections, ground_truth
from fashion_ops.evaluation.garment_oks import garment_oks, photo_interval
from fashion_ops.evaluation.oks import score_landmarks
from fashion_ops.evaluation.threshold import right_detections
from fashion_ops.inference.landmark_pipeline import LandmarkPipeline
from fashion_ops.inference.predictions import BOX_KINDS, detect, landmarks_with
from fashion_ops.methods.centernet.inference import Detector
from fashion_ops.methods.centernet.postprocess_file import read_postprocess, read_threshold
from fashion_ops.methods.detection.sources import DetectedBoxes
from fashion_ops.methods.parts.blocks import loaded
from fashion_ops.methods.parts.device import CPU
from fashion_ops.shipped import shipped_models

KEEP = 20  # detections of an image and category


@dataclass(frozen=True)
class Predictions:
    """What models predict on labelled photos.

    Attributes:
        boxes: the detector's.
        truth: landmarks in labelled boxes.
        own: landmarks in the detector's boxes.
        threshold: score from which on a box is reported.
    """

    boxes: pd.DataFrame
    truth: pd.DataFrame
    own: pd.DataFrame
    threshold: float

    def of(self, image_ids: np.ndarray) -> "Predictions":
        """Those on some images."""
        tables = (t[t["image_id"].isin(image_ids)] for t in (self.boxes, self.truth, self.own))
        return Predictions(*tables, self.threshold)


def predict(split: Split, models: Path) -> Predictions:
    """Predict boxes, and landmarks in both kinds of boxes."""
    post = read_postprocess(models / "postprocess")
    detector = Detector.load(models / "detector", CPU, post).without_landmark_scores()
    pipeline = LandmarkPipeline.load(models, CPU, ("universal",))
    found = detect(DetectedBoxes(detector, split.catalog.image), split.images, KEEP)
    boxes = dict(zip(BOX_KINDS, (split.garments, found), strict=True))
    tables = landmarks_with(loaded([pipeline]), split.catalog, boxes, variants=("universal",))
    truth, own = (tables[kind].get("universal", found) for kind in BOX_KINDS)
    return Predictions(found, truth, own, read_threshold(models / "postprocess"))


def measure(split: Split, found: Predictions) -> dict[str, str]:
    """The numbers of the table, by name."""
    images, garments = split.images, split.garments
    truth = ground_truth(images, garments)
    marked = garments[garments["num_labelled"] > 0]
    oks = garment_oks(marked, found.truth)
    in_labelled, in_own = (
        score_landmarks(truth, detections(table, images)).stats["AP"]
        for table in (found.truth, found.own)
    )
    reported = found.boxes[found.boxes["score"] >= found.threshold]
    right = np.zeros(0, bool)
    if len(reported):
        coco = dict(zip(images["image_id"], images["coco_id"], strict=True))
        right = right_detections(
            truth,
            reported["image_id"].map(coco).to_numpy(),
            reported["category_id"].to_numpy(),
            np.stack(reported["box"].to_list()),
            reported["score"].to_numpy(),
        )
    low, high = photo_interval(oks, marked["image_id"].to_numpy())
    return {
        "photos": str(len(images)),
        "garments": str(len(garments)),
        "AP, labelled boxes": f"{in_labelled:.3f}",
        "OKS, labelled boxes": f"{oks.mean():.3f} ({low:.3f} to {high:.3f})",
        "AP, own boxes": f"{in_own:.3f}",
        "box AP": f"{score_boxes(images, garments, found.boxes).stats['AP']:.3f}",
        "right category at IoU .5": f"{int(right.sum())} of {len(garments)}",
        "reported": str(len(reported)),
    }


def main() -> None:
    """Measure, and print a table with a row for all photos and one for each fold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--labels", type=Path, required=True)
    parser.add_argument("--models", type=Path)
    parser.add_argument("--folds", type=int, default=0)
    args = parser.parse_args()
    with TemporaryDirectory() as folder:
        ws = labelled(Path(folder), args.labels.resolve())
        split = read_whole(ws.catalog, "validation")
        found = predict(split, args.models or shipped_models())
        rows = {"all": measure(split, found)}
        for fold in range(args.folds):
            images = split.images.iloc[fold :: args.folds]
            ids = images["image_id"].to_numpy()
            garments = split.garments[split.garments["image_id"].isin(ids)]
            rows[f"fold {fold + 1}"] = measure(Split(split.catalog, images, garments), found.of(ids))
    print("| | " + " | ".join(rows["all"]) + " |\n" + "|---" * (len(rows["all"]) + 1) + "|")
    for name, row in rows.items():
        print(f"| {name} | " + " | ".join(row.values()) + " |")


if __name__ == "__main__":
    main()
