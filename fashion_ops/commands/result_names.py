"""The names of the results of ``predict`` and ``measure``: ``NAME.json``, ``NAME.png`` of each photo.

NAME is the photo's name without its suffix. Where that is another photo's too, it is the whole name
(``dress.jpg.json``), then the name with as many folders before it as tell the photos apart. Names that
differ only in case count as one, as they are on many disks.
"""

import hashlib
import json
import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from stat import S_ISREG

from fashion_ops.files.outputs import OutputRefused, carries, check_above

MARK = "fashion-ops predict"  # in every drawing
KEYS = frozenset(("photo", "garments"))  # of the JSON of a photo
KINDS = ("json", "png")
_LONGEST = 250  # bytes of a name, so that a suffix fits into the 255 that file systems allow


def result_names(
    photos: Sequence[Path], out: Path, mark: str = MARK, keys: frozenset[str] = KEYS
) -> list[str]:
    """Choose NAME for each photo, all different unless a photo is given twice.

    No result takes the place of a photo or of an earlier result of another photo. One of the same photo
    is replaced.

    Args:
        photos: the photos of one call.
        out: the folder of the results, which may not exist yet.
        mark: the command, which its drawings carry.
        keys: those by which its JSON is known.

    Raises:
        OutputRefused: ``out`` cannot be written to, or a result would have the name of a file that
            the command did not make.
    """
    check_above(out / "NAME.json")
    places = [photo.absolute() for photo in photos]
    inputs = {key for photo in photos if (key := _identity(photo))}
    levels = dict.fromkeys(places, 0)
    alike = Counter[str]()  # photos so far by path, in one case
    twin = {}
    for place in levels:
        alike[_folded(str(place))] += 1
        twin[place] = alike[_folded(str(place))]
    names = {place: _name(place, 0, twin[place]) for place in levels}

    def is_taken(name: str, place: Path) -> bool:
        return _is_taken(out, name, place, inputs, mark, keys)

    while crowded := _crowded(names, levels, is_taken):
        for place in crowded:
            levels[place] += 1
            names[place] = _name(place, levels[place], twin[place])
    return [names[place] for place in places]


def _crowded(
    names: dict[Path, str], levels: dict[Path, int], is_taken: Callable[[str, Path], bool]
) -> list[Path]:
    """The photos that need a longer name: of those that share one, the ones with the shortest."""
    sharing: dict[str, list[Path]] = {}
    for place, name in names.items():
        sharing.setdefault(_folded(name), []).append(place)
    crowded = []
    for group in sharing.values():
        least = min(levels[place] for place in group)
        if len(group) > 1:
            shortest = [place for place in group if levels[place] == least]
            crowded += shortest[1:] if least >= len(shortest[0].parts) else shortest
        elif is_taken(names[group[0]], group[0]):
            crowded += group
    return crowded


def _name(photo: Path, level: int, twin: int) -> str:
    """NAME of a photo.

    Args:
        photo: its absolute path.
        level: 0 for the name without suffix, 1 for the whole name, then a folder more at each level.
        twin: which one it is of the photos whose paths differ only in case, from 1.
    """
    parts = photo.parts[1:]
    name = photo.stem if level == 0 else "-".join(parts[-level:])
    number = max(twin, 1) + max(level - len(parts), 0)  # all folders may be too few
    if number > 1:
        name += f"-{number}"
    if len(os.fsencode(name)) <= _LONGEST:
        return name
    digest = hashlib.md5(os.fsencode(name)).hexdigest()[:8]
    return f"{os.fsencode(name)[: _LONGEST - 9].decode(errors='ignore')}-{digest}"


def _is_taken(
    out: Path,
    name: str,
    photo: Path,
    inputs: set[tuple[int, int]],
    mark: str,
    keys: frozenset[str],
) -> bool:
    """Whether a photo, or an earlier result of another photo, has the name of one of these results.

    Raises:
        OutputRefused: a file that the command did not make has it.
    """
    for kind in KINDS:
        path = out / f"{name}.{kind}"
        if _identity(path) in inputs:
            return True
        if not path.exists() and not path.is_symlink():
            continue
        plain = not path.is_symlink() and S_ISREG(path.lstat().st_mode)
        owner = _photo_of(path, keys) if plain and kind == "json" else None
        if owner is None and not (plain and kind == "png" and carries(path, mark)):
            raise OutputRefused(
                f"{path}: exists, and `{mark}` did not make it; name another folder by --out, or move "
                "this away"
            )
        if owner not in (None, photo.name):
            return True
    return False


def _folded(text: str) -> str:
    """The text as disks compare names that take no notice of case."""
    return unicodedata.normalize("NFC", text).casefold()


def _identity(path: Path) -> tuple[int, int] | None:
    """Device and number of a file; None if there is none."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino


def _photo_of(path: Path, keys: frozenset[str]) -> str | None:
    """Name of the photo whose result a JSON file with these keys is; None if it is none."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    if not isinstance(content, dict) or not keys <= content.keys():
        return None
    return content["photo"] if isinstance(content["photo"], str) else None
