"""Metadata of asset events: numbers, the loss curve, the table by category, DVC's md5.

All of it comes from the lock entry and the files of the step, so an event that the sensor reports after
``dvc repro`` shows the same as one of a run in Dagster.
"""

import base64
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.execution.plan.objects import StepFailureData

from fashion_ops.errors.failures import FAULT, exit_status, failure_line
from fashion_ops.errors.reading import read_object, read_table
from fashion_ops.ledger import LockEntry
from fashion_ops.methods.parts.history import HISTORY, read_losses
from fashion_ops.taxonomy import CATEGORY_NAMES, category
from fashion_ops.workspace import Workspace
from pipelines.lineage import split

STATUS = "exit status"  # 2: settings or data are to be mended, 1: the program is at fault
VARIANTS = {"finetune": "finetuned", "refine": "refined"}  # step -> its variant in the evaluation


def describe_entry(ws: Workspace, entry: LockEntry, entries: Mapping[str, LockEntry]) -> dict[str, Any]:
    """Metadata of a lock entry, from the files of its stage.

    Args:
        ws: the workspace.
        entry: entry of a stage whose outputs are on disk.
        entries: all entries of ``dvc.lock``, which tell whether this model was evaluated.
    """
    step, key = split(entry.stage)
    facts: dict[str, Any] = {"dvc md5": entry.data_version}
    for path in entry.outs:
        facts |= _training(ws.root / path)
    if key in CATEGORY_NAMES and (ws.catalog / "garments.parquet").is_file():
        facts["train garments"] = _count_training_garments(ws, key)
    if step in VARIANTS and key and _was_evaluated(entry, entries):
        facts |= category_ap(ws, step, key)
    if step == "drift" and (ws.drift / "drift.png").is_file():
        facts["image"] = image((ws.drift / "drift.png").read_bytes(), "drift")
    if step == "evaluate":
        facts |= _evaluation(ws)
    return facts


def numbers(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The metrics of a step as Dagster metadata, rounded to four significant digits."""
    return {name: _short(v) if isinstance(v, int | float) else str(v) for name, v in metrics.items()}


def failure_cause(data: StepFailureData) -> str:
    """Why a step failed: the description of its ``dg.Failure``, or the error that the step raised.

    Not the error's own cause: the message that names the file and the mend is that of the last one.
    """
    description = data.user_failure_data.description if data.user_failure_data else None
    error = data.error
    while (
        error is not None and error.cause is not None and (error.cls_name or "").startswith("Dagster")
    ):
        error = error.cause
    return (description or (error.message if error else "failed")).strip()


def failure_status(data: StepFailureData) -> int:
    """Exit status of a failed step, as ``step_failure`` keeps it; ``FAULT`` if it does not."""
    kept = data.user_failure_data.metadata.get(STATUS) if data.user_failure_data else None
    return int(kept.value) if isinstance(kept, dg.IntMetadataValue) and kept.value else FAULT


def step_failure(error: Exception) -> dg.Failure:
    """The failure that Dagster shows for an error: its one line; Dagster keeps the traceback."""
    return dg.Failure(failure_line(error), metadata={STATUS: exit_status(error)})


def category_ap(ws: Workspace, step: str, key: str) -> dict[str, Any]:
    """AP of one category on ground-truth boxes: that of a step's model and that of the mean shape.

    Args:
        ws: workspace with the evaluation.
        step: one of ``VARIANTS``.
        key: name of the category.

    Returns:
        ``AP finetuned`` or ``AP refined``, and ``AP mean_shape``; empty for a category without any.
    """
    row = _metrics(ws)["per_category"].get(key, {}).get("landmark_ap", {})
    names = (VARIANTS[step], "mean_shape")
    return {f"AP {name}": _short(row[name]) for name in names if name in row}


def _evaluation(ws: Workspace) -> dict[str, Any]:
    """The table by category and the path of the report."""
    rows = [
        dg.TableRecord(
            {"category": name, "train": row["train"], "validation": row["validation"]}
            | numbers({"box_ap": row["box_ap"], **row["landmark_ap"]})
        )
        for name, row in _metrics(ws)["per_category"].items()
    ]
    table = {"by_category": dg.MetadataValue.table(rows)} if rows else {}
    return table | {"report": dg.MetadataValue.path(str((ws.evaluation / "report.html").resolve()))}


def _was_evaluated(entry: LockEntry, entries: Mapping[str, LockEntry]) -> bool:
    """Whether the last ``evaluate`` read the outputs of this entry."""
    evaluated = entries["evaluate"].deps if "evaluate" in entries else {}
    return all(evaluated.get(path) == md5 for path, md5 in entry.outs.items())


def _count_training_garments(ws: Workspace, name: str) -> int:
    """Number of garments of one category in the train split."""
    rows = read_table(
        ws.catalog / "garments.parquet",
        columns=["split"],
        filters=[("category_id", "==", category(name).id)],
    )
    return int((rows["split"] == "train").sum())


def _training(folder: Path) -> dict[str, Any]:
    """Epochs, last loss and loss curve of a model folder; empty if nothing was trained."""
    losses = read_losses(folder) if (folder / HISTORY).is_file() else []
    if not losses:
        return {}
    return {"epochs": len(losses), "last loss": _short(losses[-1]), "loss": image(_curve(losses))}


def image(png: bytes, name: str = "loss") -> dg.MarkdownMetadataValue:
    """Embed a PNG in Markdown under this name; it must be small, because the event log stores it."""
    return dg.MetadataValue.md(f"![{name}](data:image/png;base64,{base64.b64encode(png).decode()})")


def _curve(losses: list[float]) -> bytes:
    """Draw the loss of each epoch; returns a PNG."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(4.2, 1.8))
    axes = figure.add_axes((0.17, 0.26, 0.81, 0.7))
    axes.plot(range(1, len(losses) + 1), losses, marker="o", markersize=3, color="#3b6ea8")
    axes.set_xlabel("epoch")
    axes.set_ylabel("loss")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.spines[["top", "right"]].set_visible(False)
    out = BytesIO()
    figure.savefig(out, format="png", dpi=80)
    return out.getvalue()


def _short(value: float) -> float:
    """Round a number that is not an int to four significant digits."""
    return value if isinstance(value, int) else float(f"{value:.4g}")


def _metrics(ws: Workspace) -> dict[str, Any]:
    """The content of metrics.json, which step ``evaluate`` wrote."""
    return read_object(ws.evaluation / "metrics.json", "per_category")
