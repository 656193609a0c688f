"""Commands for files that the pipeline did not make: scores and pseudo-labels."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from fashion_ops.commands.shared import between, params_or_defaults
from fashion_ops.taxonomy import CATEGORY_NAMES


def score(
    annotations: Annotated[
        Path,
        typer.Option(help="AP: COCO annotations with 294 keypoints; else an alignment catalog."),
    ],
    predictions: Annotated[
        Path,
        typer.Option(
            help="AP: COCO results with keypoints; else parquet: garment_id, landmarks (x, y, score)."
        ),
    ],
    metric: Annotated[
        Literal["ap", "ne", "pdl", "pcp"],
        typer.Option(help="Official AP; normalised error, detected landmarks; correct parts (LSP)."),
    ] = "ap",
    split: Annotated[str, typer.Option(help="NE, PDL, PCP: split of the garments.")] = "test",
    clothes_type: Annotated[
        Literal["upper", "lower", "full"] | None,
        typer.Option(help="NE, PDL: only garments of this type."),
    ] = None,
    subset: Annotated[
        str | None,
        typer.Option(help="NE, PDL: normal_, medium_, large_pose, medium_zoom_in, large_zoom_in."),
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
    """Official landmark AP of COCO results, or NE, PDL or PCP of predictions on alignment data."""
    if metric == "ap":
        from fashion_ops.evaluation.coco_files import score_files

        scores = score_files(annotations, predictions)
        text = _ap_text(scores)
    else:
        from fashion_ops.evaluation.alignment_scores import ScoreOptions, score_catalog

        labels = f"{params_or_defaults().ingest_alignment.lsp_convention}-centric"
        options = ScoreOptions(metric, split, clothes_type, subset, frame, pixels, labels)
        scores = score_catalog(annotations, predictions, options)
        text = _alignment_text(scores)
    typer.echo(json.dumps(scores, indent=1) if as_json else text)


def _ap_text(scores: dict[str, Any]) -> str:
    """One line per official number and category."""
    lines = list(zip(scores["stats_order"], scores["stats"], strict=True))
    lines += [(CATEGORY_NAMES[int(n) - 1], v) for n, v in scores["per_category_AP"].items()]
    return "\n".join(f"{name:24} {value:7.4f}" for name, value in lines)


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
