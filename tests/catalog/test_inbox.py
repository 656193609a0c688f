"""Moving what strangers uploaded: to another disk too, as a whole or not at all."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

from fashion_ops.catalog import inbox


@pytest.fixture
def other_disk(tmp_path):
    """A folder on another file system."""
    if not os.access("/dev/shm", os.W_OK) or Path("/dev/shm").stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("no second file system here")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


def upload(folder):
    (folder / "batch" / "train").mkdir(parents=True)
    (folder / "batch" / "train" / "a.json").write_bytes(b"{}")
    return folder / "batch"


def test_uploads_move_to_another_disk(tmp_path, other_disk):
    batch = upload(tmp_path)
    target = inbox.put_away(batch, other_disk / "rejected", "invalid")
    assert (target / "train" / "a.json").read_bytes() == b"{}" and not batch.exists()
    link = tmp_path / "link"
    link.symlink_to("nowhere")
    assert inbox.put_away(link, other_disk / "rejected", "a link").is_symlink()
    assert sorted(p.name for p in (other_disk / "rejected").iterdir()) == [
        *("batch", "batch.reason.txt", "link", "link.reason.txt")
    ]


def test_half_a_move_to_another_disk_leaves_nothing(tmp_path, other_disk, monkeypatch):
    batch = upload(tmp_path)

    def copy(source, target, **options):
        target.mkdir()
        raise shutil.Error("disk full")

    monkeypatch.setattr(shutil, "copytree", copy)
    with pytest.raises(OSError, match=r"cannot be moved to .*: disk full"):
        inbox.put_away(batch, other_disk, "invalid")
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="is a named pipe"):  # it cannot be copied, and is not read
        inbox.put_away(tmp_path / "pipe", other_disk, "a pipe")
    assert list(other_disk.iterdir()) == [] and (batch / "train" / "a.json").exists()


def test_files_that_may_not_be_read_are_named(tmp_path, monkeypatch):
    batch = upload(tmp_path)
    assert inbox.problem_of(batch) is None
    access = os.access
    monkeypatch.setattr(
        os, "access", lambda path, mode: not path.endswith(".json") and access(path, mode)
    )
    assert inbox.problem_of(batch) == "train/a.json cannot be read: permission denied"


def test_names_are_cut_between_characters():
    assert inbox.short_name("é" * 150) == "é" * 100
    assert inbox.short_name("a\tb\udcff") == "a b\\xff"
    assert inbox.short_name("\n") == "batch"
