"""Unpacks a .zip or .tar(.gz, .bz2, .xz) of images and labels, member by member, to its end.

Only regular files with the suffixes of images and labels are written, all below the target folder.
Members that would be written elsewhere (absolute, ``..``, links, devices) are refused, never followed.
An archive that is damaged anywhere is refused whole, see ``archive_members``.
"""

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedWriter
from pathlib import Path

from fashion_ops.catalog.quarantine import Reason, Refusal, Refused, readable, short
from fashion_ops.catalog.sources.archive_members import CHUNK, ERRORS, ArchiveError, Member, members
from fashion_ops.catalog.sources.base import PHOTO_SUFFIXES, inside, is_junk, split_of

ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz")
_SUFFIXES = PHOTO_SUFFIXES | {".json"}  # images that are not read too: the source says so
_BAD_NAME = (errno.ENAMETOOLONG, errno.EINVAL, errno.EILSEQ)


def is_archive(path: Path) -> bool:
    """Whether ``path`` is a file that ``unpack`` reads."""
    return path.is_file() and path.name.lower().endswith(ARCHIVE_SUFFIXES)


def unpack(archive: Path, folder: Path, suffixes: frozenset[str] = _SUFFIXES) -> list[Refusal]:
    """Unpack ``archive`` into the empty ``folder``; returns a row for each member refused.

    What macOS and Windows add of their own (``is_junk``) is left out.

    Args:
        archive: a file of one of ``ARCHIVE_SUFFIXES``.
        folder: exists and is empty.
        suffixes: of the members to unpack, lower case.

    Raises:
        ValueError: the archive is damaged, incomplete, needs a password, or unpacks to more than the
            free disk space; names the archive and where in it.
        OSError: a file cannot be written; names the archive and the member.
    """
    refusals: list[Refusal] = []
    budget = shutil.disk_usage(folder).free
    with _named_errors(archive) as place:
        for member in members(archive):
            place[:] = ["in", member.name]
            budget -= member.size
            if budget < 0:
                raise ArchiveError(
                    "unpacked it is larger than the free disk space; make room, or check what it is"
                )
            target = None
            try:
                target = _create(folder, member, suffixes)
            except Refused as refused:
                refusals.append(refused.row("", archive.name))
            _copy(member, target)
            place[:] = ["after", member.name]
    return refusals


@contextmanager
def _named_errors(archive: Path) -> Iterator[list[str]]:
    """Turn errors of the libraries into one line; yields a list to keep the place in the archive in."""
    place: list[str] = []
    try:
        yield place
    except _WriteError as error:
        full = OSError(f"{archive}: {short(place[-1])} cannot be written: {error.strerror}")
        full.errno = error.errno
        raise full from error
    except ERRORS as error:
        where = f", {place[0]} its member {short(place[1])}" if place else ""
        why = readable(str(error)).rstrip(".") or type(error).__name__
        mend = "" if isinstance(error, ArchiveError) else ". Copy it again, or pack it anew"
        raise ValueError(f"{archive}: cannot be unpacked{where}: {why}{mend}") from error


class _WriteError(OSError):
    """A file could not be written: no fault of the archive."""


def _create(folder: Path, member: Member, suffixes: frozenset[str]) -> BufferedWriter | None:
    """Create the file of a member; None if it is left out.

    Raises:
        Refused: it would lie elsewhere, is no regular file, or a file has its name already.
        _WriteError: it can't be created.
    """
    if member.kind == "folder" or is_junk(member.name):
        return None
    path = folder / inside(member.name)
    if member.kind != "file":
        raise Refused(Reason.OUTSIDE, f"{member.name} is a {member.kind}")
    if path.suffix.lower() not in suffixes:
        return None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("xb")  # exclusively: where the disk ignores case, two names may be one
    except (FileExistsError, NotADirectoryError) as error:
        raise Refused(Reason.DUPLICATE, f"{member.name} is in the archive twice") from error
    except OSError as error:
        if error.errno in _BAD_NAME:
            raise Refused(Reason.NAME, f"{member.name}: {error.strerror}") from error
        raise _WriteError(error.errno, error.strerror) from error


def _copy(member: Member, target: BufferedWriter | None) -> None:
    """Read a member to its end, where its checksum is compared, and write it to ``target``."""
    size = 0
    try:
        with member.open() as source:
            while chunk := source.read(CHUNK):
                size += len(chunk)
                if target is not None:
                    _write(target, chunk)
    finally:
        if target is not None:
            target.close()
    if size != member.size and member.kind == "file":
        raise ValueError(f"{size} bytes, the archive promises {member.size}")


def _write(target: BufferedWriter, chunk: bytes) -> None:
    try:
        target.write(chunk)
        target.flush()
    except OSError as error:
        raise _WriteError(error.errno, error.strerror) from error


@contextmanager
def named_after(archive: Path | str, folder: Path) -> Iterator[None]:
    """Let errors name ``archive`` where they name ``folder``, into which it was unpacked."""
    try:
        yield
    except (ValueError, OSError) as error:
        if str(folder) not in str(error):
            raise
        text = str(error).replace(str(folder), str(archive))
        raise (OSError(text) if isinstance(error, OSError) else ValueError(text)) from error


def content_root(folder: Path) -> Path:
    """The folder that holds the data set: many archives wrap all their files in one folder or more.

    A folder that is itself a split, by its name and its label files, is no wrapper.
    """
    while len(content := list(folder.iterdir())) == 1 and content[0].is_dir():
        only = content[0]
        is_split = split_of(only.name) is not None and any(only.glob("*.json"))
        if only.name in ("train", "validation") or (only / "annos").is_dir() or is_split:
            break
        folder = only
    return folder
