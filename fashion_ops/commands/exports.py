"""``fashion-ops export``: a detector or a landmarker for ONNX Runtime or OpenVINO."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from fashion_ops.commands.shared import Device, params_or_defaults, read_params, with_device
from fashion_ops.workspace import current_workspace

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
    device: Device = None,
) -> None:
    """Write the detector for ONNX Runtime or OpenVINO, compared with torch; for INT8 also its AP."""
    from fashion_ops.files.outputs import check_folder
    from fashion_ops.methods.centernet.deploy.graph import EXPORT, ExportConfig

    precision = precision or ("bf16" if form == "openvino" else "fp32")
    params, ws = read_params() if precision == "int8" else (params_or_defaults(), current_workspace())
    config = ExportConfig(form, precision, decode, dynamic_batch)
    out = out or Path("exports") / f"detector-{form}"
    check_folder(out, EXPORT, inputs=(model, ws.catalog))
    from fashion_ops.inference.export_detector import as_text, export_and_evaluate

    params = with_device(params, device)
    exported, metrics = export_and_evaluate(params, ws, model, out, config, calibration, images)
    typer.echo(as_text(exported, metrics))


@export.command("landmarker")
def export_landmarker(
    form: Annotated[Literal["onnx", "openvino"], typer.Option("--format")] = "onnx",
    out: Annotated[Path | None, typer.Option(help="Default: exports/landmarker-FORMAT.")] = None,
    model: Annotated[Path, typer.Option(help="Folder of models, or of a landmarker.")] = Path("models"),
    category: Annotated[
        str | None, typer.Option(help="Take the landmarker finetuned for this category.")
    ] = None,
) -> None:
    """Write a landmarker for ONNX Runtime or OpenVINO in fp32, compared with torch."""
    from fashion_ops.methods.artifact import SPEC
    from fashion_ops.methods.top_down import export as exports
    from fashion_ops.taxonomy import category as find_category

    category = category and find_category(category).name  # whichever of its names was given
    name = "landmarker" if category is None else f"landmarker-{category}"
    folder = model
    if not (model / SPEC).is_file():
        folder = model / ("landmarker" if category is None else f"finetuned/{category}")
    elif category is not None:
        raise ValueError(f"--category {category}: {model} is one model; name the folder of all models")
    out = out or Path("exports") / f"{name}-{form}"
    typer.echo(exports.as_text(exports.export_landmarker(folder, out, form)))
