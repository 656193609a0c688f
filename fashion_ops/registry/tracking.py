"""A fan-out in MLflow as it happens: one run for the step, below it one a category, a point an epoch.

Only the driver logs. It does so on a thread of its own, so that a slow server holds up no worker; one
that fails is named once, and training goes on without it. Nothing is imported or written before the
first epoch is told.
"""

import queue
import threading
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from fashion_ops.params import Params
from fashion_ops.workspace import Workspace

Metrics = Mapping[str, float]
FINISHED, FAILED, KILLED = "FINISHED", "FAILED", "KILLED"  # MLflow's words
PATIENCE = 60.0  # seconds that the end of a fan-out waits for what is still to be logged


class FanOutRuns:
    """The runs of one fan-out; a context manager that ends what is open.

    Args:
        root: of the workspace; see ``registry.connect``.
        step: names the parent run.
        params: of each category's run, by its name.
    """

    def __init__(self, root: Path, step: str, params: Mapping[str, Mapping[str, Any]]) -> None:
        self._root, self._step, self._params = root, step, params
        self._queue: queue.Queue[tuple[Any, ...] | None] = queue.Queue()
        self._thread: threading.Thread | None = None
        self._pages: dict[str, str] = {}

    @classmethod
    def of_categories(cls, ws: Workspace, step: str, params: Params) -> "FanOutRuns":
        """The runs of ``finetune`` or ``refine``, each with the parameters of its category."""
        runs = {name: getattr(one, step).model_dump() for name, one in params.categories.items()}
        return cls(ws.root, step, runs)

    def page(self, name: str) -> str | None:
        """Address of a category's run; None while MLflow has not answered yet."""
        return self._pages.get(name)

    def epoch(self, name: str, epoch: int, metrics: Metrics) -> None:
        """A category has done so many epochs."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, daemon=True)
            self._thread.start()
        self._queue.put((name, epoch, dict(metrics), time.time()))

    def completed(self, name: str) -> None:
        """Close the run of a category whose model is published."""
        self._end(name, FINISHED)

    def _end(self, name: str, status: str) -> None:
        self._queue.put((name, status))

    def __enter__(self) -> "FanOutRuns":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._thread is None:
            return
        for name in getattr(error, "failures", {}):
            self._end(name, FAILED)
        known = kind is None or isinstance(error, Exception)
        self._queue.put(("", (FINISHED if kind is None else FAILED) if known else KILLED))
        self._queue.put(None)
        self._thread.join(PATIENCE)

    def _work(self) -> None:
        try:
            log = _Log(self._root, self._step, self._params, self._pages)
            while (told := self._queue.get()) is not None:
                log.end(*told) if len(told) == 2 else log.epoch(*told)
        except Exception as error:  # whatever a tracking server may answer
            warnings.warn(f"{self._step}: not tracked any further in MLflow: {error}", stacklevel=2)


class _Log:
    """The same on the thread, in MLflow's terms."""

    def __init__(
        self, root: Path, step: str, params: Mapping[str, Mapping[str, Any]], pages: dict[str, str]
    ) -> None:
        from fashion_ops.registry import client as registry

        self._page_of, self._pages = registry.run_page, pages
        self._client = registry.connect(root)
        experiment = self._client.get_experiment_by_name(registry.EXPERIMENT)
        assert experiment is not None  # connect made it
        self._experiment, self._params = experiment.experiment_id, params
        self._parent: str = self._client.create_run(self._experiment, run_name=step).info.run_id
        self._open: dict[str, str] = {}

    def epoch(self, name: str, epoch: int, metrics: Metrics, when: float) -> None:
        from mlflow.entities import Metric, Param

        if name not in self._open:
            tags = {"mlflow.parentRunId": self._parent, "category": name}
            run = self._client.create_run(self._experiment, run_name=name, tags=tags)
            self._open[name] = run.info.run_id
            self._pages[name] = self._page_of(self._experiment, run.info.run_id)
            params = [Param(key, str(value)) for key, value in self._params.get(name, {}).items()]
            self._client.log_batch(run.info.run_id, params=params)
        points = [Metric(key, value, int(1000 * when), epoch) for key, value in metrics.items()]
        self._client.log_batch(self._open[name], metrics=points)

    def end(self, name: str, status: str) -> None:
        """Of one category; with no name, of the step and of all that is still open."""
        closed = [self._open.pop(name)] if name in self._open else []
        if not name:
            closed = [*self._open.values(), self._parent]
        for run in closed:
            self._client.set_terminated(run, status)
