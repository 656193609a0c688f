"""A mistake of a user, and how a workspace is set up for it; ``user_mistakes`` is the table of them."""

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd


@dataclass(frozen=True)
class Mistake:
    """One mistake. ``dvc``: whether the ledger is opened; else the step runs as under ``dvc repro``."""

    name: str
    words: str
    says: str
    mend: str
    setup: Callable[[Path], object] = lambda ws: None
    dvc: bool = False
    status: int = 2


def put(name: str, content: str | bytes = "") -> Callable[[Path], object]:
    """Write a file of the workspace."""

    def write(ws: Path) -> None:
        path = ws / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    return write


def gone(name: str) -> Callable[[Path], object]:
    return lambda ws: (ws / name).unlink()


def folder(name: str) -> Callable[[Path], object]:
    return lambda ws: ((ws / name).unlink(missing_ok=True), (ws / name).mkdir(parents=True))


def both(*steps: Callable[[Path], object]) -> Callable[[Path], object]:
    return lambda ws: [step(ws) for step in steps]


def table(name: str, keep: float = 1.0, **columns: object) -> Callable[[Path], object]:
    """Write a parquet table, cut off after a share of its bytes."""

    def write(ws: Path) -> None:
        path = ws / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pd.DataFrame(columns or {"garment_id": [1], "landmarks": [[0.0]]}).to_parquet(path)
        path.write_bytes(path.read_bytes()[: int(keep * path.stat().st_size)])

    return write


def repository(ws: Path) -> None:
    """A DVC repository with one stage, without git."""
    put(".dvc/config", "[core]\n    no_scm = true\n    analytics = false\n")(ws)
    stages = "  aggregate:\n    cmd: 'true'\n    params: [seed]\n    outs: [data/grouped]\n"
    stages += "  finetune@skirt:\n    cmd: 'true'\n    outs: [models/finetuned/skirt]\n"
    put("dvc.yaml", f"stages:\n{stages}")(ws)


def detector(ws: Path) -> None:
    """An untrained detector in ``detector``; tests/commands/conftest.py makes it once."""
    shutil.copytree(ws.parent / "detector", ws / "detector")


def cut(name: str, keep: int) -> Callable[[Path], object]:
    return lambda ws: (ws / name).write_bytes((ws / name).read_bytes()[:keep])


def spec_without(key: str) -> Callable[[Path], object]:
    def edit(ws: Path) -> None:
        path = ws / "detector" / "model.json"
        path.write_text(json.dumps({k: v for k, v in json.loads(path.read_text()).items() if k != key}))

    return edit
