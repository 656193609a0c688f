"""The HTML report of an evaluation: one self-contained file, the same bytes for the same numbers.

This module arranges the numbers. Layout and wording are in ``report.html`` (Jinja), the style sheet in
``style.html``, the charts in ``charts``. The page holds no time, host or local path.
"""

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from fashion_ops.evaluation.calibration import Reliability
from fashion_ops.evaluation.failures import GOOD_OKS, KINDS, SAME_BOX
from fashion_ops.evaluation.keypoint_accuracy import COLUMNS, MEAN, PUBLISHED
from fashion_ops.evaluation.tables import METHOD_STATS, Evaluation
from fashion_ops.reports.also import AlsoEvaluated, failure_rows
from fashion_ops.reports.charts import curve, dot_plot, reliability_plot
from fashion_ops.reports.gallery import MIN_SCORE
from fashion_ops.taxonomy import category

GAINS = (("finetuned", "universal"), ("refined", "finetuned"))  # differences shown per category
_IMAGE_WIDTH = 1200
_WORST_CLUSTERS, _MIN_GARMENTS = 10, 3  # clusters listed, and garments in each at least


@dataclass(frozen=True)
class Tuning:
    """Result of the search for the post-processing parameters of the detector.

    Attributes:
        values: name of a parameter, value in the paper, value found (None: its technique is off).
        aps: name of a setting -> its landmark AP.
        num_images: images that the AP was computed on.
        images: caption and PNG file of each plot.
    """

    values: Sequence[tuple[str, float, float | None]]
    aps: Mapping[str, float]
    num_images: int
    images: Sequence[tuple[str, bytes]]


@dataclass(frozen=True)
class ReportContent:
    """Content of the report besides the scores.

    Attributes:
        dataset: the evaluated data in a few words: "synthetic wardrobe, validation".
        num_images: number of evaluated images, as in the headline.
        accuracy: from ``keypoint_accuracy``, for one method.
        reliability: from ``calibration.reliability``, by method.
        held_out: number of training garments that its temperatures are fitted on.
        clusters: from ``clusters.errors_by_cluster``, for one method.
        tuning: result of ``tune_postprocess``.
        also: parts on further catalogs, which come first.
        images: caption and RGB image (H, W, 3) uint8 each, from ``draw``.
        curves: name of a training run -> loss of each epoch.
        params: name of a section of params.yaml -> its values.
    """

    dataset: str
    num_images: int
    also: Sequence[AlsoEvaluated] = ()
    accuracy: pd.DataFrame | None = None
    reliability: Mapping[str, Reliability] = field(default_factory=dict)
    held_out: int = 0
    clusters: pd.DataFrame | None = None
    tuning: Tuning | None = None
    images: Sequence[tuple[str, np.ndarray]] = ()
    curves: Mapping[str, Sequence[float]] = field(default_factory=dict)
    params: Mapping[str, Any] = field(default_factory=dict)


def write_report(folder: Path, evaluation: Evaluation, content: ReportContent) -> Path:
    """Write ``report.html`` into an existing folder and return its path.

    Args:
        folder: where the file is written.
        evaluation: the scores, from ``tables.evaluate_tables``.
        content: everything else on the page.
    """
    methods = [m for m in evaluation.methods.index if m in evaluation.truth_boxes]
    per_category = _by_index(evaluation.per_category)
    tuning = content.tuning
    page = (
        templates()
        .get_template("report.html")
        .render(
            also=[_also(part) for part in content.also],
            kinds=KINDS,
            min_score=MIN_SCORE,
            same_box=SAME_BOX,
            good_oks=GOOD_OKS,
            dataset=content.dataset,
            headline=_headline(evaluation, content.num_images),
            stats=METHOD_STATS,
            method_rows=_method_rows(_by_index(evaluation.methods)),
            methods=methods,
            categories=_category_rows(per_category, methods),
            untrained=[category(name).label for name in evaluation.untrained],
            without_ground_truth=[category(name).label for name in evaluation.without_ground_truth],
            gains=[(a, b) for a, b in GAINS if a in methods and b in methods],
            chart=dot_plot(
                [
                    (category(name).label, [row[m] for m in methods])
                    for name, row in per_category.items()
                ],
                [_words(m) for m in methods],
            ),
            accuracy=_accuracy_rows(content.accuracy),
            reliability=[
                (name, r, reliability_plot(r.bins, r.tempered))
                for name, r in content.reliability.items()
            ],
            held_out=content.held_out,
            clusters=_cluster_rows(content.clusters),
            worst=_worst_clusters(content.clusters),
            min_garments=_MIN_GARMENTS,
            tuning=tuning,
            tuning_images=[
                (c, _data_url("png", data)) for c, data in (tuning.images if tuning else ())
            ],
            images=[(caption, _jpeg(image)) for caption, image in content.images],
            curves=[(name, curve(v), v[0], v[-1]) for name, v in content.curves.items() if len(v)],
            params={name: yaml.safe_dump(v, sort_keys=False) for name, v in content.params.items()},
        )
    )
    path = folder / "report.html"
    path.write_text(page, encoding="utf-8")
    return path


