"""Progress of a fan-out: live bars on a terminal, one line for each finished job in a log."""

import sys
import time
from collections.abc import Iterable, Mapping

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, Task, TextColumn

from fashion_ops.distributed.job_store import Event
from fashion_ops.errors.failures import failure_line


class Display:
    """Context manager that shows running jobs, their epochs, metrics and nodes, and how many are done.

    Args:
        step: name of the step, with which each line begins.
        epochs: number of epochs of each job, by name; None where it is unknown.
    """

    def __init__(self, step: str, epochs: Mapping[str, int | None]) -> None:
        self._step, self._epochs = step, dict(epochs)
        self._start = time.monotonic()
        self._running: dict[str, Task] = {}
        self._warnings: set[str] = set()
        console = Console(file=sys.stderr, highlight=False)
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[metrics]}", markup=False),
            TextColumn("{task.fields[node]}", markup=False),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._total = self._add(f"{step}, jobs done", len(self._epochs))

    def __enter__(self) -> "Display":
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        if not self._progress.disable:  # else it prints an empty line
            self._progress.stop()

    def update(self, events: Iterable[Event]) -> None:
        """Show the starts, epochs and failed saves that workers reported."""
        for event in events:
            task = self._task(event.name)
            if event.kind == "started":
                if task.fields["node"]:
                    origin = "its last epoch" if event.resumed else "the start"
                    self._print_job(event.name, f"worker lost; continues from {origin} on {event.node}")
                self._progress.update(task.id, node=event.node)
            elif event.kind == "epoch":
                metrics = ", ".join(
                    f"{key} {value:.4g}" for key, value in (event.metrics or {}).items()
                )
                self._progress.update(task.id, completed=event.epoch, metrics=metrics)
            elif event.kind == "not_saved":
                self.warn(f"checkpoints are not written: {event.error}")

    def complete(self, name: str) -> None:
        """Show that a job is done and recorded."""
        task = self._remove(name)
        metrics = f", {task.fields['metrics']}" if task.fields["metrics"] else ""
        self._print_job(name, f"done, {task.completed:g} epochs{metrics}")

    def fail(self, name: str, error: BaseException) -> None:
        """Show that a job failed and is not tried again."""
        self._remove(name)
        self._print_job(name, f"FAILED, {failure_line(error)}")

    def warn(self, text: str) -> None:
        """Print a warning, each text once."""
        if text not in self._warnings:
            self._warnings.add(text)
            self._print(text, "yellow")

    def _task(self, name: str) -> Task:
        """The bar of a job, which is added if it has none."""
        if name not in self._running:
            self._running[name] = self._add(name, self._epochs.get(name))
        return self._running[name]

    def _add(self, description: str, total: int | None) -> Task:
        """Add a bar that counts to ``total``, the number of epochs or jobs; None if it is unknown."""
        task_id = self._progress.add_task(description, total=total, metrics="", node="")
        return next(task for task in self._progress.tasks if task.id == task_id)

    def _remove(self, name: str) -> Task:
        """Remove and return the bar of a job, and count the job as done."""
        task = self._task(name)
        del self._running[name]
        self._progress.remove_task(task.id)
        self._progress.advance(self._total.id)
        return task

    def _print_job(self, name: str, text: str) -> None:
        """Print a line about a job, with the number of jobs done and the time since the start."""
        count = f"{self._total.completed:g}/{len(self._epochs)}"
        self._print(f"{text} ({count}, {time.monotonic() - self._start:.1f} s)", name=name)

    def _print(self, text: str, style: str | None = None, name: str = "") -> None:
        """Print a line that begins with the step and, if it is given, the name of a job."""
        line = f"{self._step} {name}".rstrip() + f": {text}"
        self._progress.console.print(
            line, style=style, markup=False, soft_wrap=True
        )  # one line in a log
