"""What the shape prior is worth: the same models with and without it, on labelled and on own boxes.

    python -m bench.shape_prior [--catalog FOLDER ...] [--predictions FOLDER] [--out FILE.md]

For each catalog and variant: landmark AP without and with the prior, and the 95 % interval of the
difference (images drawn with replacement, ``evaluation.bootstrap``); the same of the mean OKS of all
garments in labelled boxes, which is steadier on few photos; and how often a coordinate lies within 1.96
of its deviations. The prior is that of the universal model, or, where that has none, of the workspace's
training labels. ``--predictions reports/evaluation/predictions`` takes predictions that were made
without a prior, on the only catalog, and runs no network.
"""

import argparse
from collections.abc import Mapping
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd

from fashion_ops.catalog.reader import Catalog
from fashion_ops.catalog.splits import Split, read_whole
from fashion_ops.errors.reading import read_table
from fashion_ops.evaluation.bootstrap import compare
from fashion_ops.evaluation.clusters import garment_errors
from fashion_ops.evaluation.coco import detections, ground_truth
from fashion_ops.inference.box_sources import open_boxes
from fashion_ops.inference.landmark_pipeline import VARIANTS, LandmarkPipeline
from fashion_ops.inference.predictions import BOX_KINDS as KINDS
from fashion_ops.inference.predictions import Tables, detect, landmarks_with
from fashion_ops.methods.parts.blocks import loaded
from fashion_ops.methods.parts.device import select_device
from fashion_ops.methods.parts.shape_fit import fit_shape_prior
from fashion_ops.methods.parts.shape_prior import ShapePrior, apply_priors
from fashion_ops.params import Params, load_params
from fashion_ops.taxonomy import CATEGORIES
from fashion_ops.workspace import Workspace

RESAMPLES, CONFIDENCE, WITHIN = 1000, 0.95, 1.96
HEAD = (
    "| boxes | variant | AP without | AP with | difference, 95 % | OKS without | OKS with | "
    "difference, 95 % | within 1.96 deviations |\n|---|---|---|---|---|---|---|---|---|\n"
)


def main() -> None:
    """Measure every catalog, and print or write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--workspace", type=Path, default=Path(), help="with trained models")
    parser.add_argument("--catalog", type=Path, nargs="+", help="default: the workspace's")
    parser.add_argument("--predictions", type=Path, help="that evaluate wrote without a prior")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    ws = Workspace(args.workspace)
    params = load_params(ws.params)
    models = LandmarkPipeline.load(ws.landmarker.parent, select_device(params.distributed.device))
    priors = {**priors_of(Catalog(ws.catalog)), **models.universal.priors}
    text = ""
    for folder in args.catalog or [ws.catalog]:
        split = read_whole(folder, params.evaluate.split)
        plain = read(args.predictions) if args.predictions else predict(params, ws, split, models)
        text += f"## {folder.name}: {len(split.images)} images, {len(split.garments)} garments\n\n"
        text += HEAD
        for kind, variant in product(KINDS, VARIANTS):
            if variant in plain[kind]:
                old = plain[kind][variant]
                new = correct(models, priors, old, detected=kind == "own_boxes")
                text += row(split, kind, variant, old, new, params.evaluate.max_detections)
        text += "\n"
    print(text)
    if args.out:
        args.out.write_text(text, encoding="utf-8")


def read(folder: Path) -> dict[str, Tables]:
    """The predictions below a folder ``predictions`` of an evaluation."""
    return {
        kind: {variant: read_table(folder / kind / f"{variant}.parquet") for variant in VARIANTS}
        for kind in KINDS
    }


def predict(params: Params, ws: Workspace, split: Split, models: LandmarkPipeline) -> dict[str, Tables]:
    """The predictions of all variants without a prior, in both kinds of boxes."""
    p = params.evaluate
    device = select_device(params.distributed.device)
    source = open_boxes(p.boxes, ws, split.catalog, split.images, device)
    boxes = dict(
        zip(KINDS, (split.garments, detect(source, split.images, p.max_detections)), strict=True)
    )
    plain = LandmarkPipeline(
        models.universal.with_decoding(decode_prior=False),
        {c: model.with_decoding(decode_prior=False) for c, model in models.finetuned.items()},
        {c: replace(model, priors={}) for c, model in models.refined.items()},
    )
    return landmarks_with(loaded([plain]), split.catalog, boxes, p.score)


def correct(
    models: LandmarkPipeline, priors: Mapping[int, ShapePrior], table: pd.DataFrame, *, detected: bool
) -> pd.DataFrame:
    """Predictions as the pipeline returns them with these priors."""
    boxes = np.stack(table["box"].to_list())
    poses = [np.reshape(landmarks, (-1, 3)) for landmarks in table["landmarks"]]
    scales = 1 / models.universal.matrices(boxes)[:, 0, 0]
    stds = [models.universal.landmark_stds(p) * s for p, s in zip(poses, scales, strict=True)]
    ids = table["category_id"].to_numpy(np.int64)
    landmarks, deviations = apply_priors(priors, poses, stds, boxes, ids, detected=detected)
    columns = {"landmarks": [pose.ravel() for pose in landmarks], "deviations": deviations}
    return table.assign(**{k: pd.Series(v, table.index, dtype=object) for k, v in columns.items()})


def priors_of(catalog: Catalog) -> dict[int, ShapePrior]:
    """The shape priors of a catalog's training split."""
    train = catalog.garments[catalog.garments["split"] == "train"]
    priors = {}
    for c in CATEGORIES:
        rows = train[train["category_id"] == c.id]
        labels = np.array(rows["landmarks"].to_list()).reshape(len(rows), c.num_landmarks, 3)
        prior = fit_shape_prior(labels, np.array(rows["box"].to_list()).reshape(-1, 4))
        if prior is not None:
            priors[c.id] = prior
    return priors


