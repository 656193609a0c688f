"""Outputs appear whole or not at all, and a killed process loses nothing.

An output is written beside its place under ``.NAME.MACHINE-PID-START-SERIAL.partial``, a name that is
unique and says which process writes it. Then it takes the place of the old output, which has a name in
``.old`` for the moment between the two renames. ``recover`` finishes what dead processes left: an old
output whose place is empty returns to it, everything else is deleted.
"""

import errno
import hashlib
import os
import re
import secrets
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from fashion_ops.files.outputs import FolderKind, OutputRefused, check_folder, check_new, placed
from fashion_ops.files.processes import start_of

PARTIAL, OLD = "partial", "old"
_NAME = re.compile(
    r"\.(?P<name>.+)\.(?P<machine>[0-9a-f]{8})-(?P<pid>\d+)-(?P<start>\d+)-[0-9a-f]{8}"
    rf"\.(?P<kind>{PARTIAL}|{OLD})",
    re.DOTALL,
)
_LONGEST_NAME = 160  # bytes of a target's name in a temporary one; file systems allow 255 in all
_TAKEN = {errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST}  # another process was faster
_OCCUPIED = {errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR}  # something has the name of a new folder
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_ATTEMPTS = 100  # to take a place that other processes take at the same time
_swept: set[tuple[int, Path]] = set()  # folders that this process has swept


@contextmanager
def publish(target: Path, kind: FolderKind | None = None, *, new: bool = False) -> Iterator[Path]:
    """Yield an empty folder beside ``target`` that becomes ``target`` on success and else is removed.

    A reader never sees a half-written output: the old one stays until the new one is complete.

    Args:
        target: the folder to write. The output of a step is replaced, whatever is in it.
        kind: what the command writes; then ``target`` is only replaced if ``check_folder`` allows it.
        new: whether ``target`` must be absent or empty, at the start and at the end. What dead
            processes left beside it is deleted.

    Raises:
        OutputRefused: a link or a file has the name of ``target``, or ``check_folder`` refuses it, or
            it is not new.
        OSError: the disk is full; names ``target``.
    """
    target = placed(target)
    if new:
        check_new(target)
    elif kind is not None:
        check_folder(target, kind)
    elif target.is_symlink():
        raise OutputRefused(
            f"{target}: is a link, and is not replaced; delete it to make a folder here"
        )
    elif target.exists() and not target.is_dir():
        raise OutputRefused(f"{target}: is a file, and is not replaced; move it to make a folder here")
    target.parent.mkdir(parents=True, exist_ok=True)
    recover(target)
    if new:
        sweep(target.parent)
    fresh = temporary(target)
    fresh.mkdir()
    try:
        with _full_disk_of(target):
            yield fresh
        if new:
            _take_place(fresh, target)
        else:
            _replace(fresh, target)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


@contextmanager
def _full_disk_of(target: Path) -> Iterator[None]:
    """Let the error of a full disk name what was to be written; Python names nothing."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL and error.filename is None:
            error.filename = str(target)
        raise


def _take_place(fresh: Path, target: Path) -> None:
    """Give the folder ``fresh`` the name ``target``, which nothing or an empty folder has.

    Raises:
        OutputRefused: somebody has put something there meanwhile.
    """
    try:
        fresh.rename(target)
    except OSError as error:
        if error.errno not in _OCCUPIED:
            raise
        raise OutputRefused(
            f"{target}: was made by another process meanwhile; name another folder by --out"
        ) from error


def _replace(fresh: Path, target: Path) -> None:
    """Put the folder ``fresh`` in the place of ``target``; if that fails, the old one stays there."""
    for attempt in range(_ATTEMPTS):
        old = temporary(target, OLD)
        try:
            if target.exists():
                target.rename(old)
            fresh.rename(target)
        except BaseException as error:
            if old.exists():
                with suppress(OSError):
                    old.rename(target)
            if target.exists():  # another process has published meanwhile
                _delete(old, target)
            taken = isinstance(error, OSError) and error.errno in _TAKEN and fresh.exists()
            if taken and attempt + 1 < _ATTEMPTS:
                continue
            raise
        _delete(old, target)
        return


def _delete(folder: Path, target: Path) -> None:
    """Delete an old version of ``target``; half-deleted it has another name, so nobody restores it."""
    if folder.exists():
        trash = temporary(target)
        with suppress(OSError):
            folder.rename(trash)
            shutil.rmtree(trash, ignore_errors=True)


def write_whole(target: Path, data: bytes) -> None:
    """Write a file as a whole or not at all; makes its folder if it is missing.

    Who may read a file that is replaced may read the new one.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    sweep(target.parent)
    partial = temporary(target)
    try:
        is_old = target.is_file()
        partial.touch(0o600 if is_old else 0o666)
        with _full_disk_of(target):
            partial.write_bytes(data)
        if is_old:
            shutil.copymode(target, partial)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def temporary(target: Path, kind: str = PARTIAL) -> Path:
    """A new name beside ``target`` that says which process uses it."""
    me = f"{machine()}-{os.getpid()}-{start_of(os.getpid()) or 0}"
    return target.with_name(f".{_short(target.name)}.{me}-{secrets.token_hex(4)}.{kind}")


