"""What a fan-out shows: a live table on a terminal, one line a finished job in a log."""

import sys
import time
from collections.abc import Mapping

from rich.console import Console
from rich.live import Live
from rich.table import Table


class Board:
    """Which jobs run, how far they are, and which are done. Use as a context manager."""

    def __init__(self, what: str, total: int) -> None:
        self._what, self._total, self._done, self._failed = what, total, 0, 0
        self._start = time.monotonic()
        self._running: dict[str, tuple[int, Mapping[str, float]]] = {}
        self._console = Console(file=sys.stderr, highlight=False)
        self._live = Live(console=self._console, transient=True, refresh_per_second=4)

    def __enter__(self) -> "Board":
        if self._console.is_terminal:
            self._live.start()
            self._draw()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def update(self, running: Mapping[str, tuple[int, Mapping[str, float]]]) -> None:
        """Show how far the running jobs are: (epochs done, metrics) by name."""
        self._running = dict(running)
        self._draw()

    def land(self, name: str) -> None:
        """A job is done and recorded."""
        epochs, metrics = self._running.pop(name, (0, {}))
        self._done += 1
        self._line(f"done, {epochs} epochs{_numbers(metrics)}", name)

    def fail(self, name: str, error: BaseException) -> None:
        """A job failed for good."""
        self._running.pop(name, None)
        self._failed += 1
        self._line(f"FAILED, {type(error).__name__}: {error}", name)

    def _line(self, text: str, name: str) -> None:
        count = f"{self._done + self._failed}/{self._total}"
        seconds = time.monotonic() - self._start
        self._console.print(f"{self._what} {name}: {text} ({count}, {seconds:.1f} s)", markup=False)
        self._draw()

    def _draw(self) -> None:
        if not self._live.is_started:
            return
        table = Table(title=f"{self._what}: {self._done} of {self._total} done", title_justify="left")
        for column in ("running", "epochs", "metrics"):
            table.add_column(column, justify="right" if column == "epochs" else "left")
        for name, (epochs, metrics) in self._running.items():
            table.add_row(name, str(epochs), _numbers(metrics).lstrip(", "))
        self._live.update(table)


def _numbers(metrics: Mapping[str, float]) -> str:
    return "".join(f", {key} {value:.4g}" for key, value in metrics.items())
