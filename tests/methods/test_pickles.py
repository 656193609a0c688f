"""A pickle in a folder of models is found by its content whatever it is called, and never loaded."""

import bz2
import gzip
import io
import json
import lzma
import os
import pickle
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from fashion_ops.methods.artifact import load_model, save_model
from fashion_ops.methods.centernet.warm_start import warm_start
from fashion_ops.methods.parts.device import CPU
from fashion_ops.methods.pickles import UnsafeModel, refuse_pickles

PROTOCOLS = range(pickle.HIGHEST_PROTOCOL + 1)


class Evil:
    """Unpickled it leaves a file behind."""

    mark = Path("/nowhere")

    def __reduce__(self) -> tuple:
        return os.mkdir, (str(self.mark),)


def saved(value: object, **options: object) -> bytes:
    target = io.BytesIO()
    torch.save(value, target, **options)
    return target.getvalue()


HOSTILE = {
    **{f"protocol {p}": lambda p=p: pickle.dumps(Evil(), p) for p in PROTOCOLS},
    **{f"plain values, {p}": lambda p=p: pickle.dumps({"lr": 0.1}, p) for p in PROTOCOLS[2:]},
    "a call, then rubbish": lambda: pickle.dumps(Evil(), 0)[:-1] + b"\xff\xfe",
    "a memo written twice": lambda: b"cos\nmkdir\np0\np0\n(S'x'\ntR.",
    "INST": lambda: b"(S'x'\nios\nmkdir\n.",
    "OBJ": lambda: b"(cos\nmkdir\nS'x'\no.",
    "torch.save": lambda: saved(Evil()),
    "torch.save of old": lambda: saved(Evil(), _use_new_zipfile_serialization=False),
    "weights by torch.save": lambda: saved({"weight": torch.zeros(2)}),
    "gzip": lambda: gzip.compress(pickle.dumps(Evil())),
    "bzip2": lambda: bz2.compress(pickle.dumps(Evil())),
    "xz": lambda: lzma.compress(pickle.dumps(Evil())),
    "zlib, as joblib does": lambda: zlib.compress(pickle.dumps(Evil())),
    "an array of objects": lambda: _array(),
}


def _array() -> bytes:
    target = io.BytesIO()
    np.save(target, np.array([Evil()], object), allow_pickle=True)
    return target.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A model with everything that lies beside one."""
    save_model(tmp_path, nn.Linear(2, 2), {"method": "test"})
    texts = {
        "history.json": json.dumps([{"loss": 1.0}]),
        "per_category.csv": "category,train\nvest,1\n",
        "conda.yaml": "channels:\n- conda-forge\n",
        "requirements.txt": "click\ncolorama\ntabulate\n",
        "table.csv": "input,network\nresnet,34\n",
    }
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.parametrize("name", ["weights.safetensors", "model.json", "deep/inside/notes.csv"])
@pytest.mark.parametrize("kind", HOSTILE)
def test_nothing_is_loaded_beside_a_pickle(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, name: str
) -> None:
    monkeypatch.setattr(Evil, "mark", tmp_path / "run")
    load_model(folder, "test", lambda _: nn.Linear(2, 2), CPU)  # with all its tables and texts
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(HOSTILE[kind]())
    for load in (
        lambda: refuse_pickles(folder),
        lambda: load_model(folder, "test", lambda _: pytest.fail("built"), CPU),
        lambda: warm_start(nn.Linear(2, 2), folder, "tiny"),
    ):
        with pytest.raises(UnsafeModel, match=path.name):
            load()
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("suffix", [".pkl", ".PT", ".ckpt", ".joblib", ".npz"])
def test_the_name_alone_is_enough(folder: Path, suffix: str) -> None:
    (folder / f"harmless{suffix}").write_text("{}")
    with pytest.raises(UnsafeModel, match="hold pickles"):
        refuse_pickles(folder)


def test_numbers_at_random_are_not_taken_for_one(tmp_path: Path) -> None:
    """OpenVINO's .bin is nothing but numbers; one start in 16,384 claims to be a pickle."""
    random = np.random.default_rng(0)
    for start in (b"\x80\x02", b"x\x9c", b"\x80\x04", b"\x1f\x8b"):
        (tmp_path / "graph.bin").write_bytes(start + b"\xff" + random.bytes(4096))
        refuse_pickles(tmp_path)
