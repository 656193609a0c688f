"""What a command may replace: a path that it makes new, or what it made itself.

Everything else that exists stays: a folder with other files, a file of somebody else, a link, an input
or a folder with an input in it. A ``FolderKind`` or ``FileKind`` says what a command writes and by what
marks it knows its own work. Commands check before they begin, because some work for hours.
"""

import os
import re
import struct
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from stat import S_ISDIR, S_ISLNK, S_ISREG

_LOOKED_AT = 1 << 16  # bytes at each end of a file that may hold its mark
_IGNORED = {".DS_Store"}  # the Mac's Finder leaves it in folders that somebody looks at
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:")
_END_OF_IHDR = 33  # of a PNG: 8 bytes of signature, then the first chunk


class OutputRefused(ValueError):
    """An output would replace what the command did not make; the message names path and remedy."""


@dataclass(frozen=True)
class FolderKind:
    """The folders that one command writes.

    Attributes:
        command: as typed.
        files: patterns of the names of all files in such a folder; it has no sub-folders.
        is_own: whether a folder with no other files has the marks of this command. If it raises
            OSError or ValueError, it has not.
    """

    command: str
    files: tuple[str, ...]
    is_own: Callable[[Path], bool]


@dataclass(frozen=True)
class FileKind:
    """The files that one command writes.

    Attributes:
        command: as typed.
        mark: text within the first or last 64 KiB of every file that it writes.
    """

    command: str
    mark: str


def check_folder(target: Path, kind: FolderKind, inputs: Iterable[Path] = ()) -> None:
    """Check that a command may write or replace the folder ``target``.

    Args:
        target: absent, empty, or a folder of this kind.
        kind: what the command writes.
        inputs: files and folders that it reads.

    Raises:
        OutputRefused: it may not; or the folder above cannot be written to.
    """
    target, mode = _reached(target, inputs)
    if mode is None:
        return
    if not S_ISDIR(mode):
        raise _refused(target, "is a link" if S_ISLNK(mode) else "is a file", kind.command)
    if _is_current(target):
        raise _refused(target, "is the current folder or one above it", kind.command)
    entries = [entry for entry in os.scandir(target) if entry.name not in _IGNORED]
    for entry in sorted(entries, key=lambda entry: entry.name):
        known = any(fnmatchcase(entry.name, pattern) for pattern in kind.files)
        if not known or not entry.is_file(follow_symlinks=False):
            raise _refused(target, f"holds {entry.name}", kind.command)
    try:
        own = not entries or kind.is_own(target)
    except (OSError, ValueError):
        own = False
    if not own:
        raise _refused(target, "exists", kind.command)


def check_file(target: Path, kind: FileKind, inputs: Iterable[Path] = ()) -> None:
    """Check that a command may write or replace the file ``target``.

    Args:
        target: absent, or a file of this kind.
        kind: what the command writes.
        inputs: files and folders that it reads.

    Raises:
        OutputRefused: it may not; or the folder cannot be written to.
    """
    target, mode = _reached(target, inputs)
    if mode is None:
        return
    if not S_ISREG(mode):
        what = "a folder" if S_ISDIR(mode) else "a link" if S_ISLNK(mode) else "not a plain file"
        raise _refused(target, f"is {what}", kind.command)
    if not carries(target, kind.mark):
        raise _refused(target, "exists", kind.command)


def check_new(target: Path, inputs: Iterable[Path] = ()) -> None:
    """Check that a command may make the folder ``target``: it is absent or an empty folder.

    Args:
        target: neither a link nor the current folder, whose place another folder would take.
        inputs: files and folders that the command reads.

    Raises:
        OutputRefused: it may not; or the folder above cannot be written to.
    """
    target, mode = _reached(target, inputs)
    if mode is None:
        return
    why = "is a link" if S_ISLNK(mode) else "exists"
    if S_ISDIR(mode) and not any(target.iterdir()):
        if not _is_current(target):
            return
        why = "is the current folder"
    raise OutputRefused(f"{target}: {why}; name a new folder by --out, or move this away")


