"""The objects of DVC's cache and remotes, read and written without DVC.

An object is a file whose name is the md5 of its content: ``files/md5/ab/cdef...``. The object of a
folder has the suffix ``.dir``; it is a JSON list of ``{"md5": ..., "relpath": ...}``, sorted by
``relpath``. The format is DVC 3's. Files that ``.dvcignore`` names are not part of a folder.
"""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path, PurePosixPath

from pathspec import GitIgnoreSpec

FOLDER = ".dir"  # suffix of the md5 of a folder
_PROTECTED = 0o444  # DVC trusts the content of an object with this mode


def file_md5(path: Path) -> str:
    """The md5 of a file's content in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def bytes_md5(data: bytes) -> str:
    """The md5 of bytes in hexadecimal digits."""
    return hashlib.md5(data).hexdigest()


def path_of(store: Path, md5: str) -> Path:
    """Path of an object in the folder ``store``: a cache's ``files/md5`` or that of a remote."""
    return store / md5[:2] / md5[2:]


def is_intact(store: Path, md5: str) -> bool:
    """Whether an object is there and has the content that its name says; reads all of it."""
    path = path_of(store, md5)
    return path.is_file() and file_md5(path) == md5.removesuffix(FOLDER)


def read_folder(store: Path, md5: str) -> dict[str, str]:
    """The md5 of each file of a folder by its relative path; empty for the md5 of a file.

    Raises:
        FileNotFoundError: the object is not there.
        ValueError: it is damaged.
    """
    if not md5.endswith(FOLDER):
        return {}
    text = path_of(store, md5).read_bytes()
    if bytes_md5(text) != md5.removesuffix(FOLDER):
        raise ValueError(f"{path_of(store, md5)}: its content is not the one that its name says")
    return {item["relpath"]: item["md5"] for item in json.loads(text)}


def folder_object(folder: Path, root: Path) -> bytes:
    """The object of a folder as it is now, with the bytes that DVC writes.

    Args:
        folder: in the repository.
        root: of the repository, which has the ``.dvcignore``.
    """
    items = [
        {"md5": file_md5(path), "relpath": path.relative_to(folder).as_posix()}
        for path in _files(folder, root)
    ]
    items.sort(key=lambda item: item["relpath"])
    return json.dumps(items, sort_keys=True).encode()


def md5_of(path: Path, root: Path) -> str | None:
    """The md5 of a file or folder as ``dvc.lock`` has it; None if there is neither.

    Args:
        path: of the file or folder.
        root: of the repository.
    """
    if path.is_dir():
        return bytes_md5(folder_object(path, root)) + FOLDER
    return file_md5(path) if path.is_file() else None


def looks_whole(store: Path, md5: str, original: Path) -> bool:
    """Whether an object and, for a folder, all files of it are there with the size of the original.

    It reads a file only where DVC would, because the object is writable.

    Args:
        store: folder of the objects.
        md5: of the file or folder.
        original: the file or folder in the workspace, whose content has this md5.
    """
    try:
        parts = {f"{original}/{name}": part for name, part in read_folder(store, md5).items()}
        for file, part in (parts if md5.endswith(FOLDER) else {str(original): md5}).items():
            found = os.stat(f"{store}/{part[:2]}/{part[2:]}")  # noqa: PTH116 - thousands of files
            if found.st_size != os.stat(file).st_size:  # noqa: PTH116
                return False
            if found.st_mode & 0o777 != _PROTECTED and not is_intact(store, part):
                return False
    except (OSError, ValueError):
        return False
    return True


def add(store: Path, md5: str, original: Path, root: Path) -> bool:
    """Put the object of a file or folder into the store, if the original has this md5.

    The files of a folder are not added with it.

    Args:
        store: folder of the objects.
        md5: of the file or folder.
        original: its path in the workspace.
        root: of the repository.

    Returns:
        Whether the object is in the store now.
    """
    if not (original.is_dir() if md5.endswith(FOLDER) else original.is_file()):
        return False
    target = path_of(store, md5)
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=".", suffix=".tmp", dir=target.parent)
    fresh = Path(name)
    try:
        os.close(handle)
        if md5.endswith(FOLDER):
            fresh.write_bytes(folder_object(original, root))
        else:
            shutil.copyfile(original, fresh)
        if file_md5(fresh) != md5.removesuffix(FOLDER):
            return False
        fresh.chmod(_PROTECTED)
        fresh.replace(target)
    finally:
        fresh.unlink(missing_ok=True)
    return True


def _files(folder: Path, root: Path) -> Iterator[Path]:
    """All files of a folder and below that ``.dvcignore`` does not name."""
    ignored = _ignored(root)
    for parent, folders, names in os.walk(folder, followlinks=True):
        here = Path(parent)
        folders[:] = [n for n in folders if not ignored.match_file(f"{_relative(here / n, root)}/")]
        yield from (here / n for n in names if not ignored.match_file(_relative(here / n, root)))


def _relative(path: Path, root: Path) -> str:
    """A path below ``root`` as git writes it; a path elsewhere as it is."""
    inside = path.is_relative_to(root)
    return PurePosixPath(path.relative_to(root) if inside else path).as_posix()


def _ignored(root: Path) -> GitIgnoreSpec:
    """The patterns of ``.dvcignore``, and those that DVC always ignores."""
    file = root / ".dvcignore"
    return _patterns(file.read_text(encoding="utf-8") if file.is_file() else "")


@lru_cache(maxsize=4)
def _patterns(text: str) -> GitIgnoreSpec:
    """Compile the content of a ``.dvcignore``."""
    return GitIgnoreSpec.from_lines([".git/", ".hg/", ".dvc/", *text.splitlines()])
