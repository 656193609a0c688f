"""What a fan-out shows: a live bar a running job on a terminal, one line a finished job in a log."""

import sys
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from fashion_ops.distributed.job_store import Event

BAR_WIDTH = 24


@dataclass
class _Line:
    """A running job."""

    node: str = ""
    epoch: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)


class Board:
    """Which jobs run, how far they are, and which are done. Use as a context manager.

    ``epochs``: how many each job has, by name; None where nobody knows.
    """

    def __init__(self, what: str, epochs: Mapping[str, int | None]) -> None:
        self._what, self._epochs, self._done, self._failed = what, dict(epochs), 0, 0
        self._start = time.monotonic()
        self._running: dict[str, _Line] = {}
        self._warned: set[str] = set()
        self._console = Console(file=sys.stderr, highlight=False)
        self._live = Live(console=self._console, transient=True, refresh_per_second=4)

    def __enter__(self) -> "Board":
        if self._console.is_terminal:
            self._live.start()
            self._draw()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def hear(self, events: Iterable[Event]) -> None:
        """Show what workers told."""
        for event in events:
            line = self._running.setdefault(event.name, _Line())
            if event.kind == "begun":
                if line.node:
                    where = "its last epoch" if event.resumed else "the start"
                    self._line(f"worker lost; goes on from {where} on {event.node}", event.name)
                line.node = event.node
            elif event.kind == "epoch":
                line.epoch, line.metrics = event.epoch, event.metrics or {}
            elif event.kind == "unsaved":
                self.warn(f"resume points are not written: {event.trouble}")
        self._draw()

    def land(self, name: str) -> None:
        """A job is done and recorded."""
        line = self._running.pop(name, _Line())
        self._done += 1
        self._line(f"done, {line.epoch} epochs{_numbers(line.metrics)}", name)

    def fail(self, name: str, error: BaseException) -> None:
        """A job failed for good."""
        self._running.pop(name, None)
        self._failed += 1
        self._line(f"FAILED, {type(error).__name__}: {error}", name)

    def warn(self, text: str) -> None:
        """Say something once that stops nothing."""
        if text not in self._warned:
            self._warned.add(text)
            self._say(f"{self._what}: {text}", "yellow")

    def _line(self, text: str, name: str) -> None:
        count = f"{self._done + self._failed}/{len(self._epochs)}"
        seconds = time.monotonic() - self._start
        self._say(f"{self._what} {name}: {text} ({count}, {seconds:.1f} s)")
        self._draw()

    def _say(self, text: str, style: str | None = None) -> None:
        self._console.print(text, style=style, markup=False, soft_wrap=True)  # one line in a log

    def _draw(self) -> None:
        if not self._live.is_started:
            return
        title = f"{self._what}: {self._done} of {len(self._epochs)} done"
        table = Table(title=title, title_justify="left", box=None)
        for column in ("running", "", "epochs", "metrics", "node"):
            table.add_column(column, justify="right" if column == "epochs" else "left")
        for name, line in self._running.items():
            total = self._epochs.get(name)
            bar = ProgressBar(total, line.epoch, width=BAR_WIDTH, pulse=total is None)
            epochs = str(line.epoch) if total is None else f"{line.epoch}/{total}"
            table.add_row(name, bar, epochs, _numbers(line.metrics).lstrip(", "), line.node)
        self._live.update(table)


def _numbers(metrics: Mapping[str, float]) -> str:
    return "".join(f", {key} {value:.4g}" for key, value in metrics.items())
