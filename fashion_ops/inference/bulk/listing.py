"""Finds the photos of a folder, a glob, a Parquet table or an fsspec URI, one after the other.

Ten million names fit in no list: a folder is read entry by entry and sorted in runs on disk, a bucket
page by page, a table batch by batch. The order is always the same: that of the sources, in a folder or
bucket that of the names' bytes, in a table that of its rows.
"""

import glob
import heapq
import itertools
import os
import re
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO, NamedTuple

from fashion_ops.catalog.quarantine import is_utf8, readable
from fashion_ops.catalog.sources.base import PHOTO_SUFFIXES, is_junk
from fashion_ops.files.uris import absolute, is_uri, objects_below, open_uri, spell
from fashion_ops.inference.bulk.tables import is_table, table_photos

RUN = 200_000  # names that are sorted in memory
_MAGIC = re.compile(r"[*?\[]")
_SUFFIXES = tuple(sorted(PHOTO_SUFFIXES))  # photos that are not read too: each gets a row that says so


class Listed(NamedTuple):
    """One photo of a listing.

    Attributes:
        uri: its absolute path or URI in full. A name that is no UTF-8 is escaped.
        table: path or URI of the Parquet table that holds its bytes; "" for a file.
        row: its row there, from 0; -1 for a file.
        refused: why it cannot be read, whatever it holds; else "".
    """

    uri: str
    table: str = ""
    row: int = -1
    refused: str = ""


def list_photos(sources: Iterable[str]) -> Iterator[Listed]:
    """Yield the photos of all sources.

    Args:
        sources: paths, globs or URIs of folders, photos and Parquet tables.

    Raises:
        ValueError: a source does not exist, or is none of these; names it.
        OSError: a folder cannot be read.
    """
    for source in sources:
        count = 0
        for count, photo in enumerate(_photos_of(source), 1):  # noqa: B007
            yield photo
        if not count:
            raise ValueError(f"{source}: holds no photos (files in .jpg, .png, .webp and others)")


def kind_of(source: str) -> str:
    """What a source is that is more than one photo of this machine, such as ``a folder``; else ""."""
    if is_uri(source):
        return "a URI"
    path = absolute(source)
    if is_table(path) and os.path.exists(path):  # noqa: PTH110
        return "a Parquet table"
    if os.path.isdir(path):  # noqa: PTH112
        return "a folder"
    return "a glob" if _is_glob(path) else ""


def _photos_of(source: str) -> Iterator[Listed]:
    """Yield the photos of one source."""
    if is_uri(source):
        yield from _photos_of_uri(source)
        return
    path = absolute(source)
    if _is_glob(path):
        yield from _matches(path)
    elif is_table(path):
        yield from itertools.starmap(Listed, table_photos(path))
    elif os.path.isdir(path):  # noqa: PTH112
        yield from map(_file, _walk(os.fsencode(path), _SUFFIXES))
    elif os.path.lexists(path):
        yield _file(os.fsencode(path))
    else:
        raise ValueError(f"{path}: no such file or folder; name photos, a folder, a glob or a table")


def _matches(pattern: str) -> Iterator[Listed]:
    """Yield the photos that match a glob, and those of the tables that do."""
    fits = _fits(pattern)
    base = os.fsencode(_before_magic(pattern))
    deepest = None if "**" in pattern else pattern.count("/") - base.rstrip(b"/").count(b"/")
    for path in _walk(base, (*_SUFFIXES, ".parquet"), deepest):
        name = os.fsdecode(path)
        if fits(name) and is_table(name):
            yield from itertools.starmap(Listed, table_photos(name))
        elif fits(name):
            yield _file(path)


def _fits(pattern: str) -> Callable[[str], object]:
    """Whether a path matches a glob; ``**`` stands for any number of folders."""
    from fsspec.utils import glob_translate

    return re.compile(glob_translate(pattern)).match


def _before_magic(pattern: str) -> str:
    """The folder that holds all matches of a glob."""
    magic = _MAGIC.search(pattern)
    assert magic is not None
    return pattern[: magic.start()].rpartition("/")[0] or "/"


def _file(path: bytes) -> Listed:
    """A photo that is a file of this machine."""
    name = os.fsdecode(path)
    if is_utf8(name):
        return Listed(name)
    return Listed(readable(name), refused="its name is no UTF-8; rename it")


def _photos_of_uri(source: str) -> Iterator[Listed]:
    """Yield the photos of a URI."""
    fs, path = open_uri(source)
    magic = _MAGIC.search(path)
    if is_table(path) and not magic:
        yield from itertools.starmap(Listed, table_photos(source))
        return
    if magic:
        fits = _fits(path)
        found = objects_below(fs, _before_magic(path))
        names = (info["name"] for info in found if fits(info["name"]))
    elif fs.isfile(path):
        names = iter([path])
    elif fs.exists(path):
        names = (info["name"] for info in objects_below(fs, path))
    else:
        raise ValueError(f"{source}: no such file or folder")
    for name in names:
        if is_table(name) and magic:
            yield from itertools.starmap(Listed, table_photos(spell(fs, name)))
        elif _is_photo(name) or name == path:
            yield Listed(spell(fs, name))


def _walk(folder: bytes, suffixes: tuple[str, ...], deepest: int | None = None) -> Iterator[bytes]:
    """Yield the files below a folder in the order of their paths; links to folders are not followed.

    Args:
        folder: the folder.
        suffixes: of the files, in lower case.
        deepest: levels to go down, 1 for the folder only; None for all.
    """
    for name in _sorted(_entries(folder, suffixes)):
        path = os.path.join(folder, name)  # noqa: PTH118
        if not name.endswith(b"/"):
            yield path
        elif deepest is None or deepest > 1:
            yield from _walk(path[:-1], suffixes, deepest and deepest - 1)


def _entries(folder: bytes, suffixes: tuple[str, ...]) -> Iterator[bytes]:
    """Yield the names of the files in a folder, and those of its sub-folders with a slash behind."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                yield entry.name + b"/"
            elif _is_photo(os.fsdecode(entry.name), suffixes):
                yield entry.name


def _sorted(names: Iterable[bytes]) -> Iterator[bytes]:
    """Yield names in order; more than ``RUN`` of them are sorted in runs on disk."""
    names = iter(names)
    run = sorted(itertools.islice(names, RUN))
    if len(run) < RUN:
        yield from run
        return
    with tempfile.TemporaryDirectory() as folder:
        runs: list[IO[bytes]] = []
        try:
            while run:
                file = Path(folder, str(len(runs))).open("w+b")  # noqa: SIM115 (closed below)
                runs.append(file)
                file.writelines(b"%d:%b" % (len(name), name) for name in run)
                file.seek(0)
                run = sorted(itertools.islice(names, RUN))
            yield from heapq.merge(*map(_read_run, runs))
        finally:
            for file in runs:
                file.close()


def _read_run(file: IO[bytes]) -> Iterator[bytes]:
    """Yield the names of a run; each has its length before it, because a name may hold any byte."""
    length = b""
    while byte := file.read(1):
        if byte == b":":
            yield file.read(int(length))
            length = b""
        else:
            length += byte


def _is_photo(name: str, suffixes: tuple[str, ...] = _SUFFIXES) -> bool:
    """Whether a file is a photo by its name."""
    return name.lower().endswith(suffixes) and not is_junk(name)


def _is_glob(source: str) -> bool:
    """Whether a path is a pattern, and no file or folder has it as its name."""
    return glob.has_magic(source) and not os.path.lexists(source)
