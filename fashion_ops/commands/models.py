"""Commands for trained models: find garments in photos, count parameters."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from fashion_ops import CHAMPION_URI
from fashion_ops.commands.named_models import (
    default_model,
    find_models,
    load_predictor,
    stored_threshold,
)
from fashion_ops.commands.shared import (
    Device,
    between,
    complain,
    params_or_defaults,
    report,
    with_device,
)
from fashion_ops.errors.failures import printable
from fashion_ops.files.publishing import write_whole

if TYPE_CHECKING:
    from fashion_ops.inference.alignment_predictor import AlignmentPredictor
    from fashion_ops.inference.edge import EdgePredictor, Runtime
    from fashion_ops.inference.predictor import Garment, Predictor
    from fashion_ops.methods.centernet.deploy.photo import Photo

MinScore = Annotated[
    float | None,
    typer.Option(
        callback=lambda value: None if value is None else between(0, 1)(value),
        help="Leave out garments below this score, 0 to 1. Default: the score stored with the model.",
    ),
]


def predict(
    photos: Annotated[
        list[str],
        typer.Argument(
            help="Photos: JPEG of up to 4.2 gigapixels, other formats of up to 67 megapixels. With "
            "--table also folders, globs, Parquet tables of URIs or bytes, and URIs such as s3://.",
            show_default=False,
        ),
    ],
    out: Annotated[
        Path | None, typer.Option(help="A few photos: folder for PHOTO.json and PHOTO.png.")
    ] = None,
    table: Annotated[
        Path | None,
        typer.Option(
            help="Any number of photos: folder for a Parquet table, one row a photo. Run the same "
            "command again to go on with a run that was interrupted."
        ),
    ] = None,
    coco: Annotated[
        bool, typer.Option("--coco", help="With --table: COCO results too, TABLE/coco.json.")
    ] = False,
    model: Annotated[
        str | None,
        typer.Option(
            help="models:/NAME@ALIAS, a folder of models, one of a detector or its export, models/dfa "
            "or models/gle for FLD's eight landmarks, or shipped: the models in the package. Default: "
            f"{CHAMPION_URI}, or shipped where there is none.",
        ),
    ] = None,
    min_score: MinScore = None,
    reference: Annotated[
        Literal["auto", "sheet", "a4", "letter", "card", "none"] | None,
        typer.Option(help="With --table: sizes of the garments too, by this reference, see `measure`."),
    ] = None,
    runtime: Annotated[
        Literal["torch", "onnx", "openvino"],
        typer.Option(help="onnx and openvino run an exported folder, on the CPU."),
    ] = "torch",
    device: Device = None,
) -> None:
    """Find garments in photos: categories, boxes and named landmarks.

    With --out, a few photos become JSON files and drawings. A photo that fails is reported, and the
    others are done; the exit status is 1 then.

    With --table, millions of photos become rows of a Parquet table, on all cores and GPUs of this
    machine or on the Ray cluster at RAY_ADDRESS. A photo that fails is a row with the reason.
    """
    if (out is None) == (table is None):
        raise ValueError("predict: name either --out FOLDER (a few photos) or --table FOLDER (many)")
    if coco and table is None:
        raise ValueError("predict: --coco goes with --table FOLDER, not with --out")
    if reference is not None and table is None:
        raise ValueError(
            f"predict: --reference {reference} goes with --table FOLDER; `fashion-ops measure` "
            "measures a few photos"
        )
    if device == "cuda" and runtime != "torch":
        raise ValueError(
            f"--device cuda: the runtime {runtime} runs on the CPU; leave it out or use --runtime torch"
        )
    settings = with_device(params_or_defaults(), device).distributed
    if out is not None:
        _predict_few(photos, out, model, min_score, runtime, settings.device)
    elif table is not None:
        from fashion_ops.commands.bulk import Model, predict_table
        from fashion_ops.files.outputs import check_above

        check_above(table)  # before the registry is asked
        scaling = None
        if reference is not None:
            from fashion_ops.measurement.references import Scaling

            scaling = Scaling(reference)
        model = model or default_model()
        folder = find_models(model)
        least = stored_threshold(folder) if min_score is None else min_score
        of = Model(model, folder, runtime, least, scaling)
        predict_table(photos, table, of, settings, coco=coco)


def _predict_few(
    given: list[str],
    out: Path,
    model: str | None,
    min_score: float | None,
    runtime: "Runtime",
    device: str,
) -> None:
    """Write JSON and a drawing of each photo; the others are done where some are no photo.

    Raises:
        ValueError: none of them is a photo: they are folders, globs, tables or URIs.
    """
    from fashion_ops.commands.result_names import result_names
    from fashion_ops.inference.bulk.listing import kind_of

    others = {photo: kind for photo in given if (kind := kind_of(photo))}
    refusals = [
        ValueError(f"{photo}: is {kind}; predict its photos with --table FOLDER, or name photos")
        for photo, kind in others.items()
    ]
    photos = [Path(photo) for photo in given if photo not in others]
    if not photos:
        raise refusals[0]
    names = result_names(photos, out)
    predictor = load_predictor(model or default_model(), runtime, device)
    for refusal in refusals:
        report(refusal)
    failed = len(refusals)
    for photo, name in zip(photos, names, strict=True):
        try:
            typer.echo(_predict_photo(predictor, photo, out / name, min_score))
        except Exception as error:  # whatever it is, the other photos are done
            report(error)
            failed += 1
    if failed and len(given) > 1:
        complain(f"{failed} of {len(given)} photos failed, as said above; the others are done")
    if failed:
        raise typer.Exit(1)


def _predict_photo(
    predictor: "Predictor | AlignmentPredictor | EdgePredictor",
    path: Path,
    target: Path,
    min_score: float | None,
) -> str:
    """Write ``target`` with .json and .png behind it; returns the line that says so.

    Raises:
        ValueError: the photo cannot be read.
        OSError: a file cannot be written.
    """
    from fashion_ops.inference.predictor import load_photo

    photo = load_photo(path)
    garments = predictor.predict(photo, min_score)
    result = {"photo": printable(path.name), "garments": [g.to_json() for g in garments]}
    drawn = _drawn(photo, garments)
    write_whole(Path(f"{target}.json"), (json.dumps(result, indent=1) + "\n").encode())
    write_whole(Path(f"{target}.png"), drawn)
    names = ", ".join(f"{g.category} {g.score:.2f}" for g in garments)
    if not names:
        names = _below(predictor.predict(photo, 0.0), predictor.min_score, min_score)
    return f"{printable(path)}: {names} -> {printable(target)}.png"


def _below(garments: "list[Garment]", model_score: float, min_score: float | None) -> str:
    """What is said of a photo whose garments, best first, all have a score that is too low."""
    least = model_score if min_score is None else min_score
    if not garments:
        return f"no garment from score {least:.2f} on"
    best = garments[0]
    shows = int(best.score * 100) / 100
    return (
        f"no garment from score {least:.2f} on; the best, {best.category}, has {best.score:.2f} "
        f"(--min-score {shows:.2f} shows it)"
    )


def _drawn(photo: "Photo", garments: "list[Garment]") -> bytes:
    """A PNG of a photo with its garments drawn and the mark of this command.

    A photo of reduced size is drawn at that size.
    """
    import numpy as np

    from fashion_ops.commands.result_names import MARK
    from fashion_ops.files.outputs import marked_png
    from fashion_ops.reports.draw import CONFIDENT, DrawnGarment, draw_garments, encode_png
    from fashion_ops.taxonomy import category
    from fashion_ops.taxonomy.alignment import CLOTHES_TYPES

    drawn = []
    for g in garments:
        landmarks = np.array(list(g.landmarks.values()))
        if g.visibility is not None:  # occluded ones are hollow, cut-off ones are not drawn
            shown = {"visible": 1.0, "occluded": CONFIDENT / 2, "cut off": 0.0}
            landmarks[:, 2] = [shown[g.visibility[name]] for name in g.landmarks]
        landmarks[:, :2] = photo.to_pixels(landmarks[:, :2])
        box = photo.to_pixels(np.array(g.box).reshape(2, 2)).reshape(4)
        code = CLOTHES_TYPES.index(g.clothes_type) + 1 if g.clothes_type else None
        drawn.append(DrawnGarment(category(g.category).id, box, landmarks, g.score, code))
    return marked_png(encode_png(draw_garments(photo.pixels, drawn)), MARK)


def describe(
    method: Annotated[
        str, typer.Argument(help="detector | landmarker | refiner | dfa | deeppose | gle")
    ],
    backbone: Annotated[str | None, typer.Option(help="Default: that of params.yaml.")] = None,
    grouping: Annotated[str | None, typer.Option(help="none | agg81 | semantic62")] = None,
    category: Annotated[str | None, typer.Option(help="Category of a refiner.")] = None,
    size: Annotated[str | None, typer.Option(help="Pixels: 256, or WIDTHxHEIGHT.")] = None,
    head: Annotated[
        Literal["heatmap", "simcc", "rle"] | None, typer.Option(help="Head of a landmarker.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Parameters, multiply-accumulates and output channels of a network, by part."""
    from fashion_ops.methods import describe as descriptions

    pixels = descriptions.parse_size(size) if size else None
    description = descriptions.describe(
        method, params_or_defaults(), backbone, grouping, category, pixels, head
    )
    typer.echo(json.dumps(description, indent=1) if as_json else descriptions.as_text(description))
