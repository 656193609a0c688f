"""Figure ``gain``: gain of finetuning against the number of training garments of a category.

The paper found no gain for the category with 543 garments and left open what to do. AP is that on
ground-truth boxes, where only the landmarkers differ; several seeds give an interval. On the rarest
categories the remedies of ``rare_category_remedies`` are measured too.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from fashion_ops.params import Params
from fashion_ops.taxonomy import CATEGORIES, CATEGORY_NAMES, category
from papers import landmarker_runs as runs
from papers import landmarker_scores as scoring
from papers.agg_finetune import paper
from papers.agg_finetune.rare_category_remedies import REMEDIES, train
from papers.config import TableConfig
from papers.evaluation_set import EvaluationSet, load_evaluation_set
from papers.table import MEAN, Column, PaperColumn, Table, garment_counts

EXTREME = 5  # number of rarest and of commonest categories
RAREST, COMMONEST, DIFFERENCE = "rarest", "commonest", "rarest - commonest"
_OURS, _THEIRS = "#2b6cb0", "#c05621"
_MARKS = dict(zip(REMEDIES, "^s*v", strict=True))


def run(config: TableConfig) -> Table:
    """Train what is missing for each seed and remedy; evaluate everything on ground-truth boxes.

    Raises:
        ValueError: an unknown remedy, or remedies with ``finetune.channels: own``.
    """
    evaluated, params = load_evaluation_set(config), runs.with_epochs(config)
    remedies = tuple(REMEDIES) if config.remedies is None else config.remedies
    if unknown := sorted(set(remedies) - set(REMEDIES)):
        raise ValueError(f"unknown remedies {unknown}; known: {', '.join(REMEDIES)}")
    if remedies and params.finetune.channels == "own":
        raise ValueError(
            "finetune.channels is own: the remedies share channels between categories; set it to "
            "grouping, or leave the remedies out (--remedies '')"
        )
    train_counts = dict(zip(CATEGORY_NAMES, garment_counts(evaluated.training_garments()), strict=True))
    validation_counts = dict(zip(CATEGORY_NAMES, garment_counts(evaluated.garments), strict=True))
    order = sorted(CATEGORY_NAMES, key=lambda name: train_counts[name])
    known = [name for name in order if train_counts[name] and validation_counts[name]]
    rare = known[:EXTREME]
    seeds = config.seeds or (params.seed,)
    before, gains, remedied = {}, {}, {remedy: {} for remedy in remedies}
    for seed in seeds:
        seeded = runs.with_changes(params, seed=seed)
        before[seed], after = ap_without_and_with(seeded, config, evaluated)
        gains[seed] = with_means(after - before[seed], known)
        for remedy in remedies:
            folders = {name: train(remedy, seeded, config, name, rare) for name in rare}
            gain = ap_of_models(folders, seeded, config, evaluated) - before[seed]
            remedied[remedy][seed] = with_means(gain, rare)
    rows = pd.DataFrame(
        {
            "train": train_counts,
            "AP w/o ft": pd.DataFrame(before).mean(axis=1),
            "gain": pd.DataFrame(gains).mean(axis=1),
            "± 95 %": half_width(pd.DataFrame(gains)),
            **{f"gain, {r}": pd.DataFrame(by_seed).mean(axis=1) for r, by_seed in remedied.items()},
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
        ours=f"{evaluated.name}, their own boxes; {landmarker.backbone} {width}x{height}, "
        f"{landmarker.epochs} epochs, then {run.epochs} of finetuning; seed "
        f"{', '.join(map(str, seeds))}",
        theirs=f"{paper.DATA}; boxes of HTC, one training",
        same_data=evaluated.is_papers_data,
        paper=(PaperColumn("gain", papers_gains()),),
        notes=(
            f"`{MEAN}`: all categories with training and validation garments; `{RAREST}` and "
            f"`{COMMONEST}`: the {EXTREME} with the fewest and with the most training garments.",
            "± 95 %: half the interval of the mean over the seeds (Student's t).",
            *(f"`{r}`: {REMEDIES[r]}; on the {EXTREME} rarest." for r in remedies),
            *_seed_notes(gains),
        ),
    )


def ap_without_and_with(
    params: Params, config: TableConfig, evaluated: EvaluationSet
) -> tuple[pd.Series, pd.Series]:
    """AP by category without and with finetuning, on ground-truth boxes."""
    universal = scoring.load_landmarker(runs.universal(params, config).landmarker, config.device)
    folders = runs.all_finetuned(params, config)
    tuned = {name: scoring.load_landmarker(folder, config.device) for name, folder in folders.items()}
    boxes, what = evaluated.garments, f"seed {params.seed}"
    tables = scoring.predict_landmarks(universal, tuned, evaluated, boxes, what)
    without, after = (ap_by_category(config, evaluated, tables[row]) for row in scoring.VARIANTS)
    return without, after


def ap_of_models(
    folders: Mapping[str, Path], params: Params, config: TableConfig, evaluated: EvaluationSet
) -> pd.Series:
    """AP by category of the landmarkers in these folders, on ground-truth boxes.

    Args:
        folders: finetuned landmarkers by category name.
        params: with which the universal landmarker was trained.
        config: options of the table.
        evaluated: the images.
    """
    universal = scoring.load_landmarker(runs.universal(params, config).landmarker, config.device)
    ids = [category(name).id for name in folders]
    boxes = evaluated.garments[evaluated.garments["category_id"].isin(ids)]
    tuned = {name: scoring.load_landmarker(folder, config.device) for name, folder in folders.items()}
    tables = scoring.predict_landmarks(universal, tuned, evaluated, boxes, "remedy")
    return ap_by_category(config, evaluated, tables["finetuned"])[list(folders)]


def ap_by_category(
    config: TableConfig, evaluated: EvaluationSet, predictions: pd.DataFrame
) -> pd.Series:
    """Landmark AP of each category; NaN for one without validation garments."""
    scores = scoring.landmark_scores(config, evaluated, predictions).per_category
    return pd.Series({c.name: scores[c.id] for c in CATEGORIES}).replace(-1.0, np.nan)


def with_means(gains: pd.Series, known: Sequence[str]) -> pd.Series:
    """Gains by category followed by their means.

    Args:
        gains: by category name.
        known: the categories that count for the means, rarest first.
    """
    counted = gains[list(known)]
    out = pd.concat([gains, pd.Series({RAREST: counted.iloc[:EXTREME].mean()})])
    if len(known) > EXTREME:
        out[MEAN], out[COMMONEST] = counted.mean(), counted.iloc[-EXTREME:].mean()
        out[DIFFERENCE] = out[RAREST] - out[COMMONEST]
    return out


def half_width(by_seed: pd.DataFrame) -> pd.Series:
    """Half of the 95 % interval of each row's mean over the seeds (columns); NaN for a single seed."""
    n = by_seed.shape[1]
    return by_seed.std(axis=1, ddof=1) / n**0.5 * (stats.t.ppf(0.975, n - 1) if n > 1 else np.nan)


