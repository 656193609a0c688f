from dataclasses import dataclass, replace

import pandas as pd
import pytest

from fashion_ops.distributed.payload import (
    TrainingJob,
    count_devices,
    pack_folder,
    publish_files,
    unpack_folder,
)
from fashion_ops.distributed.train_job import _digest
from fashion_ops.params import Refine, TrainLandmarker


@dataclass(frozen=True, kw_only=True)
class JobOfTwo(TrainingJob):
    """A job with parameters within a table and a dictionary besides its own."""

    more: dict[str, Refine]
    table: pd.DataFrame


def test_folder_survives_the_journey(tmp_path):
    source = tmp_path / "source"
    (source / "deep").mkdir(parents=True)
    (source / "b.json").write_bytes(b"{}")
    (source / "deep" / "a.bin").write_bytes(bytes(range(256)))
    files = pack_folder(source)
    assert list(files) == ["b.json", "deep/a.bin"]
    unpack_folder(files, tmp_path / "copy")
    assert pack_folder(tmp_path / "copy") == files


def test_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        pack_folder(tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["../out.txt", "/out.txt", "a/../../out.txt"])
def test_a_name_that_leads_out_is_refused_and_the_old_folder_stays(tmp_path, name):
    target = tmp_path / "model"
    publish_files(target, {"old.txt": b"old"})
    with pytest.raises(ValueError, match="leads out"):
        publish_files(target, {"new.txt": b"new", name: b"evil"})
    assert pack_folder(target) == {"old.txt": b"old"}
    assert not list(tmp_path.rglob("out.txt"))


@pytest.mark.parametrize(
    ("visible", "requested", "batch_size", "samples", "devices"),
    [
        ("0,1,2,3", 4, 16, 500, 4),
        ("0,1,2,3", 4, 16, 6, 3),  # a batch of six
        ("0,1,2,3", 2, 16, 7, 1),
        ("5", 4, 16, 500, 1),  # the task was given one
        ("", 4, 16, 500, 1),
        ("0,1", 2, 16, 0, 2),  # refused later, by name
    ],
)
def test_devices_split_the_batch_evenly(monkeypatch, visible, requested, batch_size, samples, devices):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert count_devices(requested, batch_size, samples) == devices


def test_a_training_finds_its_checkpoint_whatever_process_made_its_parameters():
    """Pydantic keeps the set of the fields that were given; its pickle differs between processes."""
    plain, given = TrainLandmarker(), TrainLandmarker(epochs=TrainLandmarker().epochs)
    assert plain == given and plain.model_fields_set != given.model_fields_set
    job = JobOfTwo(
        config=plain,
        seed=1,
        images=[],
        more={"refine": Refine()},
        table=pd.DataFrame({"box": [[1.0, 2.0]], "params": [plain]}),
    )
    same = replace(
        job,
        config=given,
        devices=3,
        more={"refine": Refine(batch_size=Refine().batch_size)},
        table=pd.DataFrame({"box": [[1.0, 2.0]], "params": [given]}),
    )
    assert _digest(job) == _digest(same)
    for other in (
        replace(job, config=plain.model_copy(update={"epochs": plain.epochs + 1})),
        replace(job, more={"refine": Refine(batch_size=Refine().batch_size + 1)}),
        replace(job, table=job.table.assign(box=[[1.0, 3.0]])),
        replace(job, seed=2),
    ):
        assert _digest(other) != _digest(job)
