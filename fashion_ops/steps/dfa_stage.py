"""Step ``dfa_stage``: train one stage of DFA's cascade on an alignment catalog and predict all splits.

Stage 2 reads the predictions of stage 1, and stage 3 those of stage 2. The step writes, for each model
of the stage (one for all clothing types, or one per type): the model folder, ``estimates.safetensors``
(input of the next stage), ``predictions.parquet`` (input of ``fashion-ops score``) and
``clusters.png`` (Fig. 4); and for the whole stage ``report.md``. It evaluates on ``val``; where a data
set has no such split (LSP, In-shop), on the first one after ``train``.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from safetensors.numpy import save_file

from fashion_ops.catalog.alignment.reader import AlignmentCatalog
from fashion_ops.catalog.alignment.schemas import PREDICTIONS
from fashion_ops.errors.reading import read_arrays
from fashion_ops.evaluation.mean_shape import mean_points, mean_points_by_kind
from fashion_ops.evaluation.normalized_error import counted, errors, ne
from fashion_ops.evaluation.visibility import score_visibility
from fashion_ops.methods.alignment.crops import crop_options
from fashion_ops.methods.alignment.data import Split, kinds_of, load_split, splits_of
from fashion_ops.methods.alignment.dfa.inference import Estimate, TrainedStage
from fashion_ops.methods.alignment.dfa.routing import HARD
from fashion_ops.methods.alignment.dfa.training import PreviousStage, train_stage
from fashion_ops.methods.parts.history import write_history
from fashion_ops.methods.parts.trainer import TrainerOptions
from fashion_ops.params import Params
from fashion_ops.progress import track
from fashion_ops.reports.alignment_clusters import draw_patterns
from fashion_ops.reports.alignment_stage import StageReport, write_report
from fashion_ops.workspace import Workspace, publish

TRAIN = "train"
ESTIMATES = "estimates.safetensors"
_ARRAYS = ("positions", "visibility", "labels", "branch")  # of an ``Estimate``


def run(params: Params, ws: Workspace, stage: str) -> dict[str, float]:
    """Train one stage and write ``ws.dfa(stage)``.

    Args:
        params: the parameters; ``dfa_stage`` configures all three stages.
        ws: the workspace.
        stage: ``1``, ``2`` or ``3``.

    Returns:
        Means over the stage's models, see ``_evaluate``; and the losses of the last epoch.

    Raises:
        FileNotFoundError: there is no such catalog, or the stage before was not trained yet.
        ValueError: the catalog has no garments to train on or to evaluate, or the stage before was
            trained with other settings.
    """
    config, number = params.dfa_stage, int(stage)
    catalog = _open(ws, config.source)
    names = splits_of(catalog)
    evaluated = next(name for name in names if name != TRAIN)
    reports: list[StageReport] = []
    history: list[dict[str, float]] = []
    options = TrainerOptions(on_epoch=lambda _, losses: history.append(losses))
    metrics: dict[str, list[float]] = {}
    with publish(ws.dfa(stage)) as folder:
        for kind in track(kinds_of(catalog, config.per_type), f"dfa_stage {stage}, models"):
            splits = {name: load_split(catalog, name, kind, crop_options(config)) for name in names}
            previous_stage, known = _read_previous(ws, number, kind, splits)
            previous = None if previous_stage is None else PreviousStage(previous_stage, known[TRAIN])
            train = splits[TRAIN]
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
                positions = known[TRAIN].positions if known else None
                draw_patterns(model_folder / "clusters.png", number, trained.labels, train, positions)
            scores = _evaluate(train, splits[evaluated], estimates[evaluated])
            reports.append(StageReport(kind, len(train), len(splits[evaluated]), scores))
            for name, value in (scores | history[-1]).items():
                metrics.setdefault(name, []).append(value)
        write_history(folder, history)
        write_report(folder, number, f"{config.source}, split {evaluated}", reports)
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


def _open(ws: Workspace, source: str) -> AlignmentCatalog:
    """Open the catalog of a source that has garments to train on and others to evaluate.

    Raises:
        FileNotFoundError: the catalog does not exist yet.
        ValueError: it has no training split, or no other one.
    """
    folder = ws.alignment_catalog / source
    if not (folder / "garments.parquet").is_file():
        raise FileNotFoundError(
            f"{folder}: no catalog here; `fashion-ops ingest_alignment` makes one if "
            f"ingest_alignment.sources names {source}"
        )
    catalog = AlignmentCatalog(folder)
    names = splits_of(catalog)
    if TRAIN not in names or len(names) < 2:
        raise ValueError(
            f"{folder}: has the splits {', '.join(names) or 'none'}; needs train and another one; "
            "choose another dfa_stage.source"
        )
    return catalog


def _read_previous(
    ws: Workspace, number: int, kind: str, splits: dict[str, Split]
) -> tuple[TrainedStage | None, dict[str, Estimate]]:
    """Read the stage before ``number``.

    Args:
        ws: the workspace.
        number: of the present stage.
        kind: which of its models, see ``kinds_of``.
        splits: the garments by split, which its predictions must be of.

    Returns:
        The trained stage and its predictions by split; None and an empty dict for stage 1.

    Raises:
        FileNotFoundError: the stage has not been trained yet, or not for this kind of garment.
        ValueError: its predictions are of other garments.
    """
    if number == 1:
        return None, {}
    folder = ws.dfa(str(number - 1)) / kind
    if not (folder / ESTIMATES).is_file():
        raise FileNotFoundError(
            f"{folder}: no stage {number - 1} here; "
            f"`fashion-ops dfa_stage --stage {number - 1}` makes it"
        )
    known = read_estimates(folder / ESTIMATES)
    before = {name: len(estimate.positions) for name, estimate in known.items()}
    here = {name: len(split) for name, split in splits.items()}
    if before != here:
        raise ValueError(
            f"{folder / ESTIMATES}: predictions of {before} garments, the catalog has {here}; run "
            f"`fashion-ops dfa_stage --stage {number - 1}` again"
        )
    return TrainedStage.load(folder), known


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


def _evaluate(train: Split, evaluated: Split, estimate: Estimate) -> dict[str, float]:
    """Evaluate the predictions of one model.

    Args:
        train: the training garments, for the mean shapes.
        evaluated: the garments to evaluate on.
        estimate: predictions for them.

    Returns:
        ``NE``, the normalised error over visible landmarks, ``NE mean shape`` and ``NE mean shape of
        type``; the scores of visibility (``evaluation.visibility``); ``hard``, the share of garments
        routed to the hard network, in stage 3 only.
    """
    rows, shapes, positions = evaluated.rows, train.shapes, estimate.positions
    mask, frame = counted(rows.visibility, "visible"), evaluated.crops.frame
    shape = mean_points(shapes.positions, shapes.observed)
    of_type = mean_points_by_kind(
        shapes.positions, shapes.observed, train.rows.clothes_type, rows.clothes_type
    )
    named = {
        "NE": positions,
        "NE mean shape": np.broadcast_to(shape, positions.shape),
        "NE mean shape of type": of_type,
    }
    metrics = {
        name: ne(errors(evaluated.to_pixels(p), rows.xy, rows.box, frame), mask).macro
        for name, p in named.items()
    }
    states = estimate.visibility.argmax(-1)
    metrics |= score_visibility(states, rows.state, rows.present).metrics()
    if (estimate.branch >= 0).any():
        metrics["hard"] = float((estimate.branch == HARD).mean())
    return metrics
