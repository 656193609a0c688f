"""Commands for trained models: find garments in photos, count parameters."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

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
from fashion_ops.shipped import SHIPPED, are_there, shipped_models
from fashion_ops.workspace import current_workspace

if TYPE_CHECKING:
    from fashion_ops.inference.alignment_predictor import AlignmentPredictor
    from fashion_ops.inference.edge import EdgePredictor, Runtime
    from fashion_ops.inference.predictor import Garment, Predictor
    from fashion_ops.methods.centernet.deploy.photo import Photo

CHAMPION = "models:/garment-landmarks@champion"
Model = Annotated[
    str | None,
    typer.Option(
        help="models:/NAME@ALIAS, a folder of models, or shipped: the models in the package. "
        f"Default: {CHAMPION}, or shipped where there is none.",
    ),
]

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
            f"{CHAMPION}, or shipped where there is none.",
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
    model = model or default_model()
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
        folder = find_models(model)
        least = stored_threshold(folder) if min_score is None else min_score
        of = Model(model, folder, runtime, least, scaling)
        predict_table(photos, table, of, settings, coco=coco)


def _predict_few(
    given: list[str],
    out: Path,
    model: str,
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
    predictor = load_predictor(model, runtime, device)
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


def default_model() -> str:
    """The registry's champion or, where there is none, the models in the package, which is said.

    Raises:
        ServiceError: the registry does not answer.
    """
    from fashion_ops.registry.client import has_version

    if has_version(CHAMPION) or not are_there():
        return CHAMPION
    complain(f"no {CHAMPION} yet: these are the models in the package (--model {SHIPPED})")
    return SHIPPED


def stored_threshold(folder: Path) -> float:
    """The score from which on the models of a folder report a garment."""
    from fashion_ops.inference.alignment_predictor import AlignmentFolder
    from fashion_ops.inference.predictor import threshold_of

    alignment = AlignmentFolder.find(folder)
    return threshold_of(folder if alignment is None else alignment.boxes)


def load_predictor(
    model: str, runtime: "Runtime", device: str
) -> "Predictor | AlignmentPredictor | EdgePredictor":
    """Load all models of a bundle or an alignment model in torch, or one detector in any runtime.

    Args:
        model: ``models:/NAME@ALIAS``, ``shipped`` or the folder of a bundle; the folder of an alignment
            model, of a detector or its export.
        runtime: onnx and openvino need an exported folder.
        device: of torch, see ``select_device``.

    Raises:
        FileNotFoundError: no such model.
        ServiceError: the registry does not answer.
        ValueError: the model is for another runtime, or this process sees no GPU.
    """
    named = model == SHIPPED or model.startswith("models:/")
    if runtime == "torch" and named:  # before torch is loaded, in seconds
        import fashion_ops

        return fashion_ops.load(model, device)
    from fashion_ops.inference.alignment_predictor import AlignmentFolder, AlignmentPredictor
    from fashion_ops.inference.edge import EdgePredictor
    from fashion_ops.methods.alignment.exported import AlignmentGraph
    from fashion_ops.methods.artifact import SPEC
    from fashion_ops.methods.centernet.deploy.graph import GRAPH
    from fashion_ops.methods.parts.device import CPU, select_device

    folder = Path(model)
    if exported := AlignmentGraph.find(folder):
        if runtime == "torch":
            raise ValueError(
                f"{folder}: is an export for {exported.format}; torch runs the model that it was made "
                "from, for this one use --runtime onnx or openvino"
            )
        from fashion_ops.inference.alignment_runtimes import open_beside_detector

        return open_beside_detector(folder, runtime)
    if alignment := AlignmentFolder.find(folder):
        if runtime != "torch":
            raise ValueError(
                f"{folder}: holds no exported network; `fashion-ops export {alignment.method}` makes "
                f"one for --runtime {runtime}"
            )
        alignment = alignment.with_detector_of(current_workspace().detector.parent)
        return AlignmentPredictor.load(alignment, select_device(device))
    is_detector = (folder / SPEC).is_file() or (folder / GRAPH).is_file()
    if runtime == "torch" and not is_detector:
        import fashion_ops

        return fashion_ops.load(model, device)
    return EdgePredictor.load(folder, runtime, select_device(device) if runtime == "torch" else CPU)


def load_pipeline(model: str, device: str) -> "Predictor | EdgePredictor":
    """Load a model in torch for a command that needs the landmarks of the 13 categories.

    Raises:
        ValueError: it is an alignment model; further as ``load_predictor``.
    """
    from fashion_ops.inference.alignment_predictor import AlignmentFolder, AlignmentPredictor

    of_registry = model.startswith("models:/")
    if of_registry or AlignmentFolder.find(Path(model)) is None:
        predictor = load_predictor(model, "torch", device)
        if not isinstance(predictor, AlignmentPredictor):
            return predictor
    raise ValueError(
        f"{model}: predicts FLD's landmarks, this command needs those of the 13 categories; name "
        "models with a landmarker by --model"
    )


def find_models(model: str) -> Path:
    """The folder of a model: that of the registry's version, or ``model`` itself.

    Raises:
        FileNotFoundError: no such model in the registry.
        ServiceError: the registry does not answer.
    """
    if model.startswith("models:/"):
        from fashion_ops.registry.client import fetch_bundle

        return Path(fetch_bundle(model))
    return shipped_models() if model == SHIPPED else Path(model)


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
