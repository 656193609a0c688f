"""The user's own photos: what backgrounds and cloth of the second edition are cut from."""

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
_LARGEST = 320  # pixels; a photo's longer side in memory


@dataclass(frozen=True)
class Photos:
    """Paths of photos for backgrounds and for cloth; either may be empty."""

    backgrounds: tuple[str, ...] = ()
    fabrics: tuple[str, ...] = ()


def find_photos(root: Path, folder: str | None, key: str) -> tuple[str, ...]:
    """All photos below a folder, in the order of their paths; none for no folder.

    Args:
        root: where a relative path starts.
        folder: searched with its subfolders.
        key: the parameter that names it, for messages.

    Raises:
        ValueError: the folder is missing or holds no photo.
    """
    if folder is None:
        return ()
    if not (root / folder).is_dir():
        raise ValueError(f"{key}: {folder} is no folder; name a folder of photos, or null")
    paths = sorted(
        p for p in (root / folder).rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file()
    )
    if not paths:
        raise ValueError(
            f"{key}: {folder} holds no photo ({', '.join(SUFFIXES)}); add some, or set null"
        )
    return tuple(str(path) for path in paths)


def describe(paths: tuple[str, ...], root: Path, folder: str | None) -> dict[str, Any]:
    """For the manifest: folder, number of photos, SHA-256 of their names and contents."""
    digest = hashlib.sha256()
    for path in paths:
        digest.update(Path(path).relative_to(root / (folder or "")).as_posix().encode() + b"\0")
        digest.update(Path(path).read_bytes())
    return {"folder": folder, "photos": len(paths), "sha256": digest.hexdigest()}


@lru_cache(maxsize=192)
def read(path: str) -> np.ndarray:
    """A photo, BGR uint8 (h, w, 3), its longer side at most ``_LARGEST`` pixels.

    Raises:
        ValueError: OpenCV cannot read it, or it is smaller than 16 pixels.
    """
    image = cv2.imread(path, cv2.IMREAD_COLOR)
    if image is None or min(image.shape[:2]) < 16:
        raise ValueError(f"{path}: is no photo of at least 16 x 16 pixels that OpenCV reads; remove it")
    zoom = min(1.0, _LARGEST / max(image.shape[:2]))
    return cv2.resize(image, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_AREA)


def cut(path: str, rng: np.random.Generator, share: tuple[float, float]) -> np.ndarray:
    """A random square of a photo, mirrored or not: BGR uint8 (k, k, 3).

    Args:
        path: of the photo.
        rng: draws place and size.
        share: smallest and largest side of the square, as shares of the photo's shorter side.
    """
    photo = read(path)
    height, width = photo.shape[:2]
    side = max(8, round(min(height, width) * rng.uniform(*share)))
    y, x = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
    piece = photo[y : y + side, x : x + side]
    return piece[:, ::-1] if rng.random() < 0.5 else piece
