"""The HTML report of an evaluation: one file that opens anywhere, the same bytes for the same numbers.

Layout and wording are in ``report.html`` (Jinja), looks in ``style.html``, charts in ``charts``; here
the numbers are put into the order in which they are read. Nothing in it tells a time, a host or a path
of this machine.
"""

import base64
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined

from fashion_ops.evaluation.tables import METHOD_STATS, Evaluation
from fashion_ops.reports.charts import curve, dot_plot
from fashion_ops.taxonomy import category

STEPS = (("finetuned", "universal"), ("refined", "finetuned"))  # gains shown per category
_IMAGE_WIDTH = 1200
_WORST, _ENOUGH = 10, 3  # clusters listed; garments that a listed cluster has at least


@dataclass(frozen=True)
class Tuning:
    """How the detector's post-processing was chosen, for the report.

    ``values``: parameter, the paper's value, the chosen one, None where its technique is off;
    ``aps``: what was judged -> landmark AP on ``num_images`` images; ``images``: caption and PNG.
    """

    values: Sequence[tuple[str, float, float | None]]
    aps: Mapping[str, float]
    num_images: int
    images: Sequence[tuple[str, bytes]]


def write_report(
    folder: Path,
    evaluation: Evaluation,
    *,
    dataset: str,
    num_images: int,
    clusters: pd.DataFrame | None = None,
    tuning: Tuning | None = None,
    images: Sequence[tuple[str, np.ndarray]] = (),
    curves: Mapping[str, Sequence[float]] | None = None,
    params: Mapping[str, Any] | None = None,
    facts: Mapping[str, str] | None = None,
) -> Path:
    """Write ``report.html`` into an existing folder.

    Args:
        folder: where to.
        evaluation: the numbers, from ``tables.evaluate_tables``.
        dataset: what was judged, in a few words: "synthetic wardrobe, validation".
        num_images: how many images were judged.
        clusters: from ``clusters.errors_by_cluster``, of the method that the report is about.
        tuning: what ``tune_postprocess`` found.
        images: caption and RGB image, from ``draw``.
        curves: name of a training run -> loss of each epoch.
        params: the parameters, section by section.
        facts: further lines of "How it was made": grouping, hash of dvc.lock, and the like.

    Returns:
        The path of the report.
    """
    environment = templates()
    methods = [m for m in evaluation.methods.index if m in evaluation.truth_boxes]
    per_category = _by_index(evaluation.per_category)
    page = environment.get_template("report.html").render(
        dataset=dataset,
        headline=_headline(evaluation, num_images),
        stats=METHOD_STATS,
        methods=_method_rows(_by_index(evaluation.methods)),
        judged=methods,
        categories=_category_rows(per_category, methods),
        untrained=[category(name).label for name in evaluation.untrained],
        unjudged=[category(name).label for name in evaluation.unjudged],
        gains=[(a, b) for a, b in STEPS if a in methods and b in methods],
        chart=dot_plot(
            [(category(name).label, [row[m] for m in methods]) for name, row in per_category.items()],
            [_words(m) for m in methods],
        ),
        clusters=_cluster_rows(clusters),
        worst=_worst_clusters(clusters),
        enough=_ENOUGH,
        tuning=tuning,
        tuning_images=[(c, _data("png", data)) for c, data in (tuning.images if tuning else ())],
        images=[(caption, _jpeg(image)) for caption, image in images],
        curves=[(name, curve(v), v[0], v[-1]) for name, v in (curves or {}).items() if len(v)],
        params={name: yaml.safe_dump(value, sort_keys=False) for name, value in (params or {}).items()},
        facts=facts or {},
    )
    path = folder / "report.html"
    path.write_text(page, encoding="utf-8")
    return path


def templates() -> Environment:
    """The HTML pages of this folder, with the report's filters; all of them include style.html."""
    environment = Environment(
        loader=PackageLoader("fashion_ops.reports", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"number": _number, "gain": _gain, "words": _words}
    return environment


def _headline(evaluation: Evaluation, num_images: int) -> list[tuple[str, str, str]]:
    """Cards: what, number, remark."""
    cards = []
    scored = {name: s.stats["AP"] for name, s in evaluation.truth_boxes.items()}
    if scored:
        best = max(scored, key=scored.__getitem__)
        base = scored.get("mean_shape", 0.0)
        remark = f"{_words(best)}, {scored[best] / base:.1f}× mean shape" if base > 0 else _words(best)
        cards.append(("Landmark AP, ground-truth boxes", _number(scored[best]), remark))
    own = {name: s.stats["AP"] for name, s in evaluation.own_boxes.items()}
    if own:
        best = max(own, key=own.__getitem__)
        cards.append(("Landmark AP, own boxes", _number(own[best]), _words(best)))
    if evaluation.boxes is not None:
        stats = evaluation.boxes.stats
        cards.append(("Box AP", _number(stats["AP"]), f"AP50 {_number(stats['AP50'])}"))
    garments = sum(evaluation.per_category["validation"])
    cards.append(("Garments judged", f"{garments:,}", f"on {num_images:,} pictures"))
    return cards


def _method_rows(methods: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows with value, "is the best of its column" and "has a bar"."""
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
                    for a, b in STEPS
                    if a in methods and b in methods
                ],
            }
        )
    return rows


def _cluster_rows(clusters: pd.DataFrame | None) -> list[tuple[str, list[dict[str, Any]]]]:
    """Categories with their clusters, each with ``heat`` 0..1 relative to the largest error."""
    rows: dict[str, list[dict[str, Any]]] = {}
    records = _records(clusters)
    top = max((c["error"] for c in records), default=0.0) or 1.0
    for c in records:
        rows.setdefault(category(c["category"]).label, []).append({**c, "heat": c["error"] / top})
    return list(rows.items())


def _worst_clusters(clusters: pd.DataFrame | None) -> list[dict[str, Any]]:
    records = _records(clusters)
    full = [c for c in records if c["garments"] >= _ENOUGH]
    return sorted(full, key=lambda c: -c["error"])[:_WORST]


def _by_index(table: pd.DataFrame) -> dict[str, dict[str, Any]]:
    return {
        str(name): {str(k): v for k, v in row.items()} for name, row in table.to_dict("index").items()
    }


def _records(table: pd.DataFrame | None) -> list[dict[str, Any]]:
    return (
        [] if table is None else [{str(k): v for k, v in r.items()} for r in table.to_dict("records")]
    )


def _jpeg(image: np.ndarray) -> str:
    """An image as a data address, at most 1200 pixels wide."""
    height, width = image.shape[:2]
    if width > _IMAGE_WIDTH:
        size = (_IMAGE_WIDTH, round(height * _IMAGE_WIDTH / width))
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    _, data = cv2.imencode(
        ".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 85]
    )
    return _data("jpeg", data.tobytes())


def _data(kind: str, content: bytes) -> str:
    return f"data:image/{kind};base64," + base64.b64encode(content).decode()


def _number(value: float) -> str:
    return "–" if math.isnan(value) or value < 0 else f"{value:.3f}"


def _gain(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:+.3f}".replace("-", "−")


def _words(name: str) -> str:
    return name.replace("_", " ")
