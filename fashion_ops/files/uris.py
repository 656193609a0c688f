"""Addresses that fsspec reads: ``s3://BUCKET/KEY``, ``file:///PATH``, ``memory://PATH`` and others."""

import os
import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

FileSystem = Any  # an fsspec file system; its methods have no annotations
PAGE = 10_000  # keys of a bucket that are fetched at a time
_KEYS = (  # how a process reaches an S3 store; names of files and of roles mean nothing elsewhere
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"),
    *("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_DEFAULT_REGION", "AWS_REGION"),
)
_OWN = ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_ROLE_ARN", "AWS_CONTAINER_CREDENTIALS_FULL_URI")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


def is_uri(source: str) -> bool:
    """Whether a text is a URI and no path; ``file://`` is a path."""
    scheme = _SCHEME.match(source)
    return scheme is not None and scheme[1] not in ("file", "local")


def absolute(source: str, folder: str = "") -> str:
    """The absolute path that a path, or what follows ``file://``, means; links are not followed.

    Args:
        source: path, relative to ``folder``.
        folder: "" for the current one.
    """
    scheme = _SCHEME.match(source)
    path = source[scheme.end() :] if scheme and not is_uri(source) else source
    return os.path.abspath(os.path.join(folder, path))  # noqa: PTH100, PTH118


def scheme_of(uri: str) -> str:
    """The scheme of a URI; "" of a path."""
    scheme = _SCHEME.match(uri)
    return scheme[1] if scheme else ""


def open_uri(uri: str) -> tuple[FileSystem, str]:
    """The file system of a URI, and the path within it.

    Credentials and addresses are those of the environment (for S3: ``AWS_ACCESS_KEY_ID``,
    ``AWS_ENDPOINT_URL`` and others). Listings are not cached: they may be as large as a bucket.

    Raises:
        ValueError: no library of this installation reads the scheme, or it is a chain.
    """
    if "::" in uri:
        raise ValueError(f"{uri}: chains of file systems are not read; unpack it, or name one URI")
    scheme, host = _SCHEME.match(uri), uri.split("/", 3)[2]
    assert scheme is not None
    fs = _file_system(scheme[1], host)
    return fs, str(fs._strip_protocol(uri))


def store_keys() -> dict[str, str]:
    """The variables by which this process reaches an S3 store, if it has a key in its environment."""
    if "AWS_ACCESS_KEY_ID" not in os.environ:
        return {}
    return {name: os.environ[name] for name in _KEYS if name in os.environ}


def adopt_keys(keys: Mapping[str, str]) -> None:
    """Reach S3 stores as another process does, unless the environment says how this one does."""
    if not any(name in os.environ for name in _OWN):
        os.environ.update(keys)


@cache
def _file_system(scheme: str, host: str) -> FileSystem:
    """The file system of a scheme and, where it has one, of a host or bucket."""
    from fsspec.core import url_to_fs

    try:
        return url_to_fs(f"{scheme}://{host}", use_listings_cache=False)[0]
    except (ImportError, ValueError) as error:
        why = f"{scheme}:// is not read here: {error}"
        raise ValueError(f"{scheme}://{host}: {why}; name a path or s3://BUCKET/KEY") from error


def spell(fs: FileSystem, path: str) -> str:
    """The whole URI of a path within a file system."""
    return str(fs.unstrip_protocol(path))


def objects_below(fs: FileSystem, path: str) -> Iterator[dict[str, Any]]:
    """Yield what the file system says of each file below a path: ``name`` (path), ``size`` and others.

    A bucket is listed page by page, others folder by folder. The order is that of the names.
    """
    if hasattr(fs, "_iterdir"):  # s3fs, whose public methods return a whole bucket as one list
        yield from _keys(fs, path)
        return
    for _, folders, files in fs.walk(path, detail=True, on_error="raise"):
        yield from (files[name] for name in sorted(files) if name)
        for name in sorted(folders):
            folders[name] = folders.pop(name)  # walk goes on in this order


def _keys(fs: Any, path: str) -> Iterator[dict[str, Any]]:
    """Yield the objects of a bucket below a path, in the order of the bytes of their keys."""
    from fsspec.asyn import sync

    bucket, key, _ = fs.split_path(path)
    prefix = f"{key.rstrip('/')}/" if key else ""
    found = fs._iterdir(bucket, delimiter="", prefix=prefix)

    async def page() -> list[dict[str, Any]]:
        infos = []
        async for info in found:
            if info["type"] == "file" and not info["name"].endswith("/"):
                infos.append(info)
            if len(infos) == PAGE:
                break
        return infos

    while True:
        infos: Any = sync(fs.loop, page)
        if not infos:
            return
        yield from infos
