"""Logs the training of all categories to MLflow while it runs.

A step has one parent run, each category a child run, and each epoch one point per metric. Only the
driver logs, on a separate thread, so that a slow server delays no worker. If the server fails, one
warning says so and training continues. MLflow is imported when the first epoch is logged.
"""

import queue
import threading
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from fashion_ops.files.processes import this_process
from fashion_ops.params import Params
from fashion_ops.workspace import Workspace

Metrics = Mapping[str, float]
FINISHED, FAILED, KILLED = "FINISHED", "FAILED", "KILLED"  # MLflow's words
FLUSH_SECONDS = 60.0  # how long the end of a fan-out waits until all is logged


class CategoryRuns:
    """The MLflow runs of one step's training: a parent run, and a child run for each category.

    No method waits for MLflow. Leaving the context ends the runs that are still open: as FINISHED, or
    as FAILED or KILLED after an exception.

    Args:
        root: root of the workspace; see ``client.connect``.
        step: name of the parent run.
        params: parameters of each category's run, by category name.
    """

    def __init__(self, root: Path, step: str, params: Mapping[str, Mapping[str, Any]]) -> None:
        self._root, self._step, self._params = root, step, params
        self._queue: queue.Queue[tuple[Any, ...] | None] = queue.Queue()
        self._thread: threading.Thread | None = None
        self._pages: dict[str, str] = {}

    @classmethod
    def of_categories(cls, ws: Workspace, step: str, params: Params) -> "CategoryRuns":
        """The runs of the step ``finetune`` or ``refine``, each with the parameters of its category."""
        sections = params.categories.items()
        return cls(ws.root, step, {name: getattr(s, step).model_dump() for name, s in sections})

    def page(self, category: str) -> str | None:
        """Address of the page of a category's run; None until MLflow has created the run."""
        return self._pages.get(category)

    def epoch(self, category: str, epoch: int, metrics: Metrics) -> None:
        """Log the metrics of a category after ``epoch`` epochs; the first one creates its run."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, daemon=True)
            self._thread.start()
        self._queue.put((category, epoch, dict(metrics), time.time()))

    def completed(self, category: str) -> None:
        """End the run of a category whose model is published."""
        self._end(category, FINISHED)

    def _end(self, category: str, status: str) -> None:
        """Tell the thread to end a category's run, if there is one, with this status of MLflow."""
        self._queue.put((category, status))

    def __enter__(self) -> "CategoryRuns":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._thread is None:
            return
        for name in getattr(error, "failures", {}):
            self._end(name, FAILED)
        status = FINISHED if kind is None else FAILED if isinstance(error, Exception) else KILLED
        self._queue.put(("", status))
        self._queue.put(None)
        self._thread.join(FLUSH_SECONDS)

    def _work(self) -> None:
        """Log what is in the queue until it yields None; runs on the thread."""
        try:
            log = _Log(self._root, self._step, self._params, self._pages)
            while (item := self._queue.get()) is not None:
                log.end(*item) if len(item) == 2 else log.epoch(*item)
        except Exception as error:  # tracking servers raise many kinds of errors
            warnings.warn(f"{self._step}: no longer logged to MLflow: {error}", stacklevel=2)


class _Log:
    """The part of ``CategoryRuns`` that runs on the thread and calls MLflow."""

    def __init__(
        self, root: Path, step: str, params: Mapping[str, Mapping[str, Any]], pages: dict[str, str]
    ) -> None:
        from fashion_ops.registry import client as registry
        from fashion_ops.registry.dead_runs import close_dead_runs

        self._page_of, self._pages = registry.run_page, pages
        self._client = registry.connect(root)
        close_dead_runs(self._client)
        experiment = self._client.get_experiment_by_name(registry.EXPERIMENT)
        assert experiment is not None  # connect made it
        self._experiment, self._params = experiment.experiment_id, params
        self._owner = {registry.OWNER_TAG: this_process()}
        parent = self._client.create_run(self._experiment, run_name=step, tags=self._owner)
        self._parent: str = parent.info.run_id
        self._open: dict[str, str] = {}

    def epoch(self, category: str, epoch: int, metrics: Metrics, seconds: float) -> None:
        """Log an epoch that ended at ``seconds`` (``time.time``); the first one creates the run."""
        from mlflow.entities import Metric, Param

        if category not in self._open:
            tags = {"mlflow.parentRunId": self._parent, "category": category, **self._owner}
            run = self._client.create_run(self._experiment, run_name=category, tags=tags)
            self._open[category] = run.info.run_id
            self._pages[category] = self._page_of(self._experiment, run.info.run_id)
            params = [Param(key, str(value)) for key, value in self._params.get(category, {}).items()]
            self._client.log_batch(run.info.run_id, params=params)
        points = [Metric(key, value, int(1000 * seconds), epoch) for key, value in metrics.items()]
        self._client.log_batch(self._open[category], metrics=points)

    def end(self, category: str, status: str) -> None:
        """End the run of one category; if ``category`` is empty, the parent and all open runs."""
        runs = [self._open.pop(category)] if category in self._open else []
        if not category:
            runs = [*self._open.values(), self._parent]
        for run in runs:
            self._client.set_terminated(run, status)
