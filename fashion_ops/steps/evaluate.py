"""Step ``evaluate``: score every model on a split, on ground-truth boxes and on detected boxes.

The methods are the mean shape, the landmarks of CenterNet, the variants of the landmark pipeline
(universal, finetuned, refined) and, where ``evaluate.ensemble`` names further models, the ensemble of
their finetuned landmarks with ours. Ground-truth boxes evaluate the landmarks alone, detected boxes
the whole system; ``evaluate.boxes`` names their source: CenterNet, ``train_box_detector`` or a file.

Writes ``ws.evaluation``: metrics.json, reliability.json, the tables as CSV, all predictions as parquet,
the drawn images and the report. With RAY_ADDRESS set, the cluster predicts
(``distributed.block_runners``). Beside the outputs, ``ws.evaluation_hardware`` records where the
predictions were made.
"""

import json
import logging
from dataclasses import asdict
from typing import Any

import pandas as pd

from fashion_ops.catalog.reader import Catalog
from fashion_ops.catalog.training_data import held_out
from fashion_ops.distributed.block_runners import block_runners
from fashion_ops.errors.reading import read_object, read_table
from fashion_ops.evaluation.calibration import ScoredPoints, reliability
from fashion_ops.evaluation.clusters import errors_by_cluster
from fashion_ops.evaluation.keypoint_accuracy import MEAN, keypoint_accuracy
from fashion_ops.evaluation.mean_shape import fit_mean_shape, predict_mean_shape
from fashion_ops.evaluation.tables import Evaluation, evaluate_tables
from fashion_ops.inference.evaluated_models import predict_models
from fashion_ops.inference.hardware_record import record_hardware
from fashion_ops.inference.landmark_pipeline import VARIANTS
from fashion_ops.inference.predictions import write_predictions
from fashion_ops.methods.artifact import read_spec
from fashion_ops.methods.centernet.postprocess_file import read_postprocess
from fashion_ops.methods.detection.inference import holds_detector
from fashion_ops.methods.parts.history import read_losses
from fashion_ops.methods.top_down.inference import METHOD as LANDMARKER
from fashion_ops.params import Params
from fashion_ops.reports.gallery import draw_gallery, write_gallery
from fashion_ops.reports.postprocess_plots import LABELS, PAPER
from fashion_ops.reports.report import ReportContent, Tuning, write_report
from fashion_ops.taxonomy import CATEGORY_NAMES
from fashion_ops.workspace import Workspace, publish

log = logging.getLogger(__name__)

# Sections of params.yaml that the evaluated models do not depend on, left out of the report.
UNRELATED = {"distributed", "registration", "promote", "retrain", "batches", "drift", "notify"}


