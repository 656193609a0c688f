"""Step ``evaluate``: score every model on a split, on ground-truth boxes and on detected boxes.

The methods are the mean shape, the landmarks of CenterNet, the variants of the landmark pipeline
(universal, finetuned, refined) and, where ``evaluate.ensemble`` names further models, the ensemble of
their finetuned landmarks with ours. Ground-truth boxes evaluate the landmarks alone, detected boxes
the whole system; ``evaluate.boxes`` names their source: CenterNet, ``train_box_detector`` or a file.

``evaluate.also`` names further catalogs below ``ws.also``, such as real photos, on which the same
models are evaluated. The report begins with them; nothing is registered or promoted by their numbers.

Writes ``ws.evaluation``: metrics.json, reliability.json, the tables as CSV, all predictions as
parquet, the drawn images and the report, and the same of each further catalog in ``also/NAME``. With
RAY_ADDRESS set, the cluster predicts (``distributed.block_runners``). Beside the outputs,
``ws.evaluation_hardware`` records where the predictions were made.
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fashion_ops.catalog.splits import Split, read_split, read_whole
from fashion_ops.catalog.training_data import held_out
from fashion_ops.distributed.block_runners import block_runners
from fashion_ops.errors.reading import read_object, read_table
from fashion_ops.evaluation.clusters import errors_by_cluster
from fashion_ops.evaluation.failures import find_failures
from fashion_ops.evaluation.keypoint_accuracy import MEAN
from fashion_ops.evaluation.tables import Evaluation
from fashion_ops.inference.evaluated_models import Evaluated, evaluate_split
from fashion_ops.inference.hardware_record import record_hardware
from fashion_ops.inference.predictions import write_predictions
from fashion_ops.methods.artifact import read_spec
from fashion_ops.methods.centernet.postprocess_file import read_postprocess
from fashion_ops.methods.detection.inference import holds_detector
from fashion_ops.methods.parts.history import read_losses
from fashion_ops.methods.top_down.inference import METHOD as LANDMARKER
from fashion_ops.params import BOX_DETECTOR, DETECTOR, Params
from fashion_ops.reports.also import AlsoEvaluated, failure_captions, worst_first
from fashion_ops.reports.gallery import MIN_SCORE, draw_gallery, write_gallery
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
        without ground truth; AP of the refined landmarks on each catalog of ``evaluate.also``.

    Raises:
        ValueError: a catalog has no garments in ``evaluate.split``.
        FileNotFoundError: a catalog of ``evaluate.also`` does not exist.
    """
    p = params.evaluate
    also = {name: open_also(ws, name, p.split) for name in p.also}
    split = read_split(ws.catalog, p.split)
    train = split.catalog.garments[split.catalog.garments["split"] == "train"]
    unseen = held_out_garments(ws, train)

    with block_runners(params.distributed, ws.checkpoints, "evaluate") as open_runner:
        result = evaluate_split(p, ws, split, train, open_runner, unseen)
        # Boxes from a file are of the images of ``ws.catalog``.
        own = p if p.boxes in (DETECTOR, BOX_DETECTOR) else p.model_copy(update={"boxes": DETECTOR})
        others = {n: evaluate_split(own, ws, one, train, open_runner) for n, one in also.items()}
        labels = read_table(ws.pseudo_labels / "labels.parquet")
        truth_boxes, own_boxes = result.tables["truth_boxes"], result.tables["own_boxes"]
        clusters = errors_by_cluster(split.garments, truth_boxes["refined"], labels)
        mean = result.accuracy["refined"].loc[MEAN].to_dict()
        metrics = metrics_json(result.evaluation)
        warn_of_missing(result.evaluation)
        with publish(ws.evaluation) as folder:
            write_results(folder, result)
            clusters.to_csv(folder / "clusters.csv", index=False, float_format="%.6f")
            gallery = draw_gallery(
                split.catalog.image, split.images, split.garments, own_boxes["refined"], p.images
            )
            write_gallery(folder / "pictures", gallery)
            content = ReportContent(
                dataset=f"{params.ingest.source} layout, {p.split} split",
                num_images=len(split.images),
                also=[
                    write_also(folder / "also" / name, name, also[name], others[name], p.images)
                    for name in p.also
                ],
                accuracy=result.accuracy["refined"],
                reliability=result.reliability,
                held_out=result.held_out,
                clusters=clusters,
                tuning=tuning_result(ws),
                images=gallery,
                curves=training_curves(ws),
                params=params.model_dump(mode="json", by_alias=True, exclude=UNRELATED),
            )
            write_report(folder, result.evaluation, content)
        record_hardware(ws, result.hardware)
    return {
        **{f"AP {method}": ap for method, ap in metrics["landmark_ap"].items()},
        **{f"AP {method}, own boxes": ap for method, ap in metrics["landmark_ap_own_boxes"].items()},
        **{f"{name} refined": mean[name] for name in ("PCK", "EPE")},
        "box AP": metrics["box_ap"],
        "categories without training garments": float(len(result.evaluation.untrained)),
        "categories without garments to evaluate": float(len(result.evaluation.without_ground_truth)),
        **also_metrics(others),
    }