def partials(target: Path) -> list[Path]:
    """The half-written versions of ``target``, of living processes too."""
    return [
        path
        for path, match in _leftovers(target.parent)
        if match["name"] == _short(target.name) and match["kind"] == PARTIAL
    ]


def recover(*targets: Path, everyone: bool = False) -> None:
    """Finish what dead processes left of these outputs.

    An old version returns to its place if that is empty; everything else of dead processes is deleted.

    Args:
        targets: files and folders; the name ``*`` stands for all in its folder.
        everyone: no other process writes these outputs now, so the leftovers of other machines, whose
            processes cannot be looked up, are of dead processes too.
    """
    for folder in {target.parent for target in targets}:
        names = {_short(target.name): target for target in targets if target.parent == folder}
        for path, match in _leftovers(folder):
            target = names.get(match["name"])
            if target is None and "*" in names and "~" not in match["name"]:  # a name that was cut
                target = folder / match["name"]
            if target is None or not (_is_dead(match) or (everyone and not _is_here(match))):
                continue
            if match["kind"] == OLD and not target.exists() and not target.is_symlink():
                with suppress(OSError):
                    path.rename(target)
            elif match["kind"] == OLD:
                _delete(path, target)
            else:
                _remove(path)


def sweep(folder: Path) -> None:
    """Delete the half-written files that dead processes of this machine left in a folder.

    A process does so once for each folder.
    """
    key = (os.getpid(), folder.absolute())
    if key in _swept:
        return
    _swept.add(key)
    for path, match in _leftovers(folder):
        if match["kind"] == PARTIAL and _is_dead(match):
            _remove(path)


@cache
def machine() -> str:
    """8 hexadecimal digits for this host and its table of processes; a container has its own."""
    try:
        table = str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        table = ""
    return hashlib.md5(f"{socket.gethostname()} {table}".encode()).hexdigest()[:8]


def _leftovers(folder: Path) -> list[tuple[Path, re.Match[str]]]:
    """The entries of a folder that have a temporary name; the latest first."""
    try:
        names = [entry.name for entry in os.scandir(folder) if entry.name.startswith(".")]
    except OSError:
        return []
    found = [(folder / name, match) for name in names if (match := _NAME.fullmatch(name))]
    return sorted(found, key=lambda item: -_changed(item[0]))


def _changed(path: Path) -> float:
    """When an entry was last changed or renamed; 0 if it is gone."""
    try:
        return path.lstat().st_ctime
    except OSError:
        return 0.0


def _is_here(match: re.Match[str]) -> bool:
    """Whether the process of a temporary name can be looked up."""
    return match["machine"] == machine()


def _is_dead(match: re.Match[str]) -> bool:
    """Whether the process of a temporary name was one of this machine and has ended."""
    return _is_here(match) and start_of(int(match["pid"])) != match["start"]


def _remove(path: Path) -> None:
    """Delete a file, a link or a folder, if it is still there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()


def _short(name: str) -> str:
    """A target's name as part of a temporary one, which must not become too long."""
    if len(os.fsencode(name)) <= _LONGEST_NAME:
        return name
    digest = hashlib.md5(os.fsencode(name)).hexdigest()[:8]
    return f"{name[: _LONGEST_NAME // 4]}~{digest}"
