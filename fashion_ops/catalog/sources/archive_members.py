"""The members of a zip or tar archive, read so that damage is an error and never a shorter list.

``tarfile`` takes a damaged header for the end of the archive, ``BZ2File`` and ``LZMAFile`` take a
damaged second stream for trailing bytes, and ``zipfile`` lists only what the directory names. Here a
tar must end with its end mark and nothing but zeros after it, compressed data are read to the end of
the file, where their checksums are, and the members of a zip must fill the file up to its directory.

What no reader can see: a tar without compression has checksums of its headers only, so a changed byte
within a file shows when the file is read, or never.
"""

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from stat import S_IFDIR, S_IFMT, S_IFREG
from typing import IO, NamedTuple

# What the libraries raise on damaged or unusual archives.
ERRORS = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, struct.error),
    *(OSError, EOFError, ValueError, ArithmeticError, LookupError, RuntimeError),
)
CHUNK = 1 << 20
_MAX_EXTENSION = 1 << 20  # bytes of a long name or of a pax header
_MAX_PADDING = (
    1 << 26
)  # zeros behind the end mark; tar rounds up to its record, 10 KiB or a little more
_MAX_XZ_MEMORY = 1 << 30
_ZIP_ENCRYPTED, _ZIP_DESCRIPTOR = 0x1, 0x8
_ZIP_DESCRIPTORS = (0, 12, 16, 20, 24)  # sizes: with or without a signature, of 4 or 8 bytes a length


class ArchiveError(ValueError):
    """An archive cannot be used; the message says why and what to do."""


class Member(NamedTuple):
    """One member: ``kind`` is "file", "folder" or "link or device"; ``size`` in bytes, unpacked."""

    name: str
    kind: str
    size: int
    open: Callable[[], IO[bytes] | io.BufferedIOBase]


def members(archive: Path) -> Iterator[Member]:
    """Yield the members in their order; each must be read to its end before the next one.

    Raises:
        One of ``ERRORS``: the archive is damaged, incomplete or of an unknown kind.
    """
    return _zip_members(archive) if archive.suffix.lower() == ".zip" else _tar_members(archive)


def _zip_members(archive: Path) -> Iterator[Member]:
    with archive.open("rb") as file, _open_zip(file) as zipped:
        last = None
        for info in sorted(zipped.infolist(), key=lambda info: info.header_offset):
            _check_no_gap(file, last, info.filename, info.header_offset)
            if info.flag_bits & _ZIP_ENCRYPTED:
                raise ArchiveError(
                    f"{info.filename} needs a password; unpack it yourself and use the folder"
                )
            special = S_IFMT(info.external_attr >> 16) not in (0, S_IFREG, S_IFDIR)
            kind = "folder" if info.is_dir() else "link or device" if special else "file"
            yield Member(info.filename, kind, info.file_size, partial(zipped.open, info))
            last = info
        _check_no_gap(file, last, "its directory", zipped.start_dir)


def _open_zip(file: io.BufferedReader) -> zipfile.ZipFile:
    """Open a zip; names without a mark of their encoding are UTF-8, as macOS writes them, or CP437."""
    try:
        return zipfile.ZipFile(file, metadata_encoding="utf-8")
    except UnicodeDecodeError:
        return zipfile.ZipFile(file)


def _check_no_gap(
    file: io.BufferedReader, last: zipfile.ZipInfo | None, following: str, start: int
) -> None:
    """Check that what follows a member (None: the start of the file) starts where the member ends.

    A gap is a member that the directory has lost, or another archive before this one; an overlap is a
    bomb. A descriptor of unknown size may follow a member.

    Raises:
        zipfile.BadZipFile: there is a gap or an overlap.
    """
    end, gaps, name = 0, (0,), "its start"
    if last is not None:
        file.seek(last.header_offset + 26)
        name_length, extra_length = struct.unpack("<HH", file.read(4))
        end = last.header_offset + 30 + name_length + extra_length + last.compress_size
        gaps = _ZIP_DESCRIPTORS if last.flag_bits & _ZIP_DESCRIPTOR else (0,)
        name = last.filename
    if start < end:
        raise zipfile.BadZipFile(f"{name} and {following} overlap")
    if start - end not in gaps:
        raise zipfile.BadZipFile(
            f"{start - end} bytes between {name} and {following} belong to no file of its directory"
        )