def run(params: Params, ws: Workspace) -> dict[str, float]:
    """Evaluate all models and write ``ws.evaluation``, with the report.

    Returns:
        Landmark AP of each method on ground-truth boxes and on detected boxes, PCK and EPE (pixels) of
        the refined landmarks, box AP, and the numbers of categories without training garments and
        without ground truth.

    Raises:
        ValueError: the catalog has no garments in ``evaluate.split``.
    """
    p = params.evaluate
    catalog = Catalog(ws.catalog)
    images = catalog.images[catalog.images["split"] == p.split]
    garments = catalog.garments[catalog.garments["split"] == p.split]
    train = catalog.garments[catalog.garments["split"] == "train"]
    share = read_spec(ws.landmarker, LANDMARKER)["training"].get("held_out", 0.0)
    unseen = train[held_out(train["image_id"].to_numpy(), share)]
    if garments.empty:
        raise ValueError(f"{ws.catalog}: no garments in split {p.split!r}; nothing to evaluate")

    with block_runners(params.distributed, ws.checkpoints, "evaluate") as open_runner:
        predicted = predict_models(
            params.evaluate, ws, catalog, images, garments, open_runner, unseen if len(unseen) else None
        )
        shapes = fit_mean_shape(train)
        truth_boxes = {"mean_shape": predict_mean_shape(shapes, garments), **predicted.truth_boxes}
        boxes, own_boxes = predicted.boxes, predicted.own_boxes
        own_boxes = {"mean_shape": predict_mean_shape(shapes, boxes), **own_boxes}
        evaluation = evaluate_tables(
            images,
            garments,
            truth_boxes,
            own_boxes,
            detector=boxes,
            train_garments=train,
            max_detections=p.max_detections,
        )
        labels = read_table(ws.pseudo_labels / "labels.parquet")
        clusters = errors_by_cluster(garments, truth_boxes["refined"], labels)
        accuracy = {name: keypoint_accuracy(garments, table) for name, table in truth_boxes.items()}
        mean = accuracy["refined"].loc[MEAN].to_dict()
        reliabilities = {
            method: reliability(
                ScoredPoints.of(garments, truth_boxes[method]),
                ScoredPoints.of(unseen, predicted.held_out[method]) if predicted.held_out else None,
            )
            for method in VARIANTS
        }
        metrics = metrics_json(evaluation)
        warn_of_missing(evaluation)
        with publish(ws.evaluation) as folder:
            (folder / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
            evaluation.methods.to_csv(folder / "methods.csv", float_format="%.6f")
            evaluation.per_category.to_csv(folder / "per_category.csv", float_format="%.6f")
            pd.concat(accuracy, names=["method"]).to_csv(folder / "accuracy.csv", float_format="%.6f")
            by_method = {m: asdict(r) for m, r in reliabilities.items()}
            (folder / "reliability.json").write_text(
                json.dumps({**by_method, "held_out": len(unseen)}, indent=1, allow_nan=False) + "\n",
                encoding="utf-8",
            )
            clusters.to_csv(folder / "clusters.csv", index=False, float_format="%.6f")
            tables = {"truth_boxes": truth_boxes, "own_boxes": own_boxes}
            write_predictions(folder / "predictions", tables)
            gallery = draw_gallery(catalog.image, images, garments, own_boxes["refined"], p.pictures)
            write_gallery(folder / "pictures", gallery)
            content = ReportContent(
                dataset=f"{params.ingest.source} layout, {p.split} split",
                num_images=len(images),
                accuracy=accuracy["refined"],
                reliability=reliabilities,
                held_out=len(unseen),
                clusters=clusters,
                tuning=tuning_result(ws),
                images=gallery,
                curves=training_curves(ws),
                params=params.model_dump(mode="json", by_alias=True, exclude=UNRELATED),
            )
            write_report(folder, evaluation, content)
        record_hardware(ws, predicted.hardware)
    return {
        **{f"AP {method}": ap for method, ap in metrics["landmark_ap"].items()},
        **{f"AP {method}, own boxes": ap for method, ap in metrics["landmark_ap_own_boxes"].items()},
        **{f"{name} refined": mean[name] for name in ("PCK", "EPE")},
        "box AP": metrics["box_ap"],
        "categories without training garments": float(len(evaluation.untrained)),
        "categories without garments to evaluate": float(len(evaluation.without_ground_truth)),
    }


def metrics_json(evaluation: Evaluation) -> dict[str, Any]:
    """The content of ``metrics.json``: landmark AP and box AP, overall and by category.

    AP is a fraction, and -1 where there is no ground truth or no detector was evaluated.
    """
    methods, categories = evaluation.methods, evaluation.per_category
    methods_on_truth = [c for c in categories.columns if c in evaluation.truth_boxes]
    return {
        "landmark_ap": methods["AP"].dropna().to_dict(),
        "landmark_ap_own_boxes": methods["own_AP"].dropna().to_dict(),
        "box_ap": evaluation.boxes.stats["AP"] if evaluation.boxes else -1.0,
        "categories_without_training": evaluation.untrained,
        "categories_without_validation": evaluation.without_ground_truth,
        "per_category": {
            name: {
                "box_ap": row["box_AP"],
                "train": int(row["train"]),
                "validation": int(row["validation"]),
                "landmark_ap": {method: row[method] for method in methods_on_truth},
            }
            for name, row in categories.iterrows()
        },
    }


def warn_of_missing(evaluation: Evaluation) -> None:
    """Log a warning for categories without training garments, and for those without ground truth."""
    if evaluation.untrained:
        log.warning("no training garments, counted in the mean: %s", ", ".join(evaluation.untrained))
    if missing := evaluation.without_ground_truth:
        log.warning("no garments to evaluate, not in the mean: %s", ", ".join(missing))


def training_curves(ws: Workspace) -> dict[str, list[float]]:
    """Loss of each epoch of every trained model, by its name in the report (``finetune skirt``).

    Raises:
        FileNotFoundError: a model was not trained.
    """
    folders = {
        "detector": ws.detector,
        **({"box detector": ws.box_detector} if holds_detector(ws.box_detector) else {}),
        "landmarker": ws.landmarker,
        **{f"finetune {c}": ws.finetuned(c) for c in CATEGORY_NAMES},
        **{f"refine {c}": ws.refined(c) for c in CATEGORY_NAMES},
    }
    return {name: read_losses(folder) for name, folder in folders.items()}


def tuning_result(ws: Workspace) -> Tuning:
    """Read what step ``tune_postprocess`` wrote: its best values, APs and plots, for the report."""
    post = read_postprocess(ws.postprocess)
    metrics = read_object(ws.postprocess / "metrics.json")
    technique_is_on = {
        "sigma_center": post.smooth,
        "sigma_landmark": post.smooth,
        "gamma": post.blend,
        "alpha": post.rescore,
    }
    plots = {"AP over both sigmas": "sigmas.png", "AP along gamma and alpha": "curves.png"}
    return Tuning(
        values=[
            (LABELS[name], PAPER["DeepFashion2, Hourglass"][name], getattr(post, name) if on else None)
            for name, on in technique_is_on.items()
        ],
        aps={
            name.removeprefix("AP "): metrics[name]
            for name in ("AP without techniques", "AP at the start", "AP tuned")
        },
        num_images=metrics["pictures"],
        images=[
            (caption, path.read_bytes())
            for caption, name in plots.items()
            if (path := ws.postprocess / name).is_file()
        ],
    )
