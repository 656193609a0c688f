"""The 13 runs of ``finetune`` or ``refine`` as Ray tasks.

Each category is prepared, trained, published and recorded in the ledger on its own: a completed
category stays, whatever happens to the others.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import pandas as pd

from fashion_ops.distributed.fan_out import Job as FanOutJob
from fashion_ops.distributed.fan_out import fan_out
from fashion_ops.distributed.payload import CategoryJob, Result
from fashion_ops.distributed.timesheet import Timesheet
from fashion_ops.ledger import Ledger, LockEntry
from fashion_ops.params import Params, load_params
from fashion_ops.taxonomy import CATEGORY_NAMES
from fashion_ops.taxonomy import category as find_category
from fashion_ops.workspace import Workspace

OnComplete = Callable[[str, dict[str, float], LockEntry, str | None], None]
OnEpoch = Callable[[str, int, Mapping[str, float]], None]
OnPage = Callable[[str, str], None]


class CategoryStep(Protocol):
    """The module of a step that runs once a category, such as ``fashion_ops.steps.finetune``."""

    __name__: str
    prepare: Callable[[Params, Workspace, str], CategoryJob]
    work: Callable[..., Result]
    publish: Callable[[Workspace, str, Result], dict[str, float]]


class EpochRecorder(Protocol):
    """Records the epochs of each category while they run, such as ``registry.tracking.FanOutRuns``."""

    def __enter__(self) -> "EpochRecorder": ...
    def __exit__(self, *error: Any) -> None: ...
    def epoch(self, name: str, epoch: int, metrics: Mapping[str, float]) -> None: ...
    def completed(self, name: str) -> None: ...
    def page(self, name: str) -> str | None: ...


def run_all(
    step: CategoryStep,
    params: Params,
    ws: Workspace,
    categories: Iterable[str],
    recorder: EpochRecorder,
    on_complete: OnComplete,
    on_epoch: OnEpoch | None = None,
    on_page: OnPage | None = None,
) -> None:
    """Run a step for these categories, longest first.

    Args:
        step: the module of ``finetune`` or ``refine``.
        params: the parameters, as just read from ``ws.params``.
        ws: the workspace.
        categories: names of the categories.
        recorder: records every epoch as it happens; it is entered and left here.
        on_complete: called with (category, metrics, lock entry, page of its MLflow run or None) when a
            category is published and recorded.
        on_epoch: called with (category, epochs done, metrics) for each epoch.
        on_page: called at the end with (category, page of its MLflow run) for each category that
            completed before MLflow had answered.

    Raises:
        FanOutError: at the end, naming the categories that failed; all others are done.
        LedgerError: an input of a category is missing; nothing was started.
        ValueError: ``params`` is no longer what the file says.
    """
    name_of_step = step.__name__.rpartition(".")[2]
    ledger = Ledger(ws.root)
    snapshots = {name: ledger.before(f"{name_of_step}@{name}") for name in categories}
    if load_params(ws.params) != params:
        raise ValueError(f"{ws.params}: changed while {name_of_step} was starting; run the step again")
    costs = job_costs(name_of_step, params, ws)

    def job(name: str) -> FanOutJob:
        epochs = getattr(params.categories[name], name_of_step).epochs
        prepare = partial(step.prepare, params, ws, name)
        gpus = params.distributed.gpus_for(name)
        return FanOutJob(name, snapshots[name].digest, costs[name], prepare, "images", epochs, gpus)

    def complete(name: str, result: Result) -> None:
        metrics = step.publish(ws, name, result)
        page = recorder.page(name)
        on_complete(name, metrics, ledger.commit(f"{name_of_step}@{name}", snapshots[name]), page)
        if page is None:
            without_page.append(name)
        recorder.completed(name)

    def record_epoch(name: str, epoch: int, metrics: Mapping[str, float]) -> None:
        recorder.epoch(name, epoch, metrics)
        if on_epoch is not None:
            on_epoch(name, epoch, metrics)

    without_page: list[str] = []
    try:
        with recorder:
            fan_out(
                name_of_step,
                [job(name) for name in snapshots],
                step.work,
                complete,
                params.distributed,
                ws.checkpoints,
                timesheet=_timesheet_path(ws, name_of_step),
                on_epoch=record_epoch,
            )
    finally:
        for name in without_page:
            if on_page is not None and (page := recorder.page(name)):
                on_page(name, page)


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
