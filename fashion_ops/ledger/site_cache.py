"""A private folder for what DVC remembers of files: hashes by time stamp, and its index of the data.

By default DVC keeps these below ``/var/tmp/dvc``, where every user may write, in databases with
pickles, which run code when they are read. Here they are in ``.dvc/site_cache`` of the workspace, which
only its owner may enter. A pod that mounts the workspace also finds the hashes there and need not make
them again.

DVC takes a relative path in ``.dvc/config`` as relative to the current folder, so the absolute path is
in ``.dvc/config.local``, which git ignores. It is corrected after the workspace was moved or copied.
The variable ``DVC_SITE_CACHE_DIR`` overrides it. ``make env`` calls this module, for ``dvc`` by hand.
"""

import shutil
import sqlite3
from pathlib import Path
from typing import Any

from dvc.config import Config
from dvc_data.hashfile.cache import Cache, Timeout  # pyright: ignore[reportPrivateImportUsage]

FOLDER = "site_cache"
ERRORS = (sqlite3.Error, Timeout)  # of these databases
FULL = 16 << 20  # bytes; a database that fails with fewer free ones has most likely met a full disk


def _set(cache: Cache, key: Any, value: Any) -> None:
    """``cache[key] = value``, once: on a full disk ``diskcache`` would try again for ever."""
    cache.set(key, value, retry=False)


Cache.__setitem__ = _set  # type: ignore[method-assign]


def cause(error: Exception, root: Path) -> str:
    """The text of an error; a full disk has the same words whether a database meets it or a file."""
    if isinstance(error, ERRORS) and shutil.disk_usage(root).free < FULL:
        return f"No space left on device ({root / '.dvc' / FOLDER})"
    return str(error) or f"{root / '.dvc' / FOLDER}: locked by another process"


def make_private(root: Path) -> Path:
    """Make the private folder of the repository at ``root``, and DVC use it; returns the folder.

    Raises:
        OSError: the folder or ``.dvc/config.local`` cannot be written.
    """
    dvc = root.resolve() / ".dvc"
    folder = dvc / FOLDER
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.stat().st_mode & 0o077:
        folder.chmod(0o700)
    if not (folder / ".gitignore").is_file():  # restored versions know nothing of this folder
        (folder / ".gitignore").write_text("*\n")
    config: Any = Config(str(dvc))  # mappings of mappings, without types
    if config.load_one("local")["core"].get("site_cache_dir") != str(folder):
        with config.edit("local") as local:
            local["core"]["site_cache_dir"] = str(folder)
    return folder


if __name__ == "__main__":
    make_private(Path())
