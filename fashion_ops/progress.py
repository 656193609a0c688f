"""Progress: a live bar or spinner on a terminal, and one closing line on stderr."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

T = TypeVar("T")
LINE_SECONDS = 60  # between two lines in a log


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
def meter(description: str, unit: str, total: int, done: int = 0) -> Iterator[Callable[[int], None]]:
    """Show how much of a long work is done, how fast it goes and how long it still takes.

    A terminal shows a live bar, a log gets a line a minute. Speed and time left are of this run.

    Args:
        description: the work in a few words.
        unit: what is counted, in the plural.
        total: number of all.
        done: number that was done before.

    Yields:
        A function to call with each number that is done.
    """
    console, count = Console(file=sys.stderr), 0
    start = last = time.monotonic()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[speed]}", markup=False),
    )

    def speed() -> str:
        rate = count / max(time.monotonic() - start, 1e-9)
        seconds = timedelta(seconds=round((total - done - count) / rate)) if rate else "unknown"
        return f"{rate:.1f} {unit} a second, {seconds} left"

    def advance(number: int) -> None:
        nonlocal count, last
        count += number
        bar.update(task, advance=number, speed=speed())
        if not console.is_terminal and time.monotonic() - last >= LINE_SECONDS:
            last = time.monotonic()
            line = f"{description}: {done + count} of {total} {unit}, {speed()}"
            console.print(line, highlight=False, soft_wrap=True)

    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(description, total=total, completed=done, speed="")
        yield advance
    seconds = time.monotonic() - start
    rate = f", {count / seconds:.1f} a second" if count else ""
    line = f"{description}: {count} {unit} in {seconds:.1f} s{rate}"
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
