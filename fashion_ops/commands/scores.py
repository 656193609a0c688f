"""Scores and pseudo-labels of files that the pipeline did not make."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from fashion_ops.commands.shared import complain, read_params
from fashion_ops.taxonomy import CATEGORY_NAMES


def score(
    annotations: Annotated[
        Path,
        typer.Option(help="Ground truth: COCO form with 294 keypoints; else an alignment catalog."),
    ],
    predictions: Annotated[
        Path,
        typer.Option(
            help="COCO results with keypoints; else parquet: garment_id, landmarks (x, y, s)."
        ),
    ],
    metric: Annotated[
        Literal["ap", "ne", "pdl", "pcp"],
        typer.Option(help="Official AP; normalised error, detected landmarks; correct parts (LSP)."),
    ] = "ap",
    split: Annotated[str, typer.Option(help="NE, PDL, PCP: which garments.")] = "test",
    clothes_type: Annotated[
        Literal["upper", "lower", "full"] | None, typer.Option(help="NE, PDL: only these.")
    ] = None,
    subset: Annotated[
        str | None,
        typer.Option(help="NE, PDL: normal_, medium_, large_pose, medium_zoom_in, large_zoom_in."),
    ] = None,
    frame: Annotated[
        Literal["letterbox", "box"], typer.Option(help="NE, PDL: what lengths are divided by.")
    ] = "letterbox",
    pixels: Annotated[float, typer.Option(min=0, help="PDL: of a 224-pixel frame.")] = 15.0,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Official landmark AP of COCO results, or NE, PDL or PCP of predictions on alignment data."""
    try:
        if metric == "ap":
            scores, text = _official_ap(annotations, predictions)
        else:
            from fashion_ops.evaluation.alignment_scores import Wanted, as_text, score_catalog

            labels = f"{read_params()[0].ingest_alignment.lsp_convention}-centric"
            wanted = Wanted(metric, split, clothes_type, subset, frame, pixels, labels)
            scores = score_catalog(annotations, predictions, wanted)
            text = as_text(scores)
    except ValueError as error:
        complain(error)
        raise typer.Exit(2) from error
    typer.echo(json.dumps(scores, indent=1) if as_json else text)


def _official_ap(annotations: Path, predictions: Path) -> tuple[dict[str, Any], str]:
    from fashion_ops.evaluation.coco_files import score_files

    scores = score_files(annotations, predictions)
    lines = list(zip(scores["stats_order"], scores["stats"], strict=True))
    lines += [(CATEGORY_NAMES[int(n) - 1], v) for n, v in scores["per_category_AP"].items()]
    return scores, "\n".join(f"{name:24} {value:7.4f}" for name, value in lines)


def pseudo_label_table(
    landmarks: Annotated[Path, typer.Argument(help="CSV: NAME_x, NAME_y and maybe NAME_vis.")],
    also: Annotated[
        list[Path] | None, typer.Option(help="Label this table too, by the same centres.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for centres and labels.")] = None,
    clusters: Annotated[int, typer.Option(min=1, help="K.")] = 20,
    temperature: Annotated[float, typer.Option(help="T, in a 224-pixel frame.")] = 20.0,
    seed: Annotated[int, typer.Option(help="Of the k-means start.")] = 0,
) -> None:
    """DFA's clusters and soft labels from a table of FLD landmarks alone."""
    from fashion_ops.commands import label_table

    try:
        rows = label_table.run(landmarks, also or [], out, clusters, temperature, seed)
    except ValueError as error:
        complain(error)
        raise typer.Exit(2) from error
    for row in rows:
        typer.echo(f"{row.pop('table')}: {row.pop('rows')} rows, {row.pop('complete')} complete")
        for name, value in row.items():
            label = name if name.startswith("nearest") else f"perplexity, {name}"
            typer.echo(f"  {label:28} {value:8.2f}")
