"""Commands for files that the pipeline did not make: scores and pseudo-labels."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from fashion_ops.commands.shared import between, params_or_defaults
from fashion_ops.taxonomy import CATEGORY_NAMES, category
from fashion_ops.taxonomy.alignment import CLOTHES_TYPES

SUBSETS = ("normal_pose", "medium_pose", "large_pose", "medium_zoom_in", "large_zoom_in")


def score(
    annotations: Annotated[
        Path,
        typer.Option(help="AP, PCK: COCO annotations with 294 keypoints; else an alignment catalog."),
    ],
    predictions: Annotated[
        Path,
        typer.Option(
            help="AP, PCK: COCO results with keypoints; else parquet: garment_id, landmarks "
            "(x, y, score)."
        ),
    ],
    metric: Annotated[
        Literal["ap", "pck", "ne", "pdl", "pcp"],
        typer.Option(
            help="Official AP; PCK@0.2, AUC and EPE by category; normalised error, detected landmarks; "
            "correct parts (LSP)."
        ),
    ] = "ap",
    split: Annotated[str, typer.Option(help="NE, PDL, PCP: split of the garments.")] = "test",
    only: Annotated[
        list[str] | None,
        typer.Option(
            help="NE, PDL: upper, lower or full, and normal_pose, medium_pose, large_pose, "
            "medium_zoom_in or large_zoom_in: only such garments."
        ),
    ] = None,
    frame: Annotated[
        Literal["letterbox", "box"],
        typer.Option(help="NE, PDL: frame whose sides distances are divided by."),
    ] = "letterbox",
    pixels: Annotated[
        float,
        typer.Option(callback=between(0), help="PDL: threshold in a 224-pixel frame."),
    ] = 15.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Official landmark AP or PCK of COCO results, or NE, PDL or PCP on alignment data."""
    if metric == "pck":
        from fashion_ops.evaluation.coco_results import idle_processors
        from fashion_ops.evaluation.file_accuracy import score_accuracy

        scores = score_accuracy(annotations, predictions, idle_processors())
        text = _accuracy_text(scores)
    elif metric == "ap":
        from fashion_ops.evaluation.coco_files import score_files
        from fashion_ops.evaluation.coco_results import idle_processors

        scores = score_files(annotations, predictions, idle_processors())
        text = _ap_text(scores)
    else:
        from fashion_ops.evaluation.alignment_scores import ScoreOptions, score_catalog

        labels = f"{params_or_defaults().ingest_alignment.lsp_convention}-centric"
        chosen = _chosen(only or [])
        options = ScoreOptions(metric, split, *chosen, frame, pixels, labels)
        scores = score_catalog(annotations, predictions, options)
        text = _alignment_text(scores)
    typer.echo(json.dumps(scores, indent=1) if as_json else text)


def _chosen(only: Sequence[str]) -> tuple[str | None, str | None]:
    """The type of clothes and the subset that ``--only`` names, each None where it names none.

    Raises:
        ValueError: it names two types or subsets, or something else.
    """
    kinds: list[str | None] = [None, None]
    for value in only:
        if value not in (*CLOTHES_TYPES, *SUBSETS):
            raise ValueError(f"--only {value}: expected one of {', '.join((*CLOTHES_TYPES, *SUBSETS))}")
        kind = int(value in SUBSETS)
        if kinds[kind] not in (None, value):
            raise ValueError(f"--only {kinds[kind]} and --only {value}: no garment is both; give one")
        kinds[kind] = value
    return kinds[0], kinds[1]


def _ap_text(scores: dict[str, Any]) -> str:
    """One line per official number and category; categories have the name that the file gives them."""
    lines = list(zip(scores["stats_order"], scores["stats"], strict=True))
    names = scores["category_names"]
    lines += [(_label(c, names[c]), v) for c, v in scores["per_category_AP"].items()]
    return "\n".join(f"{name:24} {value:7.4f}" for name, value in lines)


