"""Bulk runs that are killed, or begun twice: every photo is one row all the same."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import bulk_photos
import pytest
from bulk_photos import predict_here, table, write_photos

from fashion_ops.files.outputs import OutputRefused

KILLS = 10 if "FASHION_OPS_LONG" in os.environ else 2


def begin(out: Path, photos: Path) -> subprocess.Popen:
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen([sys.executable, bulk_photos.__file__, str(out), str(photos)], env=env)


def test_killed_at_random_moments_it_ends_with_the_same_rows(tmp_path: Path) -> None:
    photos, out = tmp_path / "p", tmp_path / "out"
    write_photos(photos, 400 * KILLS)
    predict_here(tmp_path / "whole", [str(photos)])
    dice, kills = random.Random(0), 0
    while kills < KILLS:
        process = begin(out, photos)
        deadline = time.monotonic() + 120
        parts = len(list(out.glob("photos/part-*")))
        while process.poll() is None and len(list(out.glob("photos/part-*"))) == parts:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        time.sleep(dice.random() * 0.3)
        process.send_signal(signal.SIGKILL)
        if process.wait(30) == 0:  # it was faster
            break
        kills += 1
    assert kills, "the run ended before the first kill"
    assert begin(out, photos).wait(300) == 0
    parts = {p.name: p.read_bytes() for p in (tmp_path / "whole" / "photos").iterdir()}
    assert {p.name: p.read_bytes() for p in (out / "photos").glob("*.parquet")} == parts
    assert table(out)["image_id"].to_list() == [*range(1, 400 * KILLS + 1)]
    assert not [path.name for path in (out / "photos").iterdir() if path.name not in parts]


def test_killed_while_it_lists_it_lists_again(tmp_path: Path) -> None:
    write_photos(tmp_path / "p", 3)
    left = tmp_path / "out" / f".manifest.{'0' * 8}-1-1-{'0' * 8}.partial"
    left.mkdir(parents=True)
    (left / "photos-00000.parquet").write_bytes(b"half")
    predict_here(tmp_path / "out", [str(tmp_path / "p")])
    assert len(table(tmp_path / "out")) == 3


def test_a_second_run_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    write_photos(tmp_path / "p", 600)
    process = begin(tmp_path / "out", tmp_path / "p")
    try:
        while not list(tmp_path.glob("out/photos/part-*")):
            assert process.poll() is None
            time.sleep(0.01)
        with pytest.raises(OutputRefused, match="another run writes here"):
            predict_here(tmp_path / "out", [str(tmp_path / "p")])
    finally:
        process.kill()
        process.wait(30)