def held_out_garments(ws: Workspace, train: pd.DataFrame) -> pd.DataFrame | None:
    """The training garments that no landmark network has learned from; None without any."""
    share = read_spec(ws.landmarker, LANDMARKER)["training"].get("held_out", 0.0)
    unseen = train[held_out(train["image_id"].to_numpy(), share)]
    return None if unseen.empty else unseen


def open_also(ws: Workspace, name: str, split: str) -> Split:
    """Read a split of a catalog that ``evaluate.also`` names; all of one that has another split only.

    Raises:
        FileNotFoundError: there is no catalog.
        ValueError: it has several splits, and no garments in this one.
    """
    folder = ws.also / name
    if not (folder / "garments.parquet").is_file():
        raise FileNotFoundError(
            f"{folder}: evaluate.also names {name!r}, but there is no catalog here; "
            f"`fashion-ops ingest-also {name} ROOT` makes one of a labelled data set"
        )
    return read_whole(folder, split)


def also_metrics(others: Mapping[str, Evaluated]) -> dict[str, float]:
    """Landmark AP of the refined landmarks on further catalogs, in labelled and in own boxes."""
    metrics = {}
    for name, other in others.items():
        methods = other.evaluation.methods
        aps = dict(zip(methods.columns, methods.loc["refined"].to_numpy(float), strict=True))
        metrics[f"AP refined, {name}"] = float(aps["AP"])
        if not np.isnan(aps["own_AP"]):
            metrics[f"AP refined, {name}, own boxes"] = float(aps["own_AP"])
    return metrics


def write_results(folder: Path, result: Evaluated) -> None:
    """Write both JSON files, the tables as CSV and all predictions into an existing folder."""
    metrics = json.dumps(metrics_json(result.evaluation), indent=2)
    (folder / "metrics.json").write_text(metrics + "\n", encoding="utf-8")
    result.evaluation.methods.to_csv(folder / "methods.csv", float_format="%.6f")
    result.evaluation.per_category.to_csv(folder / "per_category.csv", float_format="%.6f")
    accuracy = pd.concat(result.accuracy, names=["method"])
    accuracy.to_csv(folder / "accuracy.csv", float_format="%.6f")
    by_variant = {variant: asdict(each) for variant, each in result.reliability.items()}
    found = {**by_variant, "held_out": result.held_out}
    text = json.dumps(found, indent=1, allow_nan=False)
    (folder / "reliability.json").write_text(text + "\n", encoding="utf-8")
    write_predictions(folder / "predictions", result.tables)


def write_also(
    folder: Path, name: str, split: Split, result: Evaluated, pictures: int
) -> AlsoEvaluated:
    """Write the results on a further catalog into a new folder; returns its part of the report.

    Args:
        folder: to write.
        name: of the catalog.
        split: of it.
        result: on this split.
        pictures: how many images are drawn, those with most failures first.
    """
    folder.mkdir(parents=True)
    write_results(folder, result)
    refined = result.tables["own_boxes"].get("refined", result.tables["own_boxes"]["mean_shape"])
    failures = find_failures(split.garments, refined, MIN_SCORE)
    failures.to_csv(folder / "failures.csv", index=False, float_format="%.6f")
    worst = worst_first(split.images, failures).head(pictures)
    gallery = draw_gallery(split.catalog.image, worst, split.garments, refined, len(worst))
    write_gallery(folder / "pictures", gallery)
    captions = failure_captions(worst, failures)
    images = [(caption, image) for caption, (_, image) in zip(captions, gallery, strict=True)]
    return AlsoEvaluated(name, result.evaluation, len(split.images), failures, images)


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
