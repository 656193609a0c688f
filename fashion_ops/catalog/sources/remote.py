"""A data set behind a URI that fsspec reads, such as ``s3://BUCKET/deepfashion2.zip``.

Its objects are fetched into a folder of this machine for the time of ``ingest``. What they were is
recorded by their names, sizes and versions (ETags, or times of change where there are none).
"""

import hashlib
import itertools
import json
import shutil
from pathlib import Path
from typing import Any

from fashion_ops.catalog.quarantine import Refused
from fashion_ops.catalog.sources.archive import ARCHIVE_SUFFIXES
from fashion_ops.catalog.sources.base import inside as checked_name
from fashion_ops.catalog.sources.base import is_junk
from fashion_ops.files.uris import objects_below, open_uri

RECORD = "source.json"  # in the catalog
_TOGETHER = 256  # objects fetched at once
_VERSIONS = ("ETag", "etag", "md5", "LastModified", "mtime", "created")


def fetch(uri: str, folder: Path) -> tuple[Path, dict[str, Any]]:
    """Fetch a data set into the empty ``folder``.

    Args:
        uri: of an archive, of a folder, or of a label file, which is fetched with all that lies beside
            it.
        folder: where to.

    Returns:
        The archive, folder or label file in ``folder``, and what was fetched: ``root``, number of
        ``objects``, ``bytes``, and ``version``, one hash of all names, sizes and versions.

    Raises:
        ValueError: there is nothing at ``uri``, it does not fit on the disk, or a name leads elsewhere.
    """
    fs, path = open_uri(uri)
    base, root = path.rstrip("/"), folder
    if fs.isfile(path):
        base = path.rpartition("/")[0]
        root = folder / path.rpartition("/")[2]
    elif not fs.exists(path):
        raise ValueError(f"{uri}: no such object or folder (ingest.root)")
    alone = root != folder and path.lower().endswith(ARCHIVE_SUFFIXES)
    found = iter([fs.info(path)]) if alone else objects_below(fs, base)
    wanted = (info for info in found if not is_junk(info["name"]))
    version, objects, size = hashlib.sha256(), 0, 0
    free = shutil.disk_usage(folder).free  # before anything is fetched
    while infos := list(itertools.islice(wanted, _TOGETHER)):
        size += sum(info["size"] or 0 for info in infos)
        if size > free:
            raise ValueError(f"{uri}: is larger than the free disk space at {folder.parent}; make room")
        targets = [folder / _relative(info["name"], base, uri) for info in infos]
        for parent in {target.parent for target in targets}:
            parent.mkdir(parents=True, exist_ok=True)
        fs.get([info["name"] for info in infos], [str(target) for target in targets])
        for info in infos:
            words = (info["name"].removeprefix(base), info["size"], _version(info))
            version.update(json.dumps(words).encode())
        objects += len(infos)
    return root, {"root": uri, "objects": objects, "bytes": size, "version": version.hexdigest()}


def _relative(name: str, base: str, uri: str) -> str:
    """The path of an object below the data set.

    Raises:
        ValueError: it leads elsewhere.
    """
    try:
        return checked_name(name.removeprefix(base).lstrip("/"))
    except Refused as refused:
        raise ValueError(f"{uri}: the object {name} is no path below it; rename it") from refused


def _version(info: dict[str, Any]) -> str:
    """What tells the versions of an object apart."""
    return next((str(info[key]).strip('"') for key in _VERSIONS if info.get(key)), "")
