"""Runs ``finetune`` or ``refine`` for the 13 categories as Ray tasks.

Each category is prepared, trained, published and recorded in the ledger independently: a completed
category stays, whatever happens to the others.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from fashion_ops.distributed.fan_out import Job, fan_out
from fashion_ops.distributed.payload import CategoryJob, Result
from fashion_ops.distributed.timesheet import Timesheet
from fashion_ops.errors.reading import read_table
from fashion_ops.ledger import Ledger, LockEntry
from fashion_ops.params import Params, load_params
from fashion_ops.taxonomy import CATEGORY_NAMES
from fashion_ops.taxonomy import category as find_category
from fashion_ops.workspace import Workspace

OnComplete = Callable[[str, dict[str, float], LockEntry, str | None], None]  # see ``run_all``
OnCategoryEpoch = Callable[[str, int, Mapping[str, float]], None]
OnPage = Callable[[str, str], None]


class CategoryStep(Protocol):
    """The module of a step that runs once per category: ``steps.finetune`` or ``steps.refine``."""

    __name__: str
    prepare: Callable[[Params, Workspace, str], CategoryJob]
    work: Callable[..., Result]
    publish: Callable[[Workspace, str, Result], dict[str, float]]


class EpochRecorder(Protocol):
    """Records the training of each category, such as ``registry.tracking.CategoryRuns`` does."""

    def __enter__(self) -> "EpochRecorder": ...
    def __exit__(self, *error: Any) -> None: ...
    def epoch(self, category: str, epoch: int, metrics: Mapping[str, float]) -> None:
        """Record the metrics of a category after ``epoch`` epochs."""
        ...

    def completed(self, category: str) -> None:
        """Record that the model of a category is published."""
        ...

    def page(self, category: str) -> str | None:
        """Address of a page that shows the category's training; None if there is none yet."""
        ...


def run_all(
    step: CategoryStep,
    params: Params,
    ws: Workspace,
    categories: Iterable[str],
    recorder: EpochRecorder,
    on_complete: OnComplete,
    on_epoch: OnCategoryEpoch | None = None,
    on_page: OnPage | None = None,
) -> None:
    """Run a step for these categories, the one with the longest training first.

    Args:
        step: the module of ``finetune`` or ``refine``.
        params: the parameters, as just read from ``ws.params``.
        ws: the workspace.
        categories: names of the categories.
        recorder: records every epoch; this function enters and leaves its context.
        on_complete: called with (category, metrics, lock entry, page of its MLflow run or None) when a
            category is published and recorded.
        on_epoch: called with (category, epochs done, metrics) for each epoch.
        on_page: called at the end with (category, page of its MLflow run) for each category that
            completed before MLflow had answered.

    Raises:
        FanOutError: at the end, naming the categories that failed; all others are done.
        LedgerError: an input of a category is missing; nothing was started.
        ValueError: ``ws.params`` has changed since ``params`` was read.
    """
    step_name = step.__name__.rpartition(".")[2]
    ledger = Ledger(ws.root)
    snapshots = {name: ledger.snapshot(f"{step_name}@{name}") for name in categories}
    if load_params(ws.params) != params:
        raise ValueError(f"{ws.params}: changed while {step_name} was starting; run the step again")
    costs = job_costs(step_name, params, ws)
    without_page: list[str] = []

    def job(name: str) -> Job:
        epochs = getattr(params.categories[name], step_name).epochs
        prepare = partial(step.prepare, params, ws, name)
        gpus, devices = params.distributed.gpus_for(name), params.distributed.devices_for(name)
        workers = devices if devices > 1 and os.environ.get("RAY_ADDRESS") else None
        digest = snapshots[name].digest
        return Job(name, digest, costs[name], prepare, "images", epochs, gpus, workers)

    def record_result(name: str, result: Result) -> None:
        metrics = step.publish(ws, name, result)
        page = recorder.page(name)
        on_complete(name, metrics, ledger.commit(f"{step_name}@{name}", snapshots[name]), page)
        if page is None:
            without_page.append(name)
        recorder.completed(name)

    def record_epoch(name: str, epoch: int, metrics: Mapping[str, float]) -> None:
        recorder.epoch(name, epoch, metrics)
        if on_epoch is not None:
            on_epoch(name, epoch, metrics)

    try:
        with recorder:
            fan_out(
                step_name,
                [job(name) for name in snapshots],
                step.work,
                record_result,
                params.distributed,
                ws.checkpoints,
                timesheet=_timesheet_path(ws, step_name),
                on_epoch=record_epoch,
            )
    finally:
        for name in without_page:
            if on_page is not None and (page := recorder.page(name)):
                on_page(name, page)


def unfinished(step: str, ws: Workspace) -> list[str]:
    """Categories whose result of ``step`` is missing or stale, such as those of an interrupted run."""
    ledger = Ledger(ws.root)
    return [name for name in CATEGORY_NAMES if not ledger.make_current(f"{step}@{name}")]


def job_costs(step: str, params: Params, ws: Workspace) -> dict[str, float]:
    """Expected work of each category: its number of training garments x epochs.

    Args:
        step: ``finetune`` or ``refine``.
        params: ``categories`` has the epochs.
        ws: workspace with the catalog.

    Returns:
        The product by name of the category, for all 13.

    Raises:
        FileNotFoundError: there is no catalog.
    """
    rows = read_table(ws.catalog / "garments.parquet", columns=["split", "category_id"])
    counts = rows.loc[rows["split"] == "train", "category_id"].value_counts()
    return {
        name: float(counts.get(find_category(name).id, 0))
        * getattr(params.categories[name], step).epochs
        for name in CATEGORY_NAMES
    }


def last_timesheet(ws: Workspace, step: str) -> Timesheet | None:
    """The timesheet of the last fan-out of ``finetune`` or ``refine``; None before the first one.

    Raises:
        ValueError: the file is not a timesheet.
    """
    path = _timesheet_path(ws, step)
    return Timesheet.read(path) if path.is_file() else None


def _timesheet_path(ws: Workspace, step: str) -> Path:
    """The file of the last timesheet of a step."""
    return ws.checkpoints / "timesheets" / f"{step}.json"
