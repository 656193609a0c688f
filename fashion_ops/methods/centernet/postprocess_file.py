"""The file ``postprocess.json``: the post-processing (one ``PostProcess``) that belongs to a detector.

``tune_postprocess`` writes it next to the detector's folder, and every bundle of models contains it.
Beside it lies ``threshold.json``: the score from which on a garment is reported, chosen on images that
the detector was not trained on. Models of earlier versions have none.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fashion_ops.errors.reading import read_object
from fashion_ops.params import PostProcess

FILE = "postprocess.json"
THRESHOLD = "threshold.json"
MIN_SCORE = 0.3  # of a detector without a threshold of its own


def write_postprocess(folder: Path, post: PostProcess) -> None:
    """Write ``postprocess.json`` into an existing folder."""
    text = json.dumps(post.model_dump(mode="json"), indent=2) + "\n"
    (folder / FILE).write_text(text, encoding="utf-8")


def read_postprocess(folder: Path) -> PostProcess:
    """Read ``postprocess.json`` from a folder.

    Raises:
        FileNotFoundError: there is no such file; the message names the step that writes it.
        ValueError: the file is no valid ``PostProcess``; the message names the key and its value.
    """
    path = folder / FILE
    if not path.is_file():
        raise FileNotFoundError(
            f"{folder}: no {FILE} here; `fashion-ops tune_postprocess` writes it after train_detector"
        )
    values = read_object(path)
    try:
        return PostProcess.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise ValueError(f"{path}: {where}: {first['msg']} (got {first['input']!r})") from error


def write_threshold(folder: Path, min_score: float, basis: Mapping[str, Any]) -> None:
    """Write ``threshold.json`` into an existing folder.

    Args:
        folder: of the post-processing.
        min_score: 0..1.
        basis: what it was chosen on, and what it reaches there.
    """
    text = json.dumps({"min_score": round(min_score, 4), **basis}, indent=2) + "\n"
    (folder / THRESHOLD).write_text(text, encoding="utf-8")


def read_threshold(folder: Path) -> float:
    """Read the score from which on a garment is reported; ``MIN_SCORE`` where none was chosen.

    Raises:
        ValueError: the file holds no score of 0 to 1.
    """
    path = folder / THRESHOLD
    if not path.exists():
        return MIN_SCORE
    score = read_object(path, "min_score")["min_score"]
    if isinstance(score, bool) or not isinstance(score, int | float) or not 0 <= score <= 1:
        raise ValueError(f"{path}: min_score is {score!r}, must be a number from 0 to 1")
    return float(score)