def _accuracy_text(scores: dict[str, Any]) -> str:
    """One line per category; mmpose's published row, where there is one, stands under it."""
    from fashion_ops.evaluation.keypoint_accuracy import PUBLISHED

    names, labels = scores["category_names"], ["PCK@0.2", "corner", "AUC", "EPE, px"]
    titles = {c: _label(c, names[c]) if c in names else c for c in scores["rows"]}
    published = "  mmpose, published"
    width = max(len(published), *map(len, titles.values()))
    lines = [f"{'':{width}} {'garments':>8}" + "".join(f" {label:>9}" for label in labels)]
    for row_id, (garments, *numbers) in scores["rows"].items():
        lines.append(f"{titles[row_id]:{width}} {garments:8d}" + "".join(f" {n:9.4f}" for n in numbers))
        if (ours := _our_name(row_id, names.get(row_id, ""))) in PUBLISHED:
            corner, auc, epe = PUBLISHED[ours]
            lines.append(
                f"{'  mmpose, published':30} {'':8} {'':9} {corner:9.3f} {auc:9.3f} {epe:9.2f}"
            )
    return "\n".join(lines)


def _label(category_id: str, name: str) -> str:
    """The file's name of a category, and ours where it is another; without a name, ours or the id."""
    ours = _our_name(category_id, name)
    if not name:
        return ours or f"category {category_id}"
    if not ours:
        return f"{name} (id {category_id})"
    return name if name == ours else f"{name} ({ours})"


def _our_name(category_id: str, name: str) -> str:
    """Our name of a category of a file: by the file's name, or by its id without one; "" if unknown."""
    if not name:
        ours = category_id.isdecimal() and 1 <= int(category_id) <= len(CATEGORY_NAMES)
        return CATEGORY_NAMES[int(category_id) - 1] if ours else ""
    try:
        return category(name).name
    except KeyError:
        return ""


def _alignment_text(scores: dict[str, Any]) -> str:
    """The convention of each row, then one line per number."""
    subset = f", {scores['subset']}" if "subset" in scores else ""
    metric = scores["metric"].upper()
    lines = [f"{metric} on {scores['split']}, {scores['garments']} garments{subset}"]
    if "frame" in scores:
        lines.append(f"frame: {scores['frame']}")
    for row in scores["rows"]:
        if "convention" in row:
            lines.append(row["convention"])
            numbers = {k: v for k, v in row.items() if k != "convention"}
        else:
            within = f", within {row['pixels']:g} of 224 px" if "pixels" in row else ""
            lines.append(f"points: {row['points']} ({row['count']}){within}")
            numbers = row["per_landmark"] | {"macro": row["macro"], "micro": row["micro"]}
            numbers |= {f"macro at {px} px": v for px, v in row.get("curve", {}).items()}
        lines += [f"  {name:22} {value:8.4f}" for name, value in numbers.items()]
    return "\n".join(lines)


def pseudo_label_table(
    landmarks: Annotated[Path, typer.Argument(help="CSV with NAME_x, NAME_y and optionally NAME_vis.")],
    also: Annotated[
        list[Path] | None, typer.Option(help="Further tables to label with the same centres.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for centres and labels.")] = None,
    clusters: Annotated[int, typer.Option(min=1, help="K.")] = 20,
    temperature: Annotated[
        float, typer.Option(callback=between(0, above=True), help="T, in a 224-pixel frame.")
    ] = 20.0,
    seed: Annotated[int, typer.Option(min=0, help="Of the k-means initialisation.")] = 0,
) -> None:
    """DFA's clusters and soft labels from a table of FLD landmarks alone."""
    from fashion_ops.commands import label_table

    rows = label_table.run(landmarks, also or [], out, clusters, temperature, seed)
    for row in rows:
        typer.echo(f"{row.pop('table')}: {row.pop('rows')} rows, {row.pop('complete')} complete")
        for name, value in row.items():
            label = name if name.startswith("nearest") else f"perplexity, {name}"
            typer.echo(f"  {label:28} {value:8.2f}")
