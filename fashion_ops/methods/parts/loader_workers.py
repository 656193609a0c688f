"""Worker processes of a data loader: a folder for their sockets, and an end to the wait for a batch.

A worker hands its batches over through a Unix socket in the temporary folder of ``multiprocessing``. If
it cannot make the socket, it prints that and sends nothing, and the training would wait for ever. Two
things cause this: a name that is too long (Python before 3.14), and a folder that is gone, because the
process took its first one from a task whose temporary files have been deleted since.
"""

import atexit
import os
import shutil
import tempfile
from multiprocessing.process import current_process
from multiprocessing.util import get_temp_dir
from pathlib import Path

LONGEST = 92  # bytes of the folder's name: 107 for a socket, less "/listener-" and its random part
BATCH_SECONDS = 900.0  # the longest wait for one batch


def prepare_sockets() -> None:
    """Give the workers that this process starts an existing folder with a short name for their sockets.

    Raises:
        OSError: neither the temporary folder nor ``/tmp`` can be written.
    """
    folder = get_temp_dir()
    if Path(folder).is_dir() and len(os.fsencode(folder)) < LONGEST:
        return
    base = tempfile.gettempdir()
    room = LONGEST - len("/pymp-") - 10  # mkdtemp adds eight characters
    own = tempfile.mkdtemp(prefix="pymp-", dir=base if len(os.fsencode(base)) < room else "/tmp")
    atexit.register(shutil.rmtree, own, ignore_errors=True)
    current_process()._config["tempdir"] = own  # type: ignore[attr-defined] # it has no public name


def no_batch(error: RuntimeError) -> TimeoutError | None:
    """The error to show instead of that of a loader whose workers sent nothing; None for others."""
    if "DataLoader timed out" not in str(error):
        return None
    return TimeoutError(
        f"the loader workers sent no batch for {BATCH_SECONDS:g} s; what they printed says why; "
        "distributed.loader_workers: 0 reads the images in the training process"
    )