def _also(part: AlsoEvaluated) -> dict[str, Any]:
    """The values of ``also.html``."""
    return {
        "name": part.name,
        "headline": _headline(part.evaluation, part.num_images),
        "method_rows": _method_rows(_by_index(part.evaluation.methods)),
        "failures": failure_rows(part.failures),
        "images": [(caption, _jpeg(image)) for caption, image in part.images],
    }


def templates() -> Environment:
    """Jinja environment of the HTML pages in this folder, with the filters that they use."""
    environment = Environment(
        loader=PackageLoader("fashion_ops.reports", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": _number, "pixels": _pixels, "gain": _gain, "words": _words}
    return environment


def _headline(evaluation: Evaluation, num_images: int) -> list[tuple[str, str, str]]:
    """Title, value and remark of each card at the top of the page."""
    cards = []
    on_truth = {name: s.stats["AP"] for name, s in evaluation.truth_boxes.items()}
    if on_truth:
        best = max(on_truth, key=on_truth.__getitem__)
        base = on_truth.get("mean_shape", 0.0)
        remark = (
            f"{_words(best)}, {on_truth[best] / base:.1f}× mean shape" if base > 0 else _words(best)
        )
        cards.append(("Landmark AP, ground-truth boxes", _number(on_truth[best]), remark))
    on_detected = {name: s.stats["AP"] for name, s in evaluation.own_boxes.items()}
    if on_detected:
        best = max(on_detected, key=on_detected.__getitem__)
        cards.append(("Landmark AP, own boxes", _number(on_detected[best]), _words(best)))
    if evaluation.boxes is not None:
        stats = evaluation.boxes.stats
        cards.append(("Box AP", _number(stats["AP"]), f"AP50 {_number(stats['AP50'])}"))
    garments = sum(evaluation.per_category["validation"])
    cards.append(("Garments judged", f"{garments:,}", f"on {num_images:,} pictures"))
    return cards


def _method_rows(methods: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Name and cells of each row; a cell is (value, is the best of its column, has a bar)."""
    best: dict[str, float] = {}
    for row in methods.values():
        best |= {c: v for c, v in row.items() if v > best.get(c, 0.0)}
    return [
        {"name": name, "cells": [(v, v == best.get(c), c == "AP") for c, v in row.items()]}
        for name, row in methods.items()
    ]


def _category_rows(per_category: dict[str, dict[str, Any]], methods: list[str]) -> list[dict[str, Any]]:
    rows = []
    for name, row in per_category.items():
        best = max((row[m] for m in methods if row[m] >= 0), default=None)
        rows.append(
            {
                **row,
                "label": category(name).label,
                "cells": [(row[m], row[m] == best) for m in methods],
                "gains": [
                    row[a] - row[b] if min(row[a], row[b]) >= 0 else math.nan
                    for a, b in GAINS
                    if a in methods and b in methods
                ],
            }
        )
    return rows


def _accuracy_rows(table: pd.DataFrame | None) -> list[tuple[str, list[float], list[float]]]:
    """Label of a category, our PCK, PCK corner, AUC and EPE, and the published PCK, AUC and EPE."""
    rows = {} if table is None else _by_index(table)
    published = np.array(list(PUBLISHED.values()))
    theirs = {**PUBLISHED, MEAN: published.mean(axis=0).tolist()}
    return [
        (
            name if name == MEAN else category(name).label,
            [row[column] for column in COLUMNS[1:]],
            list(theirs[name]),
        )
        for name, row in rows.items()
    ]


def _cluster_rows(clusters: pd.DataFrame | None) -> list[tuple[str, list[dict[str, Any]]]]:
    """Clusters by category, each with ``heat``: its error as a fraction of the largest one."""
    rows: dict[str, list[dict[str, Any]]] = {}
    records = _records(clusters)
    top = max((c["error"] for c in records), default=0.0) or 1.0
    for c in records:
        rows.setdefault(category(c["category"]).label, []).append({**c, "heat": c["error"] / top})
    return list(rows.items())


def _worst_clusters(clusters: pd.DataFrame | None) -> list[dict[str, Any]]:
    large = [c for c in _records(clusters) if c["garments"] >= _MIN_GARMENTS]
    return sorted(large, key=lambda c: -c["error"])[:_WORST_CLUSTERS]


def _by_index(table: pd.DataFrame) -> dict[str, dict[str, Any]]:
    return dict(zip(map(str, table.index), _records(table), strict=True))


def _records(table: pd.DataFrame | None) -> list[dict[str, Any]]:
    if table is None:
        return []
    return [{str(k): v for k, v in row.items()} for row in table.to_dict("records")]


def _jpeg(image: np.ndarray) -> str:
    """Data URL of an RGB image as JPEG, at most 1200 pixels wide."""
    height, width = image.shape[:2]
    if width > _IMAGE_WIDTH:
        size = (_IMAGE_WIDTH, round(height * _IMAGE_WIDTH / width))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    _, data = cv2.imencode(
        ".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 85]
    )
    return _data_url("jpeg", data.tobytes())


def _data_url(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64," + base64.b64encode(content).decode()


def _number(value: float) -> str:
    return "–" if math.isnan(value) or value < 0 else f"{value:.3f}"


def _pixels(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.1f}"


def _gain(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:+.3f}".replace("-", "−")


def _words(name: str) -> str:
    return name.replace("_", " ")
