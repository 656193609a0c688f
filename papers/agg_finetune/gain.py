"""Figure ``gain``: what finetuning brings against how many garments a category is trained on.

The paper found no gain for the category with 543 garments and left open what to do. Judged with
ground-truth boxes, where nothing but the landmarkers differs; several seeds give an interval. On the
rarest categories each of ``answers`` is measured too.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from fashion_ops.params import Params
from fashion_ops.taxonomy import CATEGORIES, CATEGORY_NAMES, category
from papers.agg_finetune import paper, runs, scoring
from papers.agg_finetune.rare_category_remedies import ANSWERS, train
from papers.config import Request
from papers.deepmark.table7 import counts
from papers.evaluation_set import Judged, load_judged
from papers.table import Column, PaperColumn, Table

EXTREME = 5  # categories that count as the rarest, and as the commonest
MEAN, RAREST, COMMONEST, DIFFERENCE = "mean", "rarest", "commonest", "rarest - commonest"
_OURS, _THEIRS = "#2b6cb0", "#c05621"
_MARKS = dict(zip(ANSWERS, "^s*v", strict=True))


def run(request: Request) -> Table:
    """Train what is missing of every seed and answer; judge all on ground-truth boxes."""
    judged, params = load_judged(request), runs.shorter(request)
    asked = tuple(ANSWERS) if request.answers is None else request.answers
    if unknown := sorted(set(asked) - set(ANSWERS)):
        raise ValueError(f"unknown answers {unknown}; known: {', '.join(ANSWERS)}")
    if asked and params.finetune.channels == "own":
        raise ValueError(
            "finetune.channels is own: the answers share channels between categories; set it to "
            "grouping, or ask for none of them (--answers '')"
        )
    everything = judged.catalog.garments
    train_counts = dict(
        zip(CATEGORY_NAMES, counts(everything[everything["split"] == "train"]), strict=True)
    )
    order = sorted(CATEGORY_NAMES, key=lambda name: train_counts[name])
    there = [n for n, c in zip(CATEGORY_NAMES, counts(judged.garments), strict=True) if c]
    known = [name for name in order if train_counts[name] and name in there]
    rare = known[:EXTREME]
    seeds = request.seeds or (params.seed,)
    before, gains, answered = {}, {}, {answer: {} for answer in asked}
    for seed in seeds:
        own = runs.changed(params, seed=seed)
        before[seed], after = both(own, request, judged)
        gains[seed] = with_means(after - before[seed], known)
        for answer in asked:
            folders = {name: train(answer, own, request, name, rare) for name in rare}
            better = of_folders(folders, own, request, judged) - before[seed]
            answered[answer][seed] = with_means(better, rare)
    rows = pd.DataFrame(
        {
            "train": train_counts,
            "AP w/o ft": pd.DataFrame(before).mean(axis=1),
            "gain": pd.DataFrame(gains).mean(axis=1),
            "± 95 %": half_width(pd.DataFrame(gains)),
            **{f"gain, {a}": pd.DataFrame(own).mean(axis=1) for a, own in answered.items()},
        }
    ).reindex([*order, MEAN, RAREST, COMMONEST, DIFFERENCE])
    landmarker, run = params.train_landmarker, params.categories[order[0]].finetune
    width, height = landmarker.crop
    return Table(
        name="gain",
        title="Aggregation & Finetuning: gain of finetuning against training garments",
        columns=(
            Column("train", 0, drawn=False),
            Column("AP w/o ft"),
            *(Column(name) for name in rows.columns[2:]),
        ),
        rows=rows.rename_axis("category"),
        ours=f"{judged.name}, their own boxes; {landmarker.backbone} {width}x{height}, "
        f"{landmarker.epochs} epochs, then {run.epochs} of finetuning; seed "
        f"{', '.join(map(str, seeds))}",
        theirs=f"{paper.DATA}; boxes of HTC, one training",
        same_data=judged.same,
        paper=(PaperColumn("gain", printed()),),
        notes=(
            f"`{MEAN}`: all categories that were trained and judged; `{RAREST}` and `{COMMONEST}`: the "
            f"{EXTREME} with the fewest and with the most training garments.",
            "± 95 %: half the interval of the mean over the seeds (Student's t).",
            *(f"`{a}`: {ANSWERS[a]}; on the {EXTREME} rarest." for a in asked),
            *_seed_notes(gains),
        ),
    )


def both(params: Params, request: Request, judged: Judged) -> tuple[pd.Series, pd.Series]:
    """AP by category without and with finetuning, ground-truth boxes."""
    universal = scoring.load(runs.universal(params, request).landmarker)
    tuned = {n: scoring.load(path) for n, path in runs.all_finetuned(params, request).items()}
    made = scoring.landmarks(universal, tuned, judged, judged.garments, f"seed {params.seed}")
    without, after = (by_category(request, judged, made[row]) for row in scoring.VARIANTS)
    return without, after


def of_folders(
    folders: Mapping[str, Path],
    params: Params,
    request: Request,
    judged: Judged,
) -> pd.Series:
    """AP of some categories by the models in these folders, ground-truth boxes."""
    universal = scoring.load(runs.universal(params, request).landmarker)
    ids = [category(name).id for name in folders]
    boxes = judged.garments[judged.garments["category_id"].isin(ids)]
    tuned = {name: scoring.load(path) for name, path in folders.items()}
    made = scoring.landmarks(universal, tuned, judged, boxes, "answer")["finetuned"]
    return by_category(request, judged, made)[list(folders)]


def by_category(request: Request, judged: Judged, predictions: pd.DataFrame) -> pd.Series:
    """AP of each category; NaN where there is nothing to judge."""
    found = scoring.score(request, judged, predictions).per_category
    return pd.Series({c.name: found[c.id] for c in CATEGORIES}).replace(-1.0, np.nan)


def with_means(gains: pd.Series, known: Sequence[str]) -> pd.Series:
    """Gains by category and their means; ``known``: categories that count, rarest first."""
    own = gains[list(known)]
    out = pd.concat([gains, pd.Series({RAREST: own.iloc[:EXTREME].mean()})])
    if len(known) > EXTREME:
        out[MEAN], out[COMMONEST] = own.mean(), own.iloc[-EXTREME:].mean()
        out[DIFFERENCE] = out[RAREST] - out[COMMONEST]
    return out


def half_width(by_seed: pd.DataFrame) -> pd.Series:
    """Half of the 95 % interval of each row's mean over the seeds; NaN of a single seed."""
    n = by_seed.shape[1]
    return by_seed.std(axis=1, ddof=1) / n**0.5 * (stats.t.ppf(0.975, n - 1) if n > 1 else np.nan)


