"""Step ``tune_postprocess``: the parameters of DeepMark++'s four techniques for the detector at hand.

Writes ``ws.postprocess``: postprocess.json (what ``evaluate`` and ``predict`` read the maps with),
metrics.json, search.csv (parameter, value, AP, box AP), sigmas.csv and their image, curves.png.

The search is at the image's own scale; NMS and flip are as ``start`` says in every setting, also in
the one without any technique.
"""

import json
from pathlib import Path

import pandas as pd

from fashion_ops.catalog.reader import Catalog, draw_subset
from fashion_ops.inference.postprocess_search import (
    Judge,
    Reading,
    Searched,
    grid,
    read_images,
    search,
)
from fashion_ops.methods.centernet.inference import Detector
from fashion_ops.methods.centernet.postprocess_file import write_postprocess
from fashion_ops.params import Params
from fashion_ops.reports.postprocess_plots import draw_curves, draw_sigmas
from fashion_ops.workspace import Workspace, publish

OFF = {"smooth": False, "mask": False, "blend": False, "rescore": False}
PARAMETERS = ("sigma_center", "sigma_landmark", "gamma", "alpha")


def run(params: Params, ws: Workspace) -> dict[str, float]:
    """Search on a subset of a split and write ``ws.postprocess``.

    Returns:
        images; landmark AP of the detector's own boxes without the techniques, with the values that
        the search started from and with the chosen ones; box AP with the chosen; the chosen values.

    Raises:
        ValueError: no garments in the split.
    """
    p = params.tune_postprocess
    catalog = Catalog(ws.catalog)
    images = draw_subset(catalog.images, p.split, p.pictures, params.seed)
    garments = catalog.garments[catalog.garments["image_id"].isin(images["image_id"])]
    if garments.empty:
        raise ValueError(
            f"{ws.catalog}: no garments on {len(images)} images of split {p.split!r}; "
            "tune_postprocess.split must name one with garments"
        )
    start, plain = p.start, p.start.model_copy(update=OFF)
    sigmas = grid(p.step, start.sigma_center), grid(p.step, start.sigma_landmark)
    detector = Detector.load(ws.detector, post=start)
    before, judge = read_images(
        detector, catalog, images, garments, [Reading.of(plain, *sigmas), Reading.of(start, *sigmas)]
    )
    found = search(judge.landmark_aps, start, p.step)
    begun, tuned = judge.landmark_aps([start, found.best])
    metrics = {
        "pictures": len(images),
        "AP without techniques": float(before.landmark_aps([plain])[0]),
        "AP at the start": float(begun),
        "AP tuned": float(tuned),
        "box AP without techniques": float(before.box_aps([plain])[0]),
        "box AP tuned": float(judge.box_aps([found.best])[0]),
    }
    with publish(ws.postprocess) as folder:
        write_postprocess(folder, found.best)
        text = json.dumps(metrics, indent=2) + "\n"
        (folder / "metrics.json").write_text(text, encoding="utf-8")
        write_search(folder, judge, found)
    return {**metrics, **{name: getattr(found.best, name) for name in PARAMETERS}}


def write_search(folder: Path, judge: Judge, found: Searched) -> None:
    """The tables and images of a search; nothing of what was not searched."""
    table = pd.DataFrame(
        [
            (name, getattr(post, name), ap, box_ap)
            for name, posts in found.tried.items()
            for post, ap, box_ap in zip(
                posts, judge.landmark_aps(posts), judge.box_aps(posts), strict=True
            )
        ],
        columns=["parameter", "value", "AP", "box AP"],
    )
    table.to_csv(folder / "search.csv", index=False, float_format="%.6g")
    best = found.best
    if found.sigmas is not None:
        centers, landmarks = judge.reading.sigma_center, judge.reading.sigma_landmark
        index = pd.Index(landmarks, name="sigma_landmark \\ sigma_center")
        wide = pd.DataFrame(found.sigmas, index, pd.Index(centers))
        wide.to_csv(folder / "sigmas.csv", float_format="%.6f")
        chosen = best.sigma_center, best.sigma_landmark
        draw_sigmas(folder / "sigmas.png", found.sigmas, centers, landmarks, chosen)
    curves = {
        name: [tuple(row) for row in own[["value", "AP", "box AP"]].to_numpy().tolist()]
        for name in ("gamma", "alpha")
        if len(own := table[table["parameter"] == name])
    }
    if curves:
        draw_curves(folder / "curves.png", curves, {name: getattr(best, name) for name in curves})
