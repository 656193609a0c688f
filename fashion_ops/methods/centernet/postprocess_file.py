"""The file ``postprocess.json``: the post-processing (one ``PostProcess``) that belongs to a detector.

``tune_postprocess`` writes it next to the detector's folder, and every bundle of models contains it.
"""

import json
from pathlib import Path

from pydantic import ValidationError

from fashion_ops.errors.reading import read_object
from fashion_ops.params import PostProcess

FILE = "postprocess.json"


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
