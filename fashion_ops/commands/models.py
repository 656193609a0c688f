"""Commands for trained models: find garments in photos, export a detector, count parameters."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from fashion_ops.commands.shared import complain, exit_on, read_params

if TYPE_CHECKING:
    import numpy as np

    from fashion_ops.inference.edge import EdgePredictor, Runtime
    from fashion_ops.inference.predictor import Garment, Predictor

CHAMPION = "models:/garment-landmarks@champion"


def predict(
    photos: Annotated[list[Path], typer.Argument(help="Photos of any size.")],
    out: Annotated[Path, typer.Option(help="Folder for PHOTO.json and PHOTO.png.")],
    model: Annotated[
        str,
        typer.Option(
            help="models:/NAME@ALIAS, a folder of models, or one of a detector or its export."
        ),
    ] = CHAMPION,
    min_score: Annotated[float, typer.Option(help="Leave out garments below this score.")] = 0.3,
    runtime: Annotated[
        Literal["torch", "onnx", "openvino"],
        typer.Option(help="onnx and openvino run an exported folder."),
    ] = "torch",
) -> None:
    """Find garments in photos: categories, boxes and named landmarks, as JSON and drawn."""
    from fashion_ops.commands.result_names import result_names
    from fashion_ops.files.publishing import write_whole

    with exit_on(ValueError, OSError):
        names = result_names(photos, out)
    try:
        predictor = load_predictor(model, runtime)
    except (FileNotFoundError, ValueError) as error:
        complain(error)
        raise typer.Exit(2) from error
    from fashion_ops.inference.predictor import read_photo

    failed = False
    for photo, name in zip(photos, names, strict=True):
        try:
            pixels = read_photo(photo)
            garments = predictor.predict(pixels, min_score)
        except ValueError as error:
            failed = True
            complain(error)
            continue
        result = {"photo": photo.name, "garments": [g.to_json() for g in garments]}
        write_whole(out / f"{name}.json", (json.dumps(result, indent=1) + "\n").encode())
        write_whole(out / f"{name}.png", _drawn(pixels, garments))
        found = ", ".join(f"{g.category} {g.score:.2f}" for g in garments) or "no garment"
        typer.echo(f"{photo}: {found} -> {out / name}.png")
    if failed:
        raise typer.Exit(1)


def _drawn(pixels: "np.ndarray", garments: "list[Garment]") -> bytes:
    """A PNG of a photo with its garments drawn, with the mark of this command."""
    import cv2
    import numpy as np

    from fashion_ops.commands.result_names import MARK
    from fashion_ops.files.outputs import marked_png
    from fashion_ops.reports.draw import DrawnGarment, draw_garments
    from fashion_ops.taxonomy import category

    drawn = [
        DrawnGarment(
            category(g.category).id, np.array(g.box), np.array(list(g.landmarks.values())), g.score
        )
        for g in garments
    ]
    page = cv2.cvtColor(draw_garments(pixels, drawn), cv2.COLOR_RGB2BGR)
    return marked_png(cv2.imencode(".png", page)[1].tobytes(), MARK)


def load_predictor(model: str, runtime: "Runtime") -> "Predictor | EdgePredictor":
    """Load all models of a bundle in torch, or one detector in any runtime.

    Args:
        model: ``models:/NAME@ALIAS`` or the folder of a bundle; the folder of a detector or its export.
        runtime: onnx and openvino need an exported folder.

    Raises:
        FileNotFoundError: no such model.
        ValueError: the model is for another runtime.
    """
    from fashion_ops.inference.edge import EdgePredictor
    from fashion_ops.methods.artifact import SPEC
    from fashion_ops.methods.centernet.deploy.graph import GRAPH

    folder = Path(model)
    is_detector = (folder / SPEC).is_file() or (folder / GRAPH).is_file()
    if runtime == "torch" and not is_detector:
        import fashion_ops

        return fashion_ops.load(model)
    return EdgePredictor.load(folder, runtime)


export = typer.Typer(no_args_is_help=True, help="Write a model for ONNX Runtime or OpenVINO.")


@export.callback()
def _export() -> None:
    """Makes the name of the model a word of its own."""


@export.command("detector")
def export_detector(
    form: Annotated[Literal["onnx", "openvino"], typer.Option("--format")] = "onnx",
    out: Annotated[Path | None, typer.Option(help="Default: exports/detector-FORMAT.")] = None,
    model: Annotated[Path, typer.Option(help="Folder of models, or of a detector.")] = Path("models"),
    precision: Annotated[
        Literal["fp32", "bf16", "int8"] | None,
        typer.Option(help="Default: bf16 where the CPU has it for openvino, fp32 for onnx."),
    ] = None,
    decode: Annotated[
        bool, typer.Option("--decode/--maps", help="Whether the graph outputs garments or maps.")
    ] = False,
    dynamic_batch: Annotated[
        bool, typer.Option("--dynamic-batch", help="Any number of images at once.")
    ] = False,
    calibration: Annotated[int, typer.Option(min=1, help="INT8: train images to calibrate on.")] = 64,
    images: Annotated[int, typer.Option(min=1, help="INT8: images to evaluate on.")] = 200,
) -> None:
    """Write the detector for ONNX Runtime or OpenVINO, compared with torch; for INT8 also its AP."""
    from fashion_ops.files.outputs import check_folder
    from fashion_ops.methods.centernet.deploy.graph import EXPORT, ExportConfig

    params, ws = read_params()
    precision = precision or ("bf16" if form == "openvino" else "fp32")
    config = ExportConfig(form, precision, decode, dynamic_batch)
    out = out or Path("exports") / f"detector-{form}"
    with exit_on(ValueError):
        check_folder(out, EXPORT, inputs=(model, ws.catalog))
    from fashion_ops.inference.export_detector import as_text, export_and_evaluate

    try:
        exported, metrics = export_and_evaluate(params, ws, model, out, config, calibration, images)
    except (FileNotFoundError, ValueError) as error:
        complain(error)
        raise typer.Exit(2) from error
    typer.echo(as_text(exported, metrics))


def describe(
    method: Annotated[str, typer.Argument(help="detector | landmarker | refiner | dfa | deeppose")],
    backbone: Annotated[str | None, typer.Option(help="Default: that of params.yaml.")] = None,
    grouping: Annotated[str | None, typer.Option(help="none | agg81 | semantic62")] = None,
    category: Annotated[str | None, typer.Option(help="Category of a refiner.")] = None,
    size: Annotated[str | None, typer.Option(help="Pixels: 256, or WIDTHxHEIGHT.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
) -> None:
    """Parameters, multiply-accumulates and output channels of a network, by part."""
    from fashion_ops.methods import describe as descriptions

    params, _ = read_params()
    try:
        pixels = descriptions.parse_size(size) if size else None
        description = descriptions.describe(method, params, backbone, grouping, category, pixels)
    except ValueError as error:
        complain(error)
        raise typer.Exit(2) from error
    typer.echo(json.dumps(description, indent=1) if as_json else descriptions.as_text(description))