def papers_gains() -> dict[str, float]:
    """The gains of the paper's Table 3, by category, and their means."""
    order = sorted(paper.TABLE_3, key=lambda name: paper.TABLE_3[name][0])
    gains = pd.Series({name: row[4] - row[3] for name, row in paper.TABLE_3.items()})
    return {str(k): float(v) for k, v in with_means(gains, order).round(6).items()}


def _seed_notes(gains: Mapping[int, pd.Series]) -> list[str]:
    return [
        f"Seed {seed}: mean {gain[MEAN]:+.4f}, rarest {gain[RAREST]:+.4f}, commonest "
        f"{gain[COMMONEST]:+.4f}."
        for seed, gain in gains.items()
        if MEAN in gain
    ]


def draw(table: Table, path: Path) -> None:
    """Draw gain over the number of garments: ours with intervals, the remedies, the paper's hollow."""
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
    for remedy, mark in _MARKS.items():
        if (name := f"gain, {remedy}") in ours:
            hollow = {"mfc": "none", "mec": "#4a5568", "ms": 8, "label": REMEDIES[remedy]}
            axes.plot(x, ours[name], mark, **hollow)
    theirs = pd.DataFrame(
        {"train": {n: row[0] for n, row in paper.TABLE_3.items()}, "gain": table.paper[0].values}
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
    """Write each point's category beside it, away from points and other labels where there is room."""
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