def _reached(target: Path, inputs: Iterable[Path]) -> tuple[Path, int | None]:
    """The path with a name of its own, and its mode; None if it is absent.

    Raises:
        OutputRefused: it is an input or contains one; or the folder above cannot be written to.
    """
    target = placed(target)
    check_inputs(target, inputs)
    check_above(target)
    return target, _mode(target)


def check_inputs(target: Path, inputs: Iterable[Path]) -> None:
    """Check that an output is no input and contains none.

    Raises:
        OutputRefused: otherwise.
    """
    place = target.parent.resolve() / target.name
    for given in inputs:
        for depth, path in enumerate((given.resolve(), *given.resolve().parents)):
            if path == place or _is_same(path, target):
                what = "is" if depth == 0 else "contains"
                raise OutputRefused(f"{target}: {what} the input {given}; write to another path")


def check_above(target: Path) -> None:
    """Check that the folder of ``target``, or the first folder above it that exists, can be written to.

    Raises:
        OutputRefused: it can't, or it is a file; ``target`` looks like a URI, such as ``s3://b/out``,
            of which a path keeps one slash.
    """
    scheme = target.parts[0] if target.parts else ""
    if _SCHEME.fullmatch(scheme) and not Path(scheme).exists():
        raise OutputRefused(
            f"{target}: looks like a URI, and results are written to a disk of this machine; name a "
            "folder, and copy it afterwards"
        )
    place = target.parent.resolve() / target.name
    try:
        above = next(path for path in place.parents if path.exists())
    except OSError as error:
        raise OutputRefused(f"{target}: cannot be written: {error.strerror}") from error
    if not above.is_dir():
        raise OutputRefused(
            f"{target}: {above} is a file, not a folder; move it away, or write to another path"
        )
    if not os.access(above, os.W_OK | os.X_OK):
        raise OutputRefused(f"{target}: {above} cannot be written to; write to another path")


def carries(path: Path, mark: str) -> bool:
    """Whether a file has ``mark`` within its first or last 64 KiB; False if it cannot be read."""
    try:
        with path.open("rb") as file:
            data = file.read(_LOOKED_AT)
            file.seek(max(len(data), file.seek(0, os.SEEK_END) - _LOOKED_AT))
            return mark.encode() in data + file.read()
    except OSError:
        return False


def marked_png(png: bytes, mark: str) -> bytes:
    """The PNG with ``mark`` as its text "Software"; the same image."""
    text = b"tEXtSoftware\0" + mark.encode("latin-1")
    chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
    return png[:_END_OF_IHDR] + chunk + png[_END_OF_IHDR:]


def placed(target: Path) -> Path:
    """The path with a name of its own: ``.`` and ``..`` become the folders that they mean."""
    return target if target.name not in ("", "..") else target.resolve()


def _is_same(one: Path, other: Path) -> bool:
    """Whether both exist and are one file, such as by names that differ in case or by a hard link."""
    try:
        return one.samefile(other)
    except OSError:
        return False


def _is_current(folder: Path) -> bool:
    """Whether it is the current folder or one above it."""
    here, place = Path.cwd(), folder.resolve()
    return place == here or place in here.parents


def _mode(target: Path) -> int | None:
    """Mode bits of what has this name, a link not followed; None if nothing has.

    Raises:
        OutputRefused: nothing can have it, such as one that is too long.
    """
    try:
        return target.lstat().st_mode
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or error
        raise OutputRefused(f"{target}: cannot be written: {why}; write to another path") from error


def _refused(target: Path, why: str, command: str) -> OutputRefused:
    """The error for a target that is not the command's own."""
    return OutputRefused(
        f"{target}: {why}; `{command}` replaces only what it made itself: write to another path, or "
        "move this away"
    )
