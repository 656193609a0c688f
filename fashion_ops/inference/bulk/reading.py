"""Fetches the bytes of listed photos: files, objects of a bucket, rows of a table.

What is wrong with one photo becomes its ``Refused``. What is wrong with a service (it does not answer,
it knows no such credentials) is raised: it says nothing about the photo.
"""

from collections.abc import Callable, Sequence

from fashion_ops.catalog.images import MAX_BYTES, read_image
from fashion_ops.catalog.quarantine import Reason, Refused
from fashion_ops.files.uris import is_uri, open_uri, scheme_of
from fashion_ops.inference.bulk.listing import Listed
from fashion_ops.inference.bulk.tables import TableReader

Fetched = bytes | Refused
Fetch = Callable[[Sequence[Listed]], list[Fetched]]


class PhotoReader:
    """Reads photos in this process; many objects of a bucket at once."""

    def __init__(self) -> None:
        self._tables = TableReader()

    def __call__(self, photos: Sequence[Listed]) -> list[Fetched]:
        """The bytes of each photo, or why there are none.

        Raises:
            ConnectionError, TimeoutError: a service does not answer.
            ValueError: a table cannot be read.
        """
        objects = [photo.uri for photo in photos if _is_object(photo)]
        fetched = dict(zip(objects, _fetch_objects(objects), strict=True))
        return [fetched[p.uri] if _is_object(p) else self._read(p) for p in photos]

    def _read(self, photo: Listed) -> Fetched:
        """The bytes of a file or of a row of a table."""
        if photo.refused:
            return Refused(Reason.MISSING, photo.refused)
        if not photo.table:
            try:
                return read_image(photo.uri)
            except Refused as refused:
                return refused
        data = self._tables.read(photo.table, photo.row)
        return _checked(data) if data else Refused(Reason.MISSING, "the table has no bytes for it")


def _is_object(photo: Listed) -> bool:
    """Whether a photo is read through fsspec."""
    return not photo.table and not photo.refused and is_uri(photo.uri)


def _fetch_objects(uris: Sequence[str]) -> list[Fetched]:
    """The bytes of objects, those of one scheme at once."""
    found: dict[str, Fetched] = {}
    for scheme in {scheme_of(uri) for uri in uris}:
        mine = [uri for uri in uris if scheme_of(uri) == scheme]
        fs, paths = open_uri(mine[0])[0], [open_uri(uri)[1] for uri in mine]
        limit = MAX_BYTES + 1  # what is longer is not fetched whole
        results = fs.cat_ranges(paths, [0] * len(paths), [limit] * len(paths), on_error="return")
        found |= {uri: _checked(result) for uri, result in zip(mine, results, strict=True)}
    return [found[uri] for uri in uris]


def _checked(result: bytes | Exception) -> Fetched:
    """Bytes, if they are not too many; what was raised instead, if it is the photo's fault.

    Raises:
        Exception: what was raised, if it is not.
    """
    if isinstance(result, bytes):
        if len(result) > MAX_BYTES:
            return Refused(Reason.BYTES, f"more than {MAX_BYTES} bytes")
        return result
    if isinstance(result, FileNotFoundError | IsADirectoryError):
        return Refused(Reason.MISSING, "no such object")
    if isinstance(result, PermissionError):
        return Refused(Reason.PERMISSION, "access denied")
    raise result
