"""Progress: a live bar or spinner on a terminal, and one closing line on stderr."""

import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

T = TypeVar("T")


def track(items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
    """Yield from ``items`` and show the progress.

    Args:
        items: the items to iterate over.
        description: the work in a few words, shown beside the bar.
        total: number of items, if ``items`` has no length.
    """
    if total is None and hasattr(items, "__len__"):
        total = len(items)  # type: ignore[arg-type]
    console = Console(file=sys.stderr)
    start, count = time.monotonic(), 0
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(description, total=total)
        for item in items:
            yield item
            count += 1
            bar.advance(task)
    line = f"{description}: {count} in {time.monotonic() - start:.1f} s"
    console.print(line, highlight=False, soft_wrap=True)


@contextmanager
def phase(description: str) -> Iterator[None]:
    """Show that one piece of work of unknown length goes on within the block, and how long it took.

    Args:
        description: the work in a few words. Within the block there is no ``track``.
    """
    console, start = Console(file=sys.stderr), time.monotonic()
    with console.status(description) if console.is_terminal else nullcontext():
        yield
    line = f"{description}: {time.monotonic() - start:.1f} s"
    console.print(line, highlight=False, soft_wrap=True)
