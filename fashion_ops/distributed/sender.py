"""Sends a training's checkpoints away while it goes on: the latest one only, one at a time."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO


class CheckpointSender:
    """Sends the file ``checkpoint`` by ``save(its bytes)`` whenever it is a new one; a context manager.

    In the background ``offer`` returns at once and a thread reads and sends. A checkpoint that waits
    for the one before is replaced by a newer one. At the end of the context a waiting one is sent only
    if the work failed, since after a success nobody resumes; one on its way is always waited for, so
    that it cannot arrive after the checkpoint of a completed job was removed.

    Args:
        checkpoint: the file, which the work replaces as a whole (a new file that takes its name).
        save: sends the bytes; returns when they have arrived.
        in_background: False makes ``offer`` return when the checkpoint has arrived.
    """

    def __init__(
        self, checkpoint: Path, save: Callable[[bytes], None], in_background: bool = True
    ) -> None:
        self._checkpoint, self._save = checkpoint, save
        self._thread = threading.Thread(target=self._send, daemon=True) if in_background else None
        self._changed = threading.Condition()
        self._waiting: BinaryIO | None = None  # open, so that it stays when a newer file takes its name
        self._ended = False
        self._error: Exception | None = None
        self._offered = self._identity()  # the file that the work resumes from has arrived before

    def __enter__(self) -> "CheckpointSender":
        if self._thread is not None:
            self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self._thread is None:
            return
        with self._changed:
            if kind is None or not issubclass(kind, Exception):
                self._replace(None)
            self._ended = True
            self._changed.notify()
        self._thread.join()
        if self._error is not None and kind is None:
            raise self._error

    def offer(self) -> None:
        """Send the file if it has changed since the last call.

        Raises:
            Exception: that of ``save``, here or at an earlier call in the background.
        """
        if self._error is not None:
            raise self._error
        identity = self._identity()
        if identity is None or identity == self._offered:
            return
        self._offered = identity
        if self._thread is None:
            self._save(self._checkpoint.read_bytes())
            return
        with self._changed:
            self._replace(self._checkpoint.open("rb"))
            self._changed.notify()

    def _identity(self) -> tuple[int, int, int] | None:
        """What differs between two checkpoints; None if there is none."""
        if not self._checkpoint.exists():
            return None
        stat = self._checkpoint.stat()
        return stat.st_ino, stat.st_mtime_ns, stat.st_size

    def _replace(self, file: BinaryIO | None) -> None:
        """Let ``file`` wait in place of the one that does; the lock is held."""
        if self._waiting is not None:
            self._waiting.close()
        self._waiting = file

    def _send(self) -> None:
        """Send what waits until the context has ended and nothing waits; runs on the thread."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting is not None or self._ended)
                file, self._waiting = self._waiting, None
            if file is None:
                return
            try:
                with file:
                    data = file.read()
                self._save(data)
            except Exception as error:
                self._error = error
                return
