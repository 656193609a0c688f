"""The 13 runs of ``finetune`` or ``refine`` on the fleet; not a step itself.

Each category is prepared, worked, published and recorded in the ledger on its own: what landed stays,
whatever happens to the others.
"""

import importlib
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path

import pandas as pd

from fashion_ops.fleet.fan_out import Job, fan_out
from fashion_ops.fleet.timesheet import Timesheet
from fashion_ops.ledger import Ledger, LockEntry
from fashion_ops.params import Params, load_params
from fashion_ops.stages.jobs import Result
from fashion_ops.taxonomy import CATEGORY_NAMES
from fashion_ops.taxonomy import category as find_category
from fashion_ops.tracking import FINISHED, FanOutRuns
from fashion_ops.workspace import Workspace

Landed = Callable[[str, dict[str, float], LockEntry, str | None], None]
Told = Callable[[str, int, Mapping[str, float]], None]
Linked = Callable[[str, str], None]


def run_all(
    step: str,
    params: Params,
    ws: Workspace,
    categories: Iterable[str],
    landed: Landed,
    told: Told | None = None,
    linked: Linked | None = None,
) -> None:
    """Run a step for these categories, longest first; MLflow shows each epoch as it happens.

    Args:
        step: ``finetune`` or ``refine``.
        params: as just read from ``ws.params``.
        ws: the workspace.
        categories: by name.
        landed: called with (category, metrics, lock entry, page of its MLflow run or None) for each one
            that is published and recorded.
        told: called with (category, epochs done, metrics) for each epoch.
        linked: called at the end with (category, page of its MLflow run) for each one that landed
            before MLflow had answered.

    Raises:
        FanOutError: at the end, naming the categories that failed; all others are done.
        LedgerError: an input of a category is missing; nothing was started.
        ValueError: ``params`` is no longer what the file says.
    """
    module = importlib.import_module(f"fashion_ops.stages.{step}")
    ledger = Ledger(ws.root)
    snapshots = {name: ledger.before(f"{step}@{name}") for name in categories}
    if load_params(ws.params) != params:
        raise ValueError(f"{ws.params}: changed while {step} was starting; run the step again")
    costs = job_costs(step, params, ws)

    def job(name: str) -> Job:
        epochs = getattr(params.categories[name], step).epochs
        prepare = partial(module.prepare, params, ws, name)
        gpus = params.fleet.gpus_for(name)
        return Job(name, snapshots[name].digest, costs[name], prepare, "pictures", epochs, gpus)

    def land(name: str, result: Result) -> None:
        metrics = module.publish(ws, name, result)
        page = runs.page(name)
        landed(name, metrics, ledger.commit(f"{step}@{name}", snapshots[name]), page)
        if page is None:
            unlinked.append(name)
        runs.end(name, FINISHED)

    def on_epoch(name: str, epoch: int, metrics: Mapping[str, float]) -> None:
        runs.epoch(name, epoch, metrics)
        if told is not None:
            told(name, epoch, metrics)

    settings = {name: getattr(params.categories[name], step).model_dump() for name in snapshots}
    unlinked: list[str] = []
    runs = FanOutRuns(ws.root, step, settings)
    try:
        with runs:
            fan_out(
                step,
                [job(name) for name in snapshots],
                module.work,
                land,
                params.fleet,
                ws.checkpoints,
                timesheet=_timesheet_path(ws, step),
                on_epoch=on_epoch,
            )
    finally:
        for name in unlinked:
            if linked is not None and (page := runs.page(name)):
                linked(name, page)


def unfinished(step: str, ws: Workspace) -> list[str]:
    """Categories that the ledger doesn't call current: what is left after an interrupted run."""
    ledger = Ledger(ws.root)
    return [name for name in CATEGORY_NAMES if not ledger.is_current(f"{step}@{name}")]


def job_costs(step: str, params: Params, ws: Workspace) -> dict[str, float]:
    """Garments to train on x epochs, by category name.

    Raises:
        FileNotFoundError: there is no catalog.
    """
    rows = pd.read_parquet(ws.catalog / "garments.parquet", columns=["split", "category_id"])
    counts = rows.loc[rows["split"] == "train", "category_id"].value_counts()
    return {
        name: float(counts.get(find_category(name).id, 0))
        * getattr(params.categories[name], step).epochs
        for name in CATEGORY_NAMES
    }


def last_timesheet(ws: Workspace, step: str) -> Timesheet | None:
    """How the step last ran on this workspace; None before its first run.

    Raises:
        ValueError: the file is broken.
    """
    path = _timesheet_path(ws, step)
    return Timesheet.read(path) if path.is_file() else None


def _timesheet_path(ws: Workspace, step: str) -> Path:
    return ws.checkpoints / "timesheets" / f"{step}.json"
