"""A state folder that several services share: one of them makes or deletes a folder in it at a time."""

import logging
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

log = logging.getLogger(__name__)


@contextmanager
def alone(folder: Path, minutes: float = 30) -> Iterator[None]:
    """Of the services with the same state folder, be the only one that makes ``folder``.

    Raises:
        TimeoutError: another one has not made it in this time.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = _lock_of(folder)
    try:
        lock.acquire(timeout=0.1)
    except Timeout:
        log.info("%s: another service makes it; waiting for %g minutes at most", folder, minutes)
        try:
            lock.acquire(timeout=60 * minutes)
        except Timeout as error:
            raise TimeoutError(
                f"{folder}: another service has not made it in {minutes:g} minutes; restart that one, "
                "or name another state folder"
            ) from error
    try:
        yield
    finally:
        lock.release()


def delete(folder: Path, *inside: Path) -> None:
    """Delete a folder, unless another service makes it, or one of the folders ``inside``, right now."""
    if not folder.is_dir():
        return
    with ExitStack() as locks:
        try:
            for path in (folder, *inside):
                locks.enter_context(_lock_of(path).acquire(timeout=0))
        except Timeout:
            log.info("%s: stays, because another service works on it", folder)
        else:
            shutil.rmtree(folder, ignore_errors=True)


def _lock_of(folder: Path) -> FileLock:
    return FileLock(folder.with_name(f".{folder.name}.lock"))
