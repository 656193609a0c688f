"""What a folder holds, as one number."""

import hashlib
from pathlib import Path


def folder_digest(folder: Path) -> str:
    """sha256 of names and bytes of all files in a folder and below, in hexadecimal digits."""
    sha256 = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        sha256.update(path.relative_to(folder).as_posix().encode() + b"\0")
        sha256.update(hashlib.sha256(path.read_bytes()).digest())
    return sha256.hexdigest()
