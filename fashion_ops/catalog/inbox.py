"""Files that strangers upload: names of any bytes, pipes, links, files that cannot be read.

Nothing here opens a file, follows a link or fails on a name. ``steps.batches`` decides what to take.
"""

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from stat import S_IFMT, S_ISDIR, S_ISREG, filemode

from fashion_ops.catalog.quarantine import is_utf8, readable

READY_SUFFIX = ".ready"  # of the empty file beside a batch that says: it is complete
REASON_SUFFIX = ".reason.txt"  # of the file beside a batch that was put away
_MAX_NAME = 200  # bytes; a suffix or a number must fit behind it, and file systems take 255
_HIDES_FILES = ".dvcignore"  # DVC would not version what it names
_KINDS = {"p": "a pipe", "s": "a socket", "b": "a device", "c": "a device", "l": "a link"}


def walk(folder: Path) -> Iterator[os.DirEntry[str]]:
    """Yield all files and folders below ``folder``; does not follow links.

    Without recursion: folders may be nested more deeply than Python's stack.

    Raises:
        OSError: a folder cannot be read.
    """
    left = [str(folder)]
    while left:
        with os.scandir(left.pop()) as entries:
            for entry in entries:
                yield entry
                if entry.is_dir(follow_symlinks=False):
                    left.append(entry.path)


def kind_of(path: Path) -> str:
    """What stands at ``path``: "a folder", "a file", "a link", "a pipe", "a socket" or "a device".

    Raises:
        OSError: nothing does, or it may not be looked at.
    """
    return _kind(path.lstat().st_mode)


def _kind(mode: int) -> str:
    if S_ISREG(mode):
        return "a file"
    return "a folder" if S_ISDIR(mode) else _KINDS.get(filemode(S_IFMT(mode))[0], "no file")


def problem_of(folder: Path) -> str | None:
    """Why the files of ``folder`` cannot be versioned and read; None if they can.

    Links may lead anywhere, reading a pipe would wait for a writer, and DVC versions neither a file
    that it may not read nor one whose name is not UTF-8.
    """
    for entry in walk(folder):
        name = readable(os.path.relpath(entry.path, folder))
        kind = _kind(entry.stat(follow_symlinks=False).st_mode)
        if not is_utf8(entry.name):
            return f"the name {name} is not UTF-8; rename it"
        if kind == "a link":
            return f"links may lead anywhere: {name}; put the file itself there"
        if kind not in ("a file", "a folder"):
            return f"{name} is {kind}; only files and folders are taken"
        if entry.name == _HIDES_FILES:
            return f"{name} would hide files from DVC; remove it"
        if not os.access(entry.path, os.R_OK | (os.X_OK if kind == "a folder" else 0)):
            return f"{name} cannot be read: permission denied"
    return None


def short_name(name: str) -> str:
    """``name`` as a file name that is one line of UTF-8 and leaves room for a suffix."""
    plain = name if name.isprintable() else readable(name) or "batch"
    return plain.encode()[:_MAX_NAME].decode("utf-8", "ignore")


def printable(reason: str) -> str:
    """A reason of one line or several, each valid UTF-8; the indentation stays."""
    lines = reason.splitlines() or [""]
    return "\n".join(line[: len(line) - len(line.lstrip())] + readable(line) for line in lines)


def put_away(upload: Path, folder: Path, reason: str) -> Path:
    """Move ``upload`` into ``folder`` and write the reason beside it; overwrites nothing.

    If an upload or a reason has the name already, the new one is called NAME-2, NAME-3 and so on.

    Returns:
        Its new path; the reason is in the same path with ``REASON_SUFFIX``.

    Raises:
        OSError: it cannot be moved; then it stays where it is, without a reason in ``folder``.
    """
    folder.mkdir(parents=True, exist_ok=True)
    name, number = short_name(upload.name), 1
    target = folder / name
    while os.path.lexists(target) or os.path.lexists(_reason_file(target)):
        number += 1
        target = folder / f"{name}-{number}"
    with _reason_file(target).open("x", encoding="utf-8") as file:
        file.write(f"{readable(upload.name)}: {printable(reason)}\n")
    try:
        move(upload, target)
    except OSError as error:
        _reason_file(target).unlink(missing_ok=True)
        raise OSError(f"cannot be moved to {folder}: {readable(str(error))}") from error
    return target


def _reason_file(target: Path) -> Path:
    return target.with_name(f"{target.name}{REASON_SUFFIX}")


def move(source: Path, target: Path) -> None:
    """Move a file or folder, also to another disk; ``target`` appears as a whole or not at all.

    Raises:
        OSError: it can't be moved, or is moved to another disk and can't be deleted here.
    """
    try:
        source.rename(target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        partial = target.with_name(f".{target.name}.partial")
        is_folder = kind_of(source) == "a folder"
        try:
            if is_folder:
                shutil.copytree(source, partial, symlinks=True)
            else:
                shutil.copy2(source, partial, follow_symlinks=False)
            partial.rename(target)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
            if os.path.lexists(partial):
                partial.unlink()
        if is_folder:
            shutil.rmtree(source)
        else:
            source.unlink()
