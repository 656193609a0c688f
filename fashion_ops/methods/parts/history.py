"""The history of a training, in a file beside its model: the metrics of each epoch."""

import json
from pathlib import Path

from fashion_ops.errors.reading import read_json

HISTORY = "history.json"
History = list[dict[str, float]]  # in the order of epochs; empty without training


def write_history(folder: Path, history: History) -> None:
    """Write ``history`` into an existing folder."""
    (folder / HISTORY).write_text(json.dumps(history, indent=1) + "\n", encoding="utf-8")


def read_losses(folder: Path) -> list[float]:
    """Read the ``loss`` of each epoch, in order; empty without training.

    Raises:
        FileNotFoundError: the folder has no history.
    """
    return [epoch["loss"] for epoch in read_json(folder / HISTORY)]
