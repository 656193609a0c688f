"""DVC's cache as files: whether each object's content is what its name says.

An object is named by the md5 of its content; that of a folder is a JSON list of the files in it. DVC
itself trusts what lies in its cache. Nothing here imports DVC; ``repository`` knows where the cache is.
"""

import hashlib
import json
from collections.abc import Callable, Iterable
from pathlib import Path

from fashion_ops.ledger.lockfile import LockEntry

Cached = Callable[[str], Path]  # md5, for a folder with ".dir" -> where the cache keeps the object


def damaged_objects(
    entries: Iterable[LockEntry], cached: Cached, remove: bool = False
) -> dict[str, list[str]]:
    """Files of recorded outputs whose object has another content than its name says, by stage.

    Args:
        entries: of ``dvc.lock``; objects that are not in the cache are no damage.
        cached: where an object is.
        remove: take the damaged objects out of the cache.
    """
    found: dict[str, list[str]] = {}
    for entry in entries:
        bad = [path for out, md5 in entry.outs.items() for path in _below(cached, out, md5, remove)]
        if bad:
            found[entry.stage] = bad
    return found


def remove_leftovers(cache: Path, begun: float) -> None:
    """Remove half copies that DVC left here since a moment: on a full disk they keep it full."""
    for copy in cache.rglob(".*.tmp"):
        if copy.stat().st_mtime >= begun - 1:  # file systems round
            copy.unlink()


def _below(cached: Cached, out: str, md5: str, remove: bool) -> list[str]:
    path = cached(md5)
    if not path.is_file():
        return []
    with path.open("rb") as file:
        whole = hashlib.file_digest(file, "md5").hexdigest() == md5.removesuffix(".dir")
    if not whole:
        if remove:
            path.unlink()
        return [out]
    if not md5.endswith(".dir"):
        return []
    listed = json.loads(path.read_text(encoding="utf-8"))
    files = ((f"{out}/{item['relpath']}", item["md5"]) for item in listed)
    return [bad for name, own in files for bad in _below(cached, name, own, remove)]
