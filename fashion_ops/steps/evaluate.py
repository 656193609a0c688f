"""Step ``evaluate``: judge every model on the validation split, with its boxes and with our own.

Rows: mean shape, CenterNet's own landmarks, universal, finetuned, refined and, where ``evaluate``
names further model sets, the ensemble of their finetuned landmarks and ours. With ground-truth boxes
the landmarkers alone are judged; with our own, the whole system: those of CenterNet, of
``train_box_detector`` or of a file, as ``evaluate.boxes`` says. Writes ``ws.evaluation``:
metrics.json, the tables as CSV, every prediction as parquet, the images and the report.
"""

import json
import logging
from typing import Any

import pandas as pd

from fashion_ops.catalog.reader import Catalog
from fashion_ops.evaluation.clusters import errors_by_cluster
from fashion_ops.evaluation.mean_shape import fit_mean_shape, predict_mean_shape
from fashion_ops.evaluation.oks_nms import suppress
from fashion_ops.evaluation.tables import Evaluation, evaluate_tables
from fashion_ops.inference.box_sources import open_boxes
from fashion_ops.inference.predictions import detect, landmark_tables, write_predictions
from fashion_ops.inference.predictor import LandmarkPipeline
from fashion_ops.methods.centernet.inference import Detector
from fashion_ops.methods.centernet.postprocess_file import read_postprocess
from fashion_ops.methods.detection.inference import holds_detector
from fashion_ops.methods.detection.sources import DetectedBoxes
from fashion_ops.methods.parts.history import read_losses
from fashion_ops.params import Params
from fashion_ops.reports.gallery import draw_images, write_images
from fashion_ops.reports.postprocess_plots import LABELS, PAPER
from fashion_ops.reports.report import Tuning, write_report
from fashion_ops.taxonomy import CATEGORY_NAMES
from fashion_ops.workspace import Workspace, publish

log = logging.getLogger(__name__)

# Sections that no judged model depends on.
NOT_JUDGED = {"distributed", "registration", "promote", "retrain", "inbox", "drift", "notify"}


