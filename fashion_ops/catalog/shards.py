"""Image shards: the encoded bytes of images in Arrow files that are memory-mapped for reading.

A shard is closed before the image that would make it too large. ``reader.Catalog`` reads shards.
"""

from pathlib import Path
from types import TracebackType

import numpy as np
import pyarrow as pa

from fashion_ops.catalog.reader import LAYOUT, SHARD_NAME


class ShardWriter:
    """Writes ``shard-00000.arrow``, ``shard-00001.arrow``, ... into ``folder``; a context manager.

    Args:
        folder: is created.
        megabytes: upper size of a shard, MiB, unless a single image is larger.
    """

    def __init__(self, folder: Path, megabytes: int) -> None:
        folder.mkdir()
        self._folder, self._limit = folder, megabytes << 20
        self._writer: pa.RecordBatchFileWriter | None = None
        self._shard, self._row, self._size = -1, 0, 0

    def append(self, image_ids: np.ndarray, images: list[bytes]) -> tuple[np.ndarray, np.ndarray]:
        """Write encoded images; returns the shard and the row within the shard of each, int32 (N,)."""
        shards = np.empty(len(images), np.int32)
        rows = np.empty(len(images), np.int32)
        start = 0
        for i, image in enumerate(images):
            if self._writer is None or (self._row and self._size + len(image) > self._limit):
                self._batch(image_ids[start:i], images[start:i])
                start = i
                self._next_shard()
            shards[i], rows[i] = self._shard, self._row
            self._row += 1
            self._size += len(image)
        self._batch(image_ids[start:], images[start:])
        return shards, rows

    def _batch(self, image_ids: np.ndarray, images: list[bytes]) -> None:
        if images and self._writer is not None:
            self._writer.write_batch(pa.record_batch([image_ids, images], schema=LAYOUT))

    def _next_shard(self) -> None:
        self._close()
        self._shard, self._row, self._size = self._shard + 1, 0, 0
        path = self._folder / SHARD_NAME.format(self._shard)
        self._writer = pa.ipc.new_file(str(path), LAYOUT)

    def _close(self) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def __enter__(self) -> "ShardWriter":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()
