"""The files of an export: which photo a name in it means, and under which names photos are written.

Names come from strangers: paths of other machines, URLs, paths with ``..``. A photo is only read below
the export's folder or the folder that the user names.
"""

import os
import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qs, unquote, urlsplit

from fashion_ops.catalog.quarantine import Reason, Refused
from fashion_ops.catalog.sources.base import PHOTO_SUFFIXES, inside, is_file, is_junk

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_ANCHOR = re.compile(r"/+|[A-Za-z]:[\\/]+")  # the begin of an absolute path
_UPLOAD = re.compile(r"[0-9a-f]{8}-(?=.)")  # Label Studio puts it before the name of an upload
_SERVED = ("/data/upload/", "/data/local-files/")  # addresses of Label Studio, which look absolute
_LONGEST = 180  # bytes of a name that is written


@dataclass(frozen=True)
class Export:
    """What a labelling tool wrote.

    Attributes:
        root: its folder, or its one file.
        images: folder of the photos, if they are elsewhere.
    """

    root: Path
    images: Path | None = None
    _labelled: dict[Path, str] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def folder(self) -> Path:
        return self.root if self.root.is_dir() else self.root.parent

    def label_file(self, *names: str, suffix: str = "") -> Path:
        """The label file: ``root`` itself, the first of ``names`` in it, or its only one of a suffix.

        Raises:
            Refused: there is none, or several.
        """
        if self.root.is_file():
            return self.root
        for name in names:
            if (self.root / name).is_file():
                return self.root / name
        found = sorted(p for p in self.root.iterdir() if suffix and p.suffix.lower() == suffix)
        if len(found) == 1:
            return found[0]
        what = f"{len(found)} files {suffix}" if found else f"no {' or '.join(names)}"
        raise Refused(Reason.FORMAT, f"{what} in {self.root}; name the file itself")

    def relative(self, path: Path) -> str:
        """A path below the export's folder, for messages."""
        return path.relative_to(self.folder).as_posix()

    def photo(self, name: str, *folders: str) -> Path:
        """The photo that ``name`` means: a path below one of ``folders``, or of the user's folder.

        A record asks once for its photo: a photo that two records mean has the labels of neither.

        Args:
            name: path, perhaps of another machine, or URL.
            folders: below the export's folder, "" for itself.

        Raises:
            Refused: there is no such photo, several could be meant, the name leads elsewhere, or the
                photo has been asked for before.
        """
        path = self._find(name, folders)
        if (first := self._labelled.get(path.resolve())) is not None:
            also = f", as {first}" if first != name else ""
            said = f"{name}: its photo {path.name} has labels already{also}; leave one of the two"
            raise Refused(Reason.DUPLICATE, said)
        self._labelled[path.resolve()] = name
        return path

    def _find(self, name: str, folders: Iterable[str]) -> Path:
        tails = list(_tails(name, self.images is not None))
        places = [self.images] if self.images else [self.folder / f for f in dict.fromkeys(folders)]
        for tail in tails:
            for place in places:
                if is_file(place / tail):
                    return place / tail
        below = self._by_name.get(PurePosixPath(tails[-1]).name, [])
        if len(below) == 1:
            return below[0]
        where = " or ".join(str(place) for place in places)
        if below:
            raise Refused(Reason.UNCLEAR, f"{name}: {len(below)} photos of this name in {where}")
        mend = "copy it there" if self.images else "copy it there, or name its folder by --images"
        raise Refused(Reason.MISSING, f"{name}: not in {where}; {mend}")

    @cached_property
    def _by_name(self) -> dict[str, list[Path]]:
        """The photos below the user's folder by their names; none without such a folder."""
        found: dict[str, list[Path]] = {}
        for path in photos_below(self.images) if self.images else ():
            found.setdefault(path.name, []).append(path)
        return found


def photos_below(folder: Path) -> Iterator[Path]:
    """The photos in a folder and below, in the order of their paths; links are not followed."""
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(place, name)
            known = path.suffix.lower() in PHOTO_SUFFIXES and not is_junk(name)
            if known and not name.startswith(".") and not path.is_symlink():
                yield path


def _tails(name: str, elsewhere: bool) -> Iterator[str]:
    """Paths that a name may mean, the longest first: all of it, then without its first folders.

    Args:
        name: path or URL.
        elsewhere: the user named a folder, so that absolute paths may be of another machine.

    Raises:
        Refused: it has ``..``, is an absolute path, or is no name.
    """
    try:
        path = _path_of(name)
    except ValueError as error:
        raise Refused(Reason.SHAPE, f"{name}: no URL: {error}") from None
    served = path != name
    if elsewhere and (anchor := _ANCHOR.match(path)):
        path = path[anchor.end() :]
    foreign = served or elsewhere  # its first folders may mean nothing here
    parts = PurePosixPath(inside(path)).parts
    if not parts:
        raise Refused(Reason.SHAPE, f"file name {name!r}")
    for first in range(len(parts)) if foreign else (0,):
        *folders, last = parts[first:]
        yield "/".join((*folders, last))
        if served and (uploaded := _UPLOAD.sub("", last, count=1)) != last:
            yield "/".join((*folders, uploaded))


def _path_of(name: str) -> str:
    """The path in a URL or in an address of Label Studio; other names as they are."""
    if not _URL.match(name) and not name.startswith(_SERVED):
        return name
    parts = urlsplit(name)
    query = parse_qs(parts.query).get("d")
    return query[0] if query else unquote(parts.path).lstrip("/")


def file_names(names: Iterable[str], *, flat: bool) -> list[str]:
    """Names of files for photos: all stems different, in any case; without folders if ``flat``.

    The second of two equal stems gets ``-2``, as some formats name labels by the photo's stem.
    Characters that XML, JSON or a terminal cannot hold become ``_``.
    """
    taken: set[str] = set()
    chosen = []
    for name in names:
        path = PurePosixPath("".join("_" if _is_odd(c) else c for c in name))
        folder = "" if flat or len(path.parts) == 1 else f"{path.parent}/"
        stem = "__".join((*path.parts[:-1], path.stem)) if flat else path.stem
        stem = _cut(stem, _LONGEST)
        number, unique = 1, stem
        while f"{folder}{unique}".casefold() in taken:
            number += 1
            unique = f"{stem}-{number}"
        taken.add(f"{folder}{unique}".casefold())
        chosen.append(f"{folder}{unique}{path.suffix}")
    return chosen


def _is_odd(character: str) -> bool:
    """Whether it is a control character, a byte that is no UTF-8, or a noncharacter."""
    return unicodedata.category(character) in ("Cc", "Cs") or character in "\ufffe\uffff"


def _cut(text: str, limit: int) -> str:
    return text.encode()[:limit].decode("utf-8", "ignore")
