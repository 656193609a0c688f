"""The models that ``--model`` names: of the registry, of a folder, or of the package."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fashion_ops import CHAMPION_URI
from fashion_ops.commands.shared import complain
from fashion_ops.shipped import SHIPPED, are_there, shipped_models
from fashion_ops.workspace import current_workspace

if TYPE_CHECKING:
    from fashion_ops.inference.alignment_predictor import AlignmentPredictor
    from fashion_ops.inference.edge import EdgePredictor, Runtime
    from fashion_ops.inference.predictor import Predictor

Model = Annotated[
    str | None,
    typer.Option(
        help="models:/NAME@ALIAS, a folder of models, or shipped: the models in the package. "
        f"Default: {CHAMPION_URI}, or shipped where there is none.",
    ),
]


def default_model() -> str:
    """The registry's champion or, where there is none, the models in the package, which is said.

    Raises:
        ServiceError: the registry does not answer.
    """
    from fashion_ops.registry.client import has_version

    if has_version(CHAMPION_URI) or not are_there():
        return CHAMPION_URI
    complain(f"no {CHAMPION_URI} yet: these are the models in the package (--model {SHIPPED})")
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
