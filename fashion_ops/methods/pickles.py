"""A folder of models holds no pickle: reading one runs whatever its author wrote into it.

We load safetensors and JSON only; this refuses the rest before anything is read, whatever its name, so
that no other tool is handed one either. Archives and compressed streams count as pickles: that is how
``torch.save``, joblib and numpy wrap theirs, and nothing of ours is one.
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
    """A folder of models holds what could run code when loaded; the message names the file."""


def refuse_pickles(folder: Path) -> None:
    """Look at every file below ``folder``, by name and by content.

    Raises:
        UnsafeModel: one is, or may be, a pickle.
    """
    for path in sorted(folder.rglob("*")):
        if path.is_file() and (what := suspicion(path)):
            raise UnsafeModel(
                f"{path}: {what}. A folder of models holds safetensors, JSON, and text and images "
                "for people; nothing of it was loaded. Find out who put this file there"
            )


def suspicion(path: Path) -> str:
    """Why a file may be a pickle, in words; empty where nothing speaks for it."""
    if path.suffix.lower() in SUFFIXES:
        return f"files called {path.suffix.lower()} hold pickles"
    with path.open("rb") as file:
        head = file.read(_HEAD)
        for magic, what in MAGIC.items():
            if head.startswith(magic):
                return what
        if head[257:262] == b"ustar":
            return "a tar archive"
        if _is_zlib(head):
            return "a zlib stream"
        file.seek(0)
        return "a pickle" if is_pickle(file) else ""


def is_pickle(file: BinaryIO) -> bool:
    """Whether a file starts as a pickle does; what comes after a call does not matter, it has run.

    Protocols 2 and later say so in their first two bytes, which two more instructions must bear out.
    Protocols 0 and 1 are letters, as any text is: they count once they would call something.
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
    """Do to the stack what an unpickler would; False where it could not."""
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
    """Two bytes say little: it must also unpack."""
    if head[:1] != b"\x78" or int.from_bytes(head[:2]) % 31:
        return False
    try:
        return bool(zlib.decompressobj().decompress(head))
    except zlib.error:
        return False
