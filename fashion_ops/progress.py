"""Progress bars, the same everywhere: a live bar on a terminal, one closing line in a log."""

import sys
import time
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

T = TypeVar("T")


def track(items: Iterable[T], description: str, total: int | None = None) -> Iterator[T]:
    """Yield from ``items``, showing how far it is.

    Args:
        items: anything iterable.
        description: what is being done, in a few words.
        total: number of items, where ``len`` can't tell.
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
