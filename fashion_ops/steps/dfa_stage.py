"""Step ``dfa_stage``: train one stage of DFA's cascade on FLD and predict all splits.

Stage 2 reads the predictions of stage 1, and stage 3 those of stage 2. The step writes, for each model
of the stage (one for all clothing types, or one per type): the model folder, ``estimates.safetensors``
(input of the next stage), ``predictions.parquet`` (input of ``fashion-ops score``) and
``clusters.png`` (Fig. 4).
"""

from pathlib import Path

import numpy as np
import pandas as pd
import torch
from safetensors.numpy import save_file

from fashion_ops.catalog.alignment.reader import AlignmentCatalog
from fashion_ops.catalog.alignment.schemas import PREDICTIONS
from fashion_ops.errors.reading import read_arrays
from fashion_ops.evaluation.mean_shape import mean_points
from fashion_ops.evaluation.normalized_error import counted, errors, ne
from fashion_ops.methods.alignment.data import Split, kinds_of, load_split
from fashion_ops.methods.alignment.dfa.inference import Estimate, TrainedStage
from fashion_ops.methods.alignment.dfa.routing import HARD
from fashion_ops.methods.alignment.dfa.training import PreviousStage, train_stage
from fashion_ops.methods.parts.device import select_device
from fashion_ops.methods.parts.history import write_history
from fashion_ops.methods.parts.trainer import TrainerOptions
from fashion_ops.params import Params
from fashion_ops.progress import track
from fashion_ops.reports.alignment_clusters import draw_patterns
from fashion_ops.workspace import Workspace, publish

SPLITS = ("train", "val", "test")
ESTIMATES = "estimates.safetensors"
_ARRAYS = ("positions", "visibility", "labels", "branch")  # of an ``Estimate``


def run(params: Params, ws: Workspace, stage: str) -> dict[str, float]:
    """Train one stage and write ``ws.dfa(stage)``.

    Args:
        params: the parameters; ``dfa_stage`` configures all three stages.
        ws: the workspace.
        stage: ``1``, ``2`` or ``3``.

    Returns:
        Means over the stage's models: ``NE`` (normalised error over visible landmarks) on the val
        split, and ``NE mean shape``; ``hard``, the share of val garments routed to the hard network
        (stage 3 only); the losses of the last epoch.

    Raises:
        FileNotFoundError: the stage before was not trained yet.
    """
    config, number = params.dfa_stage, int(stage)
    device = select_device(params.distributed.device)
    catalog = AlignmentCatalog(ws.alignment_catalog / config.source)
    history: list[dict[str, float]] = []
    options = TrainerOptions.of(params.distributed, on_epoch=lambda _, losses: history.append(losses))
    metrics: dict[str, list[float]] = {}
    with publish(ws.dfa(stage)) as folder:
        for kind in track(kinds_of(catalog, config.per_type), f"dfa_stage {stage}, models"):
            splits = {
                name: load_split(catalog, name, kind, config.input_size, config.frame)
                for name in SPLITS
            }
            previous_stage, known = _read_previous(ws, number, kind, device)
            previous = None if previous_stage is None else PreviousStage(previous_stage, known["train"])
            train = splits["train"]
            trained = train_stage(config, number, train.data, params.seed, previous, options=options)
            estimates = {
                name: trained.predict(split.crops, known.get(name)) for name, split in splits.items()
            }
            model_folder = folder / kind
            model_folder.mkdir()
            trained.save(model_folder)
            write_estimates(model_folder / ESTIMATES, estimates)
            _write_predictions(model_folder / "predictions.parquet", splits, estimates)
            if trained.labels is not None:
                positions = known["train"].positions if known else None
                draw_patterns(model_folder / "clusters.png", number, trained.labels, train, positions)
            for name, value in (_evaluate(splits, estimates["val"]) | history[-1]).items():
                metrics.setdefault(name, []).append(value)
        write_history(folder, history)
    return {name: float(np.mean(values)) for name, values in metrics.items()}


