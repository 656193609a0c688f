"""Fetches the bytes of listed photos: files, objects of a bucket, rows of a table.

What is wrong with one photo becomes its ``Refused``. What is wrong with a service (it does not answer,
it knows no such credentials) is raised: it says nothing about the photo.
"""

from collections.abc import Callable, Sequence

from fashion_ops.catalog.images import MAX_BYTES, read_image
from fashion_ops.catalog.quarantine import Reason, Refused
from fashion_ops.files.uris import FileSystem, is_uri, open_uri
from fashion_ops.inference.bulk.listing import Listed
from fashion_ops.inference.bulk.tables import TableReader

Fetched = bytes | Refused
Fetch = Callable[[Sequence[Listed]], list[Fetched]]

# Errors of one photo. Others, such as ExpiredToken or NoSuchBucket, s3fs raises as the same classes.
_DENIED = {"AccessDenied", "AllAccessDisabled", "InvalidObjectState", "403"}
_HTTP = {str(status) for status in range(400, 500)} - {"401", "407", "408", "429"}
_OF_PHOTO = _DENIED | _HTTP | {"NoSuchKey", "NoSuchVersion"}
_EMPTY = {"InvalidRange", "416"}  # an empty object has no byte 0
_LOCAL = (FileNotFoundError, IsADirectoryError, PermissionError)


class PhotoReader:
    """Reads photos in this process; many objects of a bucket at once."""

    def __init__(self) -> None:
        self._tables = TableReader()

    def __call__(self, photos: Sequence[Listed]) -> list[Fetched]:
        """The bytes of each photo, or why there are none.

        Raises:
            ConnectionError, TimeoutError: a service does not answer.
            OSError: a service refuses everything, such as expired credentials.
            ValueError: a table cannot be read, or the library of a scheme is not installed.
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
    """The bytes of objects, those of one file system (a host, all buckets) at once."""
    found: dict[str, Fetched] = {}
    groups: dict[int, tuple[FileSystem, list[str], list[str]]] = {}  # file system, URIs, paths
    for uri in uris:
        try:
            fs, path = open_uri(uri)
        except ValueError as error:  # one odd URI among others
            if isinstance(error.__cause__, ImportError):  # of this installation, for all such URIs
                raise
            found[uri] = Refused(Reason.MISSING, str(error))
            continue
        _, mine, paths = groups.setdefault(id(fs), (fs, [], []))
        mine.append(uri)
        paths.append(path)
    for fs, mine, paths in groups.values():
        limit = MAX_BYTES + 1  # what is longer is not fetched whole
        results = fs.cat_ranges(paths, [0] * len(paths), [limit] * len(paths), on_error="return")
        found |= {uri: _of_object(uri, result) for uri, result in zip(mine, results, strict=True)}
    return [found[uri] for uri in uris]


def _of_object(uri: str, result: bytes | Exception) -> Fetched:
    """What was read of an object; its ``Refused``, if what was raised instead is the object's fault.

    Raises:
        ConnectionError, TimeoutError: the service does not answer.
        OSError: another fault that is not the object's, such as expired credentials; names the URI.
    """
    if isinstance(result, bytes):
        return _checked(result)
    code = _code(result)
    if code in _EMPTY:
        return b""
    if code in _OF_PHOTO or (code is None and isinstance(result, _LOCAL)):
        if isinstance(result, PermissionError) or code in _DENIED:
            return Refused(Reason.PERMISSION, "access denied")
        return Refused(Reason.MISSING, "no such object")
    if isinstance(result, ValueError) or type(result).__name__ == "ParamValidationError":
        return Refused(Reason.MISSING, f"cannot be asked for: {result}")
    if code is None or isinstance(result, ConnectionError | TimeoutError):
        raise result
    raise OSError(f"{uri}: {result}; check the service and its credentials") from result


def _code(error: Exception) -> str | None:
    """What S3 or a web server calls an error; None where neither has answered."""
    response = getattr(error.__cause__, "response", None)  # of botocore, which s3fs translates
    if response is not None:
        return str(response["Error"].get("Code", ""))
    status = getattr(error, "status", None)  # of aiohttp
    return None if status is None else str(status)


def _checked(data: bytes) -> Fetched:
    """The bytes of a photo, if they are not too many."""
    if len(data) > MAX_BYTES:
        return Refused(Reason.BYTES, f"more than {MAX_BYTES} bytes")
    return data
