"""Step ``dfa_stage``: one stage of DFA's cascade on FLD: cluster, train, predict all splits.

Stage 2 reads what stage 1 predicted, stage 3 what stage 2 did. Writes, for each model of the stage (one
for all clothing types, or one a type): the model folder, ``estimates.safetensors`` (what the next stage
reads), ``predictions.parquet`` (what ``fashion-ops score`` reads) and ``clusters.png`` (Fig. 4).
"""

from pathlib import Path

import numpy as np
import pandas as pd
from safetensors.numpy import load_file, save_file

from fashion_ops.catalog.alignment.reader import AlignmentCatalog
from fashion_ops.catalog.alignment.schemas import PREDICTIONS
from fashion_ops.evaluation.mean_shape import mean_points
from fashion_ops.evaluation.normalized_error import counted, errors, ne
from fashion_ops.methods.alignment.crops import FrameName
from fashion_ops.methods.alignment.dfa.routing import HARD
from fashion_ops.methods.alignment.dfa.stage import Estimate, Stage
from fashion_ops.methods.alignment.dfa.training import Before, train_stage
from fashion_ops.methods.alignment.samples import Split, kinds_of, load_split
from fashion_ops.methods.parts.history import write_history
from fashion_ops.params import Params
from fashion_ops.progress import track
from fashion_ops.reports.alignment_clusters import draw_patterns
from fashion_ops.workspace import Workspace, publish

SPLITS = ("train", "val", "test")
ESTIMATES = "estimates.safetensors"


def run(params: Params, ws: Workspace, stage: str) -> dict[str, float]:
    """Train one stage and write ``ws.dfa(stage)``.

    Args:
        params: of all steps.
        ws: the workspace.
        stage: ``1``, ``2`` or ``3``.

    Returns:
        NE (normalised error over visible landmarks) of the val split, mean over models, and that of the
        mean shape; hard: share of val garments routed to the hard branch (stage 3); the last losses.
    """
    p, number = params.dfa_stage, int(stage)
    catalog = AlignmentCatalog(ws.alignment_catalog / p.source)
    history: list[dict[str, float]] = []
    metrics: dict[str, list[float]] = {}
    with publish(ws.dfa(stage)) as folder:
        for kind in track(kinds_of(catalog, p.per_type), f"dfa_stage {stage}, models"):
            splits = {s: load_split(catalog, s, kind, p.input_size, p.frame) for s in SPLITS}
            before = _read_before(ws, number, kind)
            train = splits["train"]
            trained = train_stage(
                number,
                p,
                train.crops,
                train.shapes,
                train.points.mirror,
                params.seed,
                before=None if before is None else Before(before[0], before[1]["train"]),
                on_epoch=lambda _, __, losses: history.append(losses),
            )
            estimates = {
                name: trained.predict(split.crops, None if before is None else before[1][name])
                for name, split in splits.items()
            }
            own = folder / kind
            own.mkdir()
            trained.save(own)
            write_estimates(own / ESTIMATES, estimates)
            _write_predictions(own / "predictions.parquet", splits, estimates)
            if trained.labels is not None:
                previous = None if before is None else before[1]["train"].positions
                draw_patterns(own / "clusters.png", number, trained.labels, train, previous)
            for name, value in _judge(splits, estimates["val"], p.frame).items():
                metrics.setdefault(name, []).append(value)
            for name, value in history[-1].items():
                metrics.setdefault(name, []).append(value)
        write_history(folder, history)
    return {name: float(np.mean(values)) for name, values in metrics.items()}


def write_estimates(path: Path, estimates: dict[str, Estimate]) -> None:
    """What a stage said of each split, in the order of the catalog's rows."""
    arrays = {
        f"{split}.{name}": np.ascontiguousarray(getattr(found, name))
        for split, found in estimates.items()
        for name in ("positions", "visibility", "labels", "branch")
    }
    save_file(arrays, path, metadata={"passes": str(next(iter(estimates.values())).passes)})


def read_estimates(path: Path) -> dict[str, Estimate]:
    """Inverse of ``write_estimates``, by split."""
    arrays = load_file(path)
    splits = dict.fromkeys(name.partition(".")[0] for name in arrays)
    fields = ("positions", "visibility", "labels", "branch")
    return {s: Estimate(*(arrays[f"{s}.{f}"] for f in fields), passes=1) for s in splits}


def _read_before(ws: Workspace, number: int, kind: str) -> tuple[Stage, dict[str, Estimate]] | None:
    """The stage before and what it said.

    Raises:
        FileNotFoundError: it was not made yet, or not for this kind of garment.
    """
    if number == 1:
        return None
    folder = ws.dfa(str(number - 1)) / kind
    if not (folder / ESTIMATES).is_file():
        raise FileNotFoundError(
            f"{folder}: no stage {number - 1} here; "
            f"`fashion-ops dfa_stage --stage {number - 1}` makes it"
        )
    return Stage.load(folder), read_estimates(folder / ESTIMATES)


def _write_predictions(path: Path, splits: dict[str, Split], estimates: dict[str, Estimate]) -> None:
    """Pixels of the images and P(visible), of all splits."""
    parts = []
    for name, split in splits.items():
        found = estimates[name]
        xy = split.to_pixels(found.positions)
        values = np.concatenate([xy, found.visibility[..., :1]], 2).astype(np.float32)
        rows = [v[present].ravel() for v, present in zip(values, split.rows.present, strict=True)]
        parts.append(pd.DataFrame({"garment_id": split.rows.garment_id, "landmarks": rows}))
    table = PREDICTIONS.validate(pd.concat(parts, ignore_index=True))
    table.to_parquet(path, compression="zstd")


def _judge(splits: dict[str, Split], found: Estimate, frame: FrameName) -> dict[str, float]:
    val, train = splits["val"], splits["train"]
    mask = counted(val.rows.visibility, "visible")
    shape = mean_points(train.shapes.positions, train.shapes.observed)
    guess = np.broadcast_to(shape, found.positions.shape)
    told = {
        name: ne(errors(val.to_pixels(p), val.rows.xy, val.rows.box, frame), mask).macro
        for name, p in (("NE", found.positions), ("NE mean shape", guess))
    }
    if (found.branch >= 0).any():
        told["hard"] = float((found.branch == HARD).mean())
    return told
