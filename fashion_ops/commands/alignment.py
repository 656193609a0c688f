"""``fashion-ops export dfa|gle``: an alignment model for ONNX Runtime or OpenVINO."""

from pathlib import Path
from typing import Annotated, Literal

import typer

Form = Annotated[Literal["onnx", "openvino"], typer.Option("--format")]
Model = Annotated[Path, typer.Option(help="Folder of models, or of the model.")]


def export_dfa(
    form: Form = "onnx",
    out: Annotated[Path | None, typer.Option(help="Default: exports/dfa-FORMAT.")] = None,
    model: Model = Path("models"),
) -> None:
    """Write DFA's stages, one network a kind of garments, in fp32, compared with torch."""
    _export("dfa", form, out, model)


def export_gle(
    form: Form = "onnx",
    out: Annotated[Path | None, typer.Option(help="Default: exports/gle-FORMAT.")] = None,
    model: Model = Path("models"),
) -> None:
    """Write GLE's network, from crops to heatmaps, in fp32, compared with torch."""
    _export("gle", form, out, model)


def _export(method: str, form: Literal["onnx", "openvino"], out: Path | None, model: Path) -> None:
    from fashion_ops.methods.alignment.export import as_text, export_alignment

    folder = model / method if (model / method).is_dir() else model
    typer.echo(as_text(export_alignment(method, folder, out or Path(f"exports/{method}-{form}"), form)))