def write_estimates(path: Path, estimates: dict[str, Estimate]) -> None:
    """Write the predictions of one model of a stage as safetensors.

    Args:
        path: the file, usually named ``ESTIMATES``.
        estimates: predictions by split; garments in the order of the catalog.
    """
    arrays = {
        f"{split}.{name}": np.ascontiguousarray(getattr(estimate, name))
        for split, estimate in estimates.items()
        for name in _ARRAYS
    }
    save_file(arrays, path, metadata={"passes": str(next(iter(estimates.values())).passes)})


def read_estimates(path: Path) -> dict[str, Estimate]:
    """Read the file that ``write_estimates`` wrote: predictions by split, with ``passes`` set to 1."""
    arrays = read_arrays(path)
    splits = dict.fromkeys(name.partition(".")[0] for name in arrays)
    return {s: Estimate(*(arrays[f"{s}.{name}"] for name in _ARRAYS), passes=1) for s in splits}


def _read_previous(
    ws: Workspace, number: int, kind: str, device: torch.device
) -> tuple[TrainedStage | None, dict[str, Estimate]]:
    """Read the stage before ``number``.

    Args:
        ws: the workspace.
        number: of the present stage.
        kind: which of its models, see ``kinds_of``.
        device: where its networks run.

    Returns:
        The trained stage and its predictions by split; None and an empty dict for stage 1.

    Raises:
        FileNotFoundError: the stage has not been trained yet, or not for this kind of garment.
    """
    if number == 1:
        return None, {}
    folder = ws.dfa(str(number - 1)) / kind
    if not (folder / ESTIMATES).is_file():
        raise FileNotFoundError(
            f"{folder}: no stage {number - 1} here; "
            f"`fashion-ops dfa_stage --stage {number - 1}` makes it"
        )
    return TrainedStage.load(folder, device), read_estimates(folder / ESTIMATES)


def _write_predictions(path: Path, splits: dict[str, Split], estimates: dict[str, Estimate]) -> None:
    """Write the predicted landmarks of all splits: x, y in image pixels, and P(visible).

    Args:
        path: the parquet file, as ``schemas.PREDICTIONS`` of the alignment catalog.
        splits: the garments by split.
        estimates: their predictions by split.
    """
    parts = []
    for name, split in splits.items():
        estimate = estimates[name]
        xy = split.to_pixels(estimate.positions)
        values = np.concatenate([xy, estimate.visibility[..., :1]], 2).astype(np.float32)
        rows = [v[present].ravel() for v, present in zip(values, split.rows.present, strict=True)]
        parts.append(pd.DataFrame({"garment_id": split.rows.garment_id, "landmarks": rows}))
    table = PREDICTIONS.validate(pd.concat(parts, ignore_index=True))
    table.to_parquet(path, compression="zstd")


def _evaluate(splits: dict[str, Split], estimate: Estimate) -> dict[str, float]:
    """Evaluate the predictions of one model for the val split.

    Args:
        splits: the garments of the train split, for the mean shape, and of the val split.
        estimate: predictions for the val split.

    Returns:
        ``NE`` of the predictions and ``NE mean shape``, over visible landmarks; ``hard``, the share of
        garments routed to the hard network, in stage 3 only.
    """
    val, train = splits["val"], splits["train"]
    mask = counted(val.rows.visibility, "visible")
    shape = mean_points(train.shapes.positions, train.shapes.observed)
    mean_shape = np.broadcast_to(shape, estimate.positions.shape)
    frame = val.crops.frame
    metrics = {
        name: ne(errors(val.to_pixels(p), val.rows.xy, val.rows.box, frame), mask).macro
        for name, p in (("NE", estimate.positions), ("NE mean shape", mean_shape))
    }
    if (estimate.branch >= 0).any():
        metrics["hard"] = float((estimate.branch == HARD).mean())
    return metrics
