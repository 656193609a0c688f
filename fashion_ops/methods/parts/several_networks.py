"""Several trainings, one after the other, whose checkpoints are kept in one file."""

import json
import zipfile
from pathlib import Path

from fashion_ops.files.publishing import sweep, temporary
from fashion_ops.methods.parts.trainer import OnEpoch

EPOCHS = "epochs.json"  # how many epochs all trainings have done together


class Checkpoints:
    """The checkpoints of the trainings, of which ``file`` holds copies.

    A finished training keeps its last checkpoint, from which it is finished at once when the whole is
    resumed.

    Args:
        file: is read if it exists, and replaced when there is a new one; None keeps no checkpoints.
        folder: for the checkpoints themselves; it is made.
        on_epoch: called with (epochs done by all trainings together, metrics of the epoch).
    """

    def __init__(self, file: Path | None, folder: Path, on_epoch: OnEpoch | None) -> None:
        self._file, self._folder, self._on_epoch = file, folder, on_epoch
        folder.mkdir()
        if file is not None and file.is_file():
            with zipfile.ZipFile(file) as saved:
                saved.extractall(folder)
        counted = folder / EPOCHS
        self._saved = self._identities()
        self._epochs: int = json.loads(counted.read_text()) if counted.is_file() else 0

    def path(self, name: str) -> Path | None:
        """The checkpoint of a training; it may add further ones whose names begin with this one's."""
        return None if self._file is None else self._folder / f"{name}.ckpt"

    def report(self, epoch: int, metrics: dict[str, float]) -> None:
        """Report an epoch of one training, after all checkpoints are saved if one of them is new."""
        self._epochs += 1
        if self._file is not None and self._identities() != self._saved:
            self._saved = self._identities()
            (self._folder / EPOCHS).write_text(json.dumps(self._epochs))
            sweep(self._file.parent)
            partial = temporary(self._file)
            try:
                with zipfile.ZipFile(partial, "w") as saved:
                    for path in sorted(self._folder.iterdir()):
                        saved.write(path, path.name)
                partial.replace(self._file)
            finally:
                partial.unlink(missing_ok=True)
        if self._on_epoch is not None:
            self._on_epoch(self._epochs, metrics)

    def _identities(self) -> set[tuple[str, int, int]]:
        """What differs when a training has replaced its checkpoint."""
        stats = {path.name: path.stat() for path in self._folder.glob("*.ckpt*")}
        return {(name, stat.st_ino, stat.st_mtime_ns) for name, stat in stats.items()}