def printed() -> dict[str, float]:
    """The paper's gains, Table 3."""
    order = sorted(paper.TABLE_3, key=lambda name: paper.TABLE_3[name][0])
    gains = pd.Series({name: own[4] - own[3] for name, own in paper.TABLE_3.items()})
    return {str(k): float(v) for k, v in with_means(gains, order).round(6).items()}


def _seed_notes(gains: Mapping[int, pd.Series]) -> list[str]:
    return [
        f"Seed {seed}: mean {own[MEAN]:+.4f}, rarest {own[RAREST]:+.4f}, commonest "
        f"{own[COMMONEST]:+.4f}."
        for seed, own in gains.items()
        if MEAN in own
    ]


def draw(table: Table, path: Path) -> None:
    """Gain over the number of garments: ours with intervals, the answers, the paper's hollow."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5.2), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    ours = table.rows.loc[list(CATEGORY_NAMES)].astype(float)
    ours = ours[ours["train"] > 0]
    x, width = ours["train"], ours["± 95 %"].fillna(0)
    style = {"color": _OURS, "ms": 6, "lw": 1, "zorder": 3}
    axes.errorbar(x, ours["gain"], width, fmt="o", label="finetuned", **style)
    for answer, mark in _MARKS.items():
        if (name := f"gain, {answer}") in ours:
            hollow = {"mfc": "none", "mec": "#4a5568", "ms": 8, "label": ANSWERS[answer]}
            axes.plot(x, ours[name], mark, **hollow)
    theirs = pd.DataFrame(
        {"train": {n: own[0] for n, own in paper.TABLE_3.items()}, "gain": table.paper[0].values}
    ).loc[list(CATEGORY_NAMES)]
    hollow = {"mfc": "none", "mec": _THEIRS, "ms": 6, "label": "paper (DeepFashion2)"}
    axes.plot(theirs["train"], theirs["gain"], "D", **hollow)
    axes.axhline(0, color="#888888", lw=0.8)
    axes.set_xscale("log")
    axes.set_xlabel("garments that the category is trained on")
    axes.set_ylabel("AP with finetuning - AP without")
    axes.set_title(table.title, fontsize=10, loc="left")
    axes.grid(color="#e2e8f0", lw=0.6)
    axes.legend(fontsize=8, frameon=False)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    _label(axes, ((ours, _OURS), (theirs, _THEIRS)))
    figure.savefig(path, dpi=110, metadata={"Software": None})


def _label(axes, series: Iterable[tuple[pd.DataFrame, str]]) -> None:  # noqa: ANN001 (matplotlib's Axes)
    """Write each point's category beside it, where no point and no other label is, if there is room."""
    from matplotlib.transforms import Bbox

    axes.figure.draw_without_rendering()  # places the axes
    named = [
        (str(name).replace("_", " "), tuple(at), color)
        for rows, color in series
        for name, at in zip(rows.index, rows[["train", "gain"]].to_numpy(float), strict=True)
        if np.isfinite(at).all()
    ]
    taken = [
        Bbox.from_bounds(x - 5, y - 5, 10, 10)
        for x, y in (axes.transData.transform(n[1]) for n in named)
    ]
    for text, at, color in named:
        style = {"textcoords": "offset points", "fontsize": 6, "color": color, "va": "center"}
        for side, dy in product((1, -1), (0, 5, -5, 9, -9)):
            label = axes.annotate(text, at, (6 * side, dy), ha="left" if side > 0 else "right", **style)
            if not label.get_window_extent().count_overlaps(taken):
                break
            label.remove()
        else:
            label = axes.annotate(text, at, (6, 0), **style)
        taken.append(label.get_window_extent())
