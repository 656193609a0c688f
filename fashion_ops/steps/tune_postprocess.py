"""Step ``tune_postprocess``: search the parameters of DeepMark++'s four techniques for the detector.

Writes ``ws.postprocess``: postprocess.json (the post-processing that ``evaluate`` and ``predict`` use),
threshold.json (the score from which on ``predict`` reports a garment: that of the highest F1),
metrics.json, search.csv (parameter, value, AP, box AP), sigmas.csv and its image, curves.png.

The search runs the detector at the original scale of the image. NMS and flip are those of
``tune_postprocess.start`` in every setting, also in the one without any technique.
"""

import json
from pathlib import Path

import pandas as pd

from fashion_ops.catalog.reader import Catalog, draw_subset
from fashion_ops.distributed.block_runners import block_runners
from fashion_ops.inference.postprocess_search import (
    PARAMETERS,
    LoadDetector,
    PostprocessScorer,
    SearchResult,
    SearchSpace,
    build_scorers,
    grid,
    search,
)
from fashion_ops.methods.artifact import read_spec
from fashion_ops.methods.centernet.inference import METHOD
from fashion_ops.methods.centernet.postprocess_file import write_postprocess, write_threshold
from fashion_ops.methods.parts.blocks import Bundle
from fashion_ops.params import Params
from fashion_ops.reports.postprocess_plots import draw_curves, draw_sigmas
from fashion_ops.workspace import Workspace, publish

OFF = {"smooth": False, "mask": False, "blend": False, "rescore": False}


def run(params: Params, ws: Workspace) -> dict[str, float]:
    """Search on a subset of a split and write ``ws.postprocess``.

    Returns:
        The content of metrics.json (number of images; landmark AP on the detector's boxes without the
        techniques, with the values that the search starts from and with the best values; box AP
        without the techniques and with the best values; the threshold of the scores, its precision and
        recall), and the best values by parameter.

    Raises:
        ValueError: there are no garments in the split.
    """
    p = params.tune_postprocess
    catalog = Catalog(ws.catalog)
    images = draw_subset(catalog.images, p.split, p.images, params.seed)
    garments = catalog.garments[catalog.garments["image_id"].isin(images["image_id"])]
    if garments.empty:
        raise ValueError(
            f"{ws.catalog}: no garments on {len(images)} images of split {p.split!r}; "
            "tune_postprocess.split must name one with garments"
        )
    start, without_techniques = p.start, p.start.model_copy(update=OFF)
    sigmas = grid(p.step, start.sigma_center), grid(p.step, start.sigma_landmark)
    spaces = [SearchSpace.of(without_techniques, *sigmas), SearchSpace.of(start, *sigmas)]
    threshold = read_spec(ws.detector, METHOD)["score_threshold"]
    with block_runners(params.distributed, ws.checkpoints, "tune_postprocess") as open_runner:
        runner = open_runner(LoadDetector(start), [Bundle(ws.detector)])
        scorers = build_scorers(runner, catalog, images, garments, spaces, threshold)
    plain_scorer, scorer = scorers
    result = search(scorer.landmark_aps, start, p.step)
    start_ap, tuned_ap = scorer.landmark_aps([start, result.best])
    metrics = {
        "pictures": len(images),
        "AP without techniques": float(plain_scorer.landmark_aps([without_techniques])[0]),
        "AP at the start": float(start_ap),
        "AP tuned": float(tuned_ap),
        "box AP without techniques": float(plain_scorer.box_aps([without_techniques])[0]),
        "box AP tuned": float(scorer.box_aps([result.best])[0]),
    }
    chosen = scorer.threshold_of(result.best)
    if chosen is not None:
        metrics |= {"threshold": chosen.score, "precision": chosen.precision, "recall": chosen.recall}
    with publish(ws.postprocess) as folder:
        write_postprocess(folder, result.best)
        if chosen is not None:
            write_threshold(folder, chosen.score, {"split": p.split, "images": len(images)})
        text = json.dumps(metrics, indent=2) + "\n"
        (folder / "metrics.json").write_text(text, encoding="utf-8")
        write_search(folder, scorer, result)
    return {**metrics, **{name: getattr(result.best, name) for name in PARAMETERS}}


def write_search(folder: Path, scorer: PostprocessScorer, result: SearchResult) -> None:
    """Write search.csv, sigmas.csv, sigmas.png and curves.png into ``folder``.

    Rows, files and curves of parameters that were not searched are left out.

    Args:
        folder: of the output.
        scorer: computes the APs in the tables.
        result: the search.
    """
    table = pd.DataFrame(
        [
            (name, getattr(post, name), ap, box_ap)
            for name, posts in result.tried.items()
            for post, ap, box_ap in zip(
                posts, scorer.landmark_aps(posts), scorer.box_aps(posts), strict=True
            )
        ],
        columns=["parameter", "value", "AP", "box AP"],
    )
    table.to_csv(folder / "search.csv", index=False, float_format="%.6g")
    best = result.best
    if result.sigmas is not None:
        centers, landmarks = scorer.space.sigma_center, scorer.space.sigma_landmark
        index = pd.Index(landmarks, name="sigma_landmark \\ sigma_center")
        wide = pd.DataFrame(result.sigmas, index, pd.Index(centers))
        wide.to_csv(folder / "sigmas.csv", float_format="%.6f")
        best_sigmas = best.sigma_center, best.sigma_landmark
        draw_sigmas(folder / "sigmas.png", result.sigmas, centers, landmarks, best_sigmas)
    curves = {
        name: [tuple(row) for row in rows[["value", "AP", "box AP"]].to_numpy().tolist()]
        for name in ("gamma", "alpha")
        if len(rows := table[table["parameter"] == name])
    }
    if curves:
        draw_curves(folder / "curves.png", curves, {name: getattr(best, name) for name in curves})
