"""How the command lines answer an error: one line on stderr, an exit status, the traceback in a log.

``--debug``, before or after the command, or ``FASHION_OPS_DEBUG=1`` prints the traceback as well. In
any case it is in ``.logs/errors.log`` of the workspace or, outside of one, in the user's state folder.
"""

import contextlib
import os
import sys
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from typer.core import TyperGroup

from fashion_ops.errors.failures import FAULT, exit_status, failure_line, one_line, printable

DEBUG = "FASHION_OPS_DEBUG"
LOG = Path(".logs", "errors.log")
_LARGEST = 1 << 20  # bytes of a log; a larger one starts again
_OFF = ("", "0", "false", "no")

console = Console(stderr=True)


def complain(error: BaseException | str) -> None:
    """Print an error message in red, on one line."""
    text = one_line(error) if isinstance(error, str) else failure_line(error)
    console.print(text, style="red", markup=False, highlight=False, soft_wrap=True, emoji=False)


def report(error: BaseException) -> int:
    """Print the line of an error, log its traceback, and return the exit status.

    The traceback is printed too with ``--debug``. A fault of the program says where its traceback is.
    """
    log, status = log_traceback(error), exit_status(error)
    if debugging():
        traceback.print_exception(error)
        complain(error)
    elif status == FAULT:
        where = f"the traceback is in {log}" if log else "no log could be written"
        complain(f"{failure_line(error)}; a fault of the program: {where}, --debug prints it")
    else:
        complain(error)
    return status


def debugging() -> bool:
    """Whether tracebacks are to be printed."""
    return os.environ.get(DEBUG, "").lower() not in _OFF


def log_traceback(error: BaseException) -> Path | None:
    """Append the traceback of an error to the log; returns its path, None if it cannot be written."""
    lines = traceback.format_exception(error)
    words = " ".join(printable(word) for word in sys.argv)
    text = f"{time.strftime('%Y-%m-%d %H:%M:%S')} {words}\n{''.join(lines)}\n"
    for path in _log_files():
        with contextlib.suppress(OSError):
            if not path.parent.is_dir():
                path.parent.mkdir(parents=True)
                (path.parent / ".gitignore").write_text("*\n", encoding="utf-8")
            full = path.is_file() and path.stat().st_size > _LARGEST
            with path.open("w" if full else "a", encoding="utf-8", errors="backslashreplace") as file:
                file.write(text)
            return path
    return None


def _log_files() -> Iterator[Path]:
    """Where the log may be: in the workspace of the current folder, in the state folder of the user."""
    root = os.environ.get("FASHION_OPS_ROOT")
    with contextlib.suppress(OSError):  # the current folder may be gone
        folders = [Path(root)] if root else [Path.cwd(), *Path.cwd().parents]
        for folder in folders:
            if (folder / "params.yaml").is_file():
                yield folder / LOG
                break
    with contextlib.suppress(RuntimeError):  # a user without a home
        state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
        yield Path(state) / "fashion-ops" / LOG.name


@contextlib.contextmanager
def answered() -> Iterator[None]:
    """Answer every error of the block with ``report``, and exit with its status."""
    try:
        yield
    except Exception as error:
        sys.exit(report(error))


@contextlib.contextmanager
def debug_option(words: list[str]) -> Iterator[None]:
    """Take ``--debug`` out of the words of a command line, wherever it is, and obey it in the block."""
    end = words.index("--") if "--" in words else len(words)
    given = "--debug" in words[:end]
    words[:end] = [word for word in words[:end] if word != "--debug"]
    before, format_before = os.environ.get(DEBUG), warnings.formatwarning
    if given:
        os.environ[DEBUG] = "1"
    warnings.formatwarning = lambda message, *_, **__: f"warning: {one_line(str(message))}\n"
    try:
        yield
    finally:
        warnings.formatwarning = format_before
        if given and before is None:
            del os.environ[DEBUG]
        elif given:
            os.environ[DEBUG] = str(before)


class AnsweringGroup(TyperGroup):
    """A group of commands whose errors are answered as this module says, mistakes of usage too."""

    def main(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, args: Sequence[str] | None = None, standalone_mode: bool = True, **options: Any
    ) -> Any:
        words = list(sys.argv[1:] if args is None else args)
        if not standalone_mode:
            return super().main(words, standalone_mode=False, **options)
        with debug_option(words):
            try:
                status = super().main(words, standalone_mode=False, **options)
            except (typer.Abort, KeyboardInterrupt):
                complain("interrupted")
                sys.exit(130)
            except Exception as error:
                if not hasattr(error, "format_message"):  # an error of the command itself
                    sys.exit(report(error))
                sys.exit(_answer_usage(error))
            sys.exit(status if isinstance(status, int) else 0)


def _answer_usage(error: Any) -> int:
    """Print what is wrong with a command line, in one line; without any words, print the help."""
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":  # the text of it is the help
        error.show()
        return 2
    text = error.format_message().rstrip(".").replace("Value error, ", "")
    cause = error.__cause__ or error.__context__
    if hasattr(cause, "errors"):  # of pydantic, which checks the values
        text += f" (got {cause.errors()[0]['input']!r})"
    help_of = f"; `{context.command_path} --help` lists the options" if context else ""
    complain(f"{text}{help_of}")
    return 2
