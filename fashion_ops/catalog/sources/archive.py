"""Unpacks a .zip or .tar(.gz, .xz, .bz2) of images and labels, member by member.

Only regular files with the suffixes that a source reads are written, all below the target folder.
Members that would be written elsewhere (absolute, ``..``, links, devices) are refused, never followed.
"""

import shutil
import stat
import tarfile
import zipfile
from collections.abc import Iterator
from io import BufferedIOBase
from pathlib import Path
from typing import IO

from fashion_ops.catalog.quarantine import Reason, Refusal, Refused
from fashion_ops.catalog.sources.base import PHOTO_SUFFIXES, inside

ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2")
_SUFFIXES = PHOTO_SUFFIXES | {".json"}


def is_archive(path: Path) -> bool:
    """Whether ``path`` is a file that ``unpack`` reads."""
    return path.is_file() and path.name.lower().endswith(ARCHIVE_SUFFIXES)


def unpack(archive: Path, folder: Path) -> list[Refusal]:
    """Unpack ``archive`` into the empty ``folder``; returns a row for each member refused.

    Raises:
        ValueError: the archive is not readable, needs a password, or unpacks to more than the free
            disk space.
    """
    refusals = []
    budget = shutil.disk_usage(folder).free
    try:
        for name, kind, size, opened in _members(archive):
            try:
                path = folder / inside(name)
                if kind != "file":
                    raise Refused(Reason.OUTSIDE, f"{name} is a {kind}")
                if path.suffix.lower() not in _SUFFIXES:
                    continue
                if path.exists():
                    raise Refused(Reason.DUPLICATE, f"{name} is in the archive twice")
            except Refused as refused:
                refusals.append(refused.row("", archive.name))
                continue
            budget -= size
            if budget < 0:
                raise ValueError(f"{archive}: unpacked it is larger than the free disk space")
            path.parent.mkdir(parents=True, exist_ok=True)
            with opened() as source, path.open("wb") as target:
                shutil.copyfileobj(source, target)
    except (zipfile.BadZipFile, tarfile.TarError, EOFError, OSError) as error:
        raise ValueError(f"{archive}: cannot be unpacked: {error}") from error
    except RuntimeError as error:  # zipfile needs a password
        raise ValueError(f"{archive}: {error}; unpack it yourself, then ingest the folder") from error
    return refusals


class _Opener:
    """Opens one member when called."""

    def __init__(self, archive: zipfile.ZipFile | tarfile.TarFile, member: object) -> None:
        self._archive, self._member = archive, member

    def __call__(self) -> IO[bytes] | BufferedIOBase:
        if isinstance(self._archive, zipfile.ZipFile):
            assert isinstance(self._member, zipfile.ZipInfo)
            return self._archive.open(self._member)
        assert isinstance(self._member, tarfile.TarInfo)
        source = self._archive.extractfile(self._member)
        assert source is not None  # called for regular files only
        return source


def _members(archive: Path) -> Iterator[tuple[str, str, int, _Opener]]:
    """Yield (name, kind, size, opener) of each member but folders; kind is "file" if it is regular."""
    if archive.suffix.lower() == ".zip":
        with zipfile.ZipFile(archive) as zipped:
            for info in zipped.infolist():
                mode = info.external_attr >> 16
                special = stat.S_IFMT(mode) not in (0, stat.S_IFREG, stat.S_IFDIR)
                if not info.is_dir():
                    kind = "link or device" if special else "file"
                    yield info.filename, kind, info.file_size, _Opener(zipped, info)
        return
    with tarfile.open(archive) as tarred:
        for member in tarred:
            if not member.isdir():
                kind = "file" if member.isreg() else "link or device"
                yield member.name, kind, member.size, _Opener(tarred, member)


def content_root(folder: Path) -> Path:
    """``folder``, or the only folder in it: many archives wrap all their files in one."""
    content = sorted(folder.iterdir())
    only = content[0] if len(content) == 1 else folder
    return only if only.is_dir() and only.name not in ("train", "validation") else folder
