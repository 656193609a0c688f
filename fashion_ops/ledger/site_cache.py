"""A private folder for what DVC remembers of files: hashes by time stamp, and its index of the data.

By default DVC keeps these below ``/var/tmp/dvc``, where every user may write, in databases with
pickles, which run code when they are read. Here they are in ``.dvc/site_cache`` of the workspace, which
only its owner may enter. A pod that mounts the workspace also finds the hashes there and need not make
them again.

DVC takes a relative path in ``.dvc/config`` as relative to the current folder, so the absolute path is
in ``.dvc/config.local``, which git ignores. It is corrected after the workspace was moved or copied.
The variable ``DVC_SITE_CACHE_DIR`` overrides it. ``make env`` calls this module, for ``dvc`` by hand.
"""

from pathlib import Path

from dvc.config import Config

FOLDER = "site_cache"


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
    config = Config(str(dvc))
    if config.load_one("local")["core"].get("site_cache_dir") != str(folder):
        with config.edit("local") as local:
            local["core"]["site_cache_dir"] = str(folder)
    return folder


if __name__ == "__main__":
    make_private(Path())