def row(
    split: Split,
    kind: str,
    variant: str,
    old: pd.DataFrame,
    new: pd.DataFrame,
    max_detections: int,
) -> str:
    """A row of the table: one variant in one kind of boxes."""
    found = compare(
        ground_truth(split.images, split.garments),
        detections(new, split.images),
        detections(old, split.images),
        resamples=RESAMPLES,
        confidence=CONFIDENCE,
        seed=0,
        max_detections=max_detections,
    ).overall
    cells = [
        "labelled" if kind == "truth_boxes" else "own",
        variant,
        f"{found.old:.3f}",
        f"{found.new:.3f}",
    ]
    cells.append(f"{found.difference:+.3f} ({found.low:+.3f} to {found.high:+.3f})")
    if kind == "truth_boxes":
        cells += mean_oks(split.garments, old, new)
        cells.append(f"{coverage(split.garments, new):.1%}")
    else:
        cells += ["", "", "", ""]
    return "| " + " | ".join(cells) + " |\n"


def mean_oks(garments: pd.DataFrame, old: pd.DataFrame, new: pd.DataFrame) -> list[str]:
    """Mean OKS of garments in labelled boxes, without and with, and the interval of the difference."""
    each = [garment_errors(garments, table).set_index("garment_id")["oks"] for table in (old, new)]
    both = pd.concat(each, axis=1, keys=["old", "new"])
    images = dict(zip(garments["garment_id"], garments["image_id"], strict=True))
    gain = both["new"] - both["old"]
    groups = gain.groupby(both.index.map(images)).agg(["sum", "size"]).to_numpy()
    draws = np.random.default_rng(0).integers(0, len(groups), (RESAMPLES, len(groups)))
    sums = groups[draws].sum(1)
    low, high = np.percentile(sums[:, 0] / sums[:, 1], [2.5, 97.5])
    means = [f"{both[name].mean():.3f}" for name in ("old", "new")]
    return [*means, f"{gain.mean():+.3f} ({low:+.3f} to {high:+.3f})"]


def coverage(garments: pd.DataFrame, table: pd.DataFrame) -> float:
    """Share of the labelled coordinates that lie within 1.96 deviations of the predicted ones."""
    truth = dict(zip(garments["garment_id"], garments["landmarks"], strict=True))
    inside = []
    columns = (table[k] for k in ("garment_id", "landmarks", "deviations"))
    for garment_id, landmarks, deviations in zip(*columns, strict=True):
        labels, points = (np.reshape(v, (-1, 3)) for v in (truth[garment_id], landmarks))
        error = np.abs(points[:, :2] - labels[:, :2])[labels[:, 2] > 0]
        if len(deviations):
            inside.append(error < WITHIN * np.asarray(deviations)[labels[:, 2] > 0, None])
    return float(np.concatenate(inside).mean()) if inside else float("nan")


if __name__ == "__main__":
    main()
