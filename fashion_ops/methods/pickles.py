"""Refuse model folders that contain a pickle: unpickling runs whatever code its author put there.

We load safetensors and JSON only. Every file is checked before anything is loaded, by name and by
content, so that no other tool is handed a pickle either. Archives and compressed streams count as
pickles: ``torch.save``, joblib and numpy wrap theirs in one, and model folders need none.

A list of allowed suffixes would be shorter, but would accept a pickle of protocol 0, which is plain
text, under the name of a CSV file, and any pickle under the name of OpenVINO's ``.bin``.
"""

import pickletools
import zlib
from pathlib import Path
from typing import BinaryIO

SUFFIXES = frozenset(
    (".pkl", ".pickle", ".pck", ".pt", ".pth", ".ckpt", ".joblib", ".dill", ".npy", ".npz", ".pyc")
)
MAGIC = {
    b"PK\x03\x04": "a zip archive, as torch.save writes",
    b"PK\x05\x06": "a zip archive",
    b"\x1f\x8b\x08": "a gzip stream",
    b"BZh": "a bzip2 stream",
    b"\xfd7zXZ\x00": "an xz stream",
    b"]\x00\x00": "an lzma stream",
    b"\x28\xb5\x2f\xfd": "a zstandard stream",
    b"\x04\x22\x4d\x18": "an lz4 stream",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"\x93NUMPY": "a numpy array, which may hold objects",
}
_HEAD = 512  # of a tar archive, its first header
_DECLARED = tuple(bytes((0x80, version)) for version in (2, 3, 4, 5))
_CALLS = ("REDUCE", "INST", "OBJ", "NEWOBJ", "NEWOBJ_EX", "BUILD")  # instructions that run something


class UnsafeModel(ValueError):
    """A model folder contains a file that could run code when loaded; the message names the file."""


def refuse_pickles(folder: Path) -> None:
    """Check every file below ``folder`` by name and by content.

    Raises:
        UnsafeModel: a file is, or may be, a pickle.
    """
    for path in sorted(folder.rglob("*")):
        if path.is_file() and (reason := suspicion(path)):
            raise UnsafeModel(
                f"{path}: {reason}. A model folder may hold safetensors, JSON, text and images; "
                "nothing was loaded from it. Find out who put this file there"
            )


def suspicion(path: Path) -> str:
    """Say in words why a file may be a pickle; empty for a harmless file."""
    if path.suffix.lower() in SUFFIXES:
        return f"files called {path.suffix.lower()} hold pickles"
    with path.open("rb") as file:
        head = file.read(_HEAD)
        for magic, kind in MAGIC.items():
            if head.startswith(magic):
                return kind
        if head[257:262] == b"ustar":
            return "a tar archive"
        if _is_zlib(head):
            return "a zlib stream"
        file.seek(0)
        return "a pickle" if is_pickle(file) else ""


def is_pickle(file: BinaryIO) -> bool:
    """Whether a file, open at its start, starts with a pickle.

    Bytes after the first call do not matter, as an unpickler would have made the call by then.

    Protocols 2 and later are declared in the first two bytes; two more valid instructions must follow.
    Protocols 0 and 1 are letters, as any text is: a file is a pickle if it would call a function.
    """
    declared = file.read(2) in _DECLARED
    file.seek(0)
    stack: list[object] = []
    try:
        for number, (instruction, _, _) in enumerate(pickletools.genops(file), 1):
            if (declared and number == 3) or instruction.name == "STOP":
                return declared
            if not _step(stack, instruction):
                return False
            if instruction.name in _CALLS:
                return True
    except (ValueError, IndexError, OverflowError):
        pass  # bytes that are no instruction
    return False


def _step(stack: list[object], instruction: pickletools.OpcodeInfo) -> bool:
    """Apply an instruction to the stack as an unpickler would; False where that is impossible."""
    mark, needs = pickletools.markobject, instruction.stack_before
    count = len(needs)
    if mark in needs:  # everything from the last mark on, and what must lie below it
        count = needs.index(mark)
        if mark not in stack:
            return False
        while stack.pop() is not mark:
            pass
    if len(stack) < count:
        return False
    del stack[len(stack) - count :]
    stack.extend(instruction.stack_after)
    return True


def _is_zlib(head: bytes) -> bool:
    """Whether bytes start a zlib stream; as two bytes may match by chance, they must also unpack."""
    if head[:1] != b"\x78" or int.from_bytes(head[:2]) % 31:
        return False
    try:
        return bool(zlib.decompressobj().decompress(head))
    except zlib.error:
        return False
