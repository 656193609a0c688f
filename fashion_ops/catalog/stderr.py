"""What C libraries print on stderr while they decode, caught so that a message can name the file."""

import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

_DECODERS = ("Corrupt JPEG", "Premature end", "Invalid", "Unsupported", "Warning", "libpng", "[ WARN")
_DECODERS += ("WARNING: All log", "E0000")  # of OpenVINO, which tries the formats of other frameworks
_scratch: dict[int, IO[bytes]] = {}  # by process: a file shares its position with that of the parent


@contextmanager
def decoder_messages() -> Iterator[list[str]]:
    """Catch the lines that a decoder prints on stderr in the block; the list is filled at its end.

    Other lines, which another thread may print meanwhile, are passed on. Stderr belongs to the whole
    process, so only the main thread catches anything. It costs a few microseconds.
    """
    messages: list[str] = []
    if threading.current_thread() is not threading.main_thread():
        yield messages
        return
    try:
        kept = os.dup(2)
    except OSError:  # a process without stderr
        yield messages
        return
    process = os.getpid()
    if process not in _scratch:
        _scratch[process] = tempfile.TemporaryFile()  # noqa: SIM115 (for as long as the process lives)
    file = _scratch[process].fileno()
    try:
        os.dup2(file, 2)
        yield messages
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        if size := os.fstat(file).st_size:
            lines = os.pread(file, size, 0).decode("utf-8", "replace").splitlines()
            os.ftruncate(file, 0)
            os.lseek(file, 0, os.SEEK_SET)
            messages += [line for line in lines if line.startswith(_DECODERS)]
            for line in lines:
                if line not in messages:
                    os.write(2, f"{line}\n".encode())