def run(params: Params, ws: Workspace) -> dict[str, float]:
    """Judge and report.

    Returns:
        The headline numbers: landmark AP by row with ground-truth boxes and with our own, box AP.
    """
    catalog = Catalog(ws.catalog)
    split = params.evaluate.split
    images = catalog.images[catalog.images["split"] == split]
    garments = catalog.garments[catalog.garments["split"] == split]
    train = catalog.garments[catalog.garments["split"] == "train"]
    if garments.empty:
        raise ValueError(f"{ws.catalog}: no garments in split {split!r}; nothing to judge")

    shapes = fit_mean_shape(train)
    source = open_boxes(params.evaluate.boxes, ws, catalog, images)
    detector = Detector.load(ws.detector, post=read_postprocess(ws.postprocess))
    alone = detect(DetectedBoxes(detector, catalog.image), images, params.evaluate.max_detections)
    found = detect(source, images, params.evaluate.max_detections)
    pipeline = LandmarkPipeline.load(ws.detector.parent)
    others = [
        LandmarkPipeline.load(ws.root / folder, rows=("finetuned",))
        for folder in params.evaluate.ensemble
    ]

    def tables(boxes: pd.DataFrame, what: str) -> dict[str, pd.DataFrame]:
        made = landmark_tables(
            pipeline, catalog, boxes, what, score=params.evaluate.score, others=others
        )
        return {row: suppress(table, params.evaluate.oks_nms) for row, table in made.items()}

    truth_boxes = {"mean_shape": predict_mean_shape(shapes, garments)}
    truth_boxes |= tables(garments, "ground-truth boxes")
    own_boxes = {"mean_shape": predict_mean_shape(shapes, found), "detector": alone}
    own_boxes |= tables(found, "own boxes")
    evaluation = evaluate_tables(
        images,
        garments,
        truth_boxes,
        own_boxes,
        detector=found,
        train_garments=train,
        max_detections=params.evaluate.max_detections,
    )
    labels = pd.read_parquet(ws.pseudo_labels / "labels.parquet")
    clusters = errors_by_cluster(garments, truth_boxes["refined"], labels)
    metrics = headline(evaluation)
    warn_of_missing(evaluation)
    with publish(ws.evaluation) as folder:
        (folder / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
        evaluation.methods.to_csv(folder / "methods.csv", float_format="%.6f")
        evaluation.per_category.to_csv(folder / "per_category.csv", float_format="%.6f")
        clusters.to_csv(folder / "clusters.csv", index=False, float_format="%.6f")
        write_predictions(folder / "predictions", truth_boxes, own_boxes)
        images = draw_images(
            catalog.image, images, garments, own_boxes["refined"], params.evaluate.pictures
        )
        write_images(folder / "pictures", images)
        write_report(
            folder,
            evaluation,
            dataset=f"{params.ingest.source} layout, {split} split",
            num_images=len(images),
            clusters=clusters,
            tuning=tuning_facts(ws),
            images=images,
            curves=training_curves(ws),
            params=params.model_dump(mode="json", by_alias=True, exclude=NOT_JUDGED),
        )
    return {
        **{f"AP {row}": ap for row, ap in metrics["landmark_ap"].items()},
        **{f"AP {row}, own boxes": ap for row, ap in metrics["landmark_ap_own_boxes"].items()},
        "box AP": metrics["box_ap"],
        "categories without training garments": float(len(evaluation.untrained)),
        "categories without garments to judge": float(len(evaluation.unjudged)),
    }


def headline(evaluation: Evaluation) -> dict[str, Any]:
    """What ``metrics.json`` holds; AP as fractions."""
    methods, categories = evaluation.methods, evaluation.per_category
    rows = [c for c in categories.columns if c in evaluation.truth_boxes]
    return {
        "landmark_ap": methods["AP"].dropna().to_dict(),
        "landmark_ap_own_boxes": methods["own_AP"].dropna().to_dict(),
        "box_ap": evaluation.boxes.stats["AP"] if evaluation.boxes else -1.0,
        "categories_without_training": evaluation.untrained,
        "categories_without_validation": evaluation.unjudged,
        "per_category": {
            name: {
                "box_ap": row["box_AP"],
                "train": int(row["train"]),
                "validation": int(row["validation"]),
                "landmark_ap": {r: row[r] for r in rows},
            }
            for name, row in categories.iterrows()
        },
    }


def warn_of_missing(evaluation: Evaluation) -> None:
    """Name the categories that no model has seen, and those that nothing can be said of."""
    if evaluation.untrained:
        log.warning("no training garments, counted in the mean: %s", ", ".join(evaluation.untrained))
    if evaluation.unjudged:
        log.warning("no garments to judge, not in the mean: %s", ", ".join(evaluation.unjudged))


def training_curves(ws: Workspace) -> dict[str, list[float]]:
    """Loss of each epoch of every training run."""
    folders = {
        "detector": ws.detector,
        **({"box detector": ws.box_detector} if holds_detector(ws.box_detector) else {}),
        "landmarker": ws.landmarker,
        **{f"finetune {c}": ws.finetuned(c) for c in CATEGORY_NAMES},
        **{f"refine {c}": ws.refined(c) for c in CATEGORY_NAMES},
    }
    return {name: read_losses(folder) for name, folder in folders.items()}


def tuning_facts(ws: Workspace) -> Tuning:
    """What ``tune_postprocess`` chose and how it came to that."""
    post = read_postprocess(ws.postprocess)
    metrics = json.loads((ws.postprocess / "metrics.json").read_text(encoding="utf-8"))
    is_on = {
        "sigma_center": post.smooth,
        "sigma_landmark": post.smooth,
        "gamma": post.blend,
        "alpha": post.rescore,
    }
    files = {"AP over both sigmas": "sigmas.png", "AP along gamma and alpha": "curves.png"}
    return Tuning(
        values=[
            (LABELS[name], PAPER["DeepFashion2, Hourglass"][name], getattr(post, name) if on else None)
            for name, on in is_on.items()
        ],
        aps={
            name.removeprefix("AP "): metrics[name]
            for name in ("AP without techniques", "AP at the start", "AP tuned")
        },
        num_images=metrics["pictures"],
        images=[
            (caption, path.read_bytes())
            for caption, name in files.items()
            if (path := ws.postprocess / name).is_file()
        ],
    )