def _tar_members(archive: Path) -> Iterator[Member]:
    with (
        _open_stream(archive) as stream,
        tarfile.open(
            fileobj=stream, mode="r|", tarinfo=_StrictHeader, encoding="utf-8", errors="surrogateescape"
        ) as tarred,
    ):
        for header in tarred:
            if header.size < 0:  # a pax header may say so
                raise tarfile.ReadError(f"{header.name} has {header.size} bytes")
            kind = "folder" if header.isdir() else "file" if header.isreg() else "link or device"
            yield Member(header.name, kind, header.size, partial(_open_tar_member, tarred, header))
        assert tarred.fileobj is not None
        padding = 0
        while zeros := tarred.fileobj.read(CHUNK):
            padding += len(zeros)
            if zeros.strip(b"\0") or padding > _MAX_PADDING:
                raise tarfile.ReadError(
                    "there are data behind its end mark: it is damaged, or several archives in one file"
                )


def _open_tar_member(tarred: tarfile.TarFile, header: tarfile.TarInfo) -> IO[bytes] | io.BufferedIOBase:
    content = tarred.extractfile(header) if header.isreg() else None
    return content or io.BytesIO()


class _StrictHeader(tarfile.TarInfo):
    """A header of a tar; unlike in ``tarfile``, only the end mark ends an archive."""

    @classmethod
    def frombuf(cls, buf: bytes | bytearray, encoding: str, errors: str) -> "_StrictHeader":
        header = super().frombuf(buf, encoding, errors)
        extension = header.type in (
            *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
            *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
        )
        if header.size < 0 or (extension and header.size > _MAX_EXTENSION):
            raise tarfile.ReadError(f"a header has {header.size} bytes")
        return header

    @classmethod
    def fromtarfile(cls, archive: tarfile.TarFile) -> "_StrictHeader":  # type: ignore[override]
        try:
            return super().fromtarfile(archive)
        except tarfile.EOFHeaderError:  # type: ignore[attr-defined]
            raise
        except tarfile.HeaderError as error:
            raise tarfile.ReadError(f"no header and no end mark where one must be: {error}") from None


def _open_stream(archive: Path) -> io.BufferedIOBase:
    """Open a tar; the first bytes, not the suffix, say how it is compressed."""
    with archive.open("rb") as file:
        start = file.read(6)
    if start.startswith(b"\x1f\x8b"):
        return gzip.open(archive)
    if start.startswith(b"BZh"):
        return io.BufferedReader(_Decompressed(archive, bz2.BZ2Decompressor), CHUNK)
    if start == b"\xfd7zXZ\0":
        decompressor = partial(lzma.LZMADecompressor, lzma.FORMAT_XZ, _MAX_XZ_MEMORY)
        return io.BufferedReader(_Decompressed(archive, decompressor), CHUNK)
    return archive.open("rb")


class _Decompressed(io.RawIOBase):
    """The content of a bzip2 or xz file of one or several streams, which may be padded with zeros.

    ``BZ2File`` and ``LZMAFile`` end without an error where a second stream is damaged.
    """

    def __init__(
        self, path: Path, make: Callable[[], bz2.BZ2Decompressor | lzma.LZMADecompressor]
    ) -> None:
        self._file = path.open("rb")
        self._make = make
        self._stream = make()

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self._file.close()
        super().close()

    def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
        while True:
            data = b""
            if self._stream.eof:
                data = self._stream.unused_data.lstrip(b"\0")
                while not data:
                    block = self._file.read(CHUNK)
                    if not block:
                        return 0
                    data = block.lstrip(b"\0")
                self._stream = self._make()
            elif self._stream.needs_input:
                data = self._file.read(CHUNK)
                if not data:
                    raise EOFError("the compressed data end too early")
            content = self._stream.decompress(data, len(buffer))
            if content:
                buffer[: len(content)] = content
                return len(content)
