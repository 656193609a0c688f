"""Bulk prediction: every photo is one row, whatever dies or is broken."""

import errno
import json
import os
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bulk_photos import MeanPredictor, predict_here, table, write_photos
from PIL import Image

from bench.flat_lay_photos import flat_lay
from fashion_ops import progress
from fashion_ops.catalog.quarantine import Reason
from fashion_ops.commands import bulk
from fashion_ops.files.outputs import OutputRefused
from fashion_ops.inference.bulk import listing, manifest, reading, results
from fashion_ops.inference.bulk.blocks import FAILED, KILLED, Block, BlockPredictor, Run, spare
from fashion_ops.inference.bulk.listing import Listed
from fashion_ops.inference.bulk.results import Summary, write_coco
from fashion_ops.inference.bulk.run import BulkRun
from fashion_ops.inference.predictor import Garment
from fashion_ops.measurement.points import points_of_measure
from fashion_ops.measurement.references import Scaling
from fashion_ops.params import Distributed
from fashion_ops.taxonomy import CATEGORIES, category


def test_sizes_are_extra_columns_of_photos_that_died_or_failed_too(tmp_path: Path) -> None:
    shot = flat_lay(2, thing="A4")
    Image.fromarray(shot.photo).save(tmp_path / "a.jpg", quality=95)
    write_photos(tmp_path, 1)
    (tmp_path / "bad.jpg").write_text("no photo")
    photos = [Listed(str(tmp_path / name)) for name in ("a.jpg", "000000.png", "bad.jpg", "dead.jpg")]

    class Known(MeanPredictor):
        """Finds the true landmarks in the large photo."""

        def predict_many(self, photos: Any, min_score: float) -> list[list[Garment]]:
            names = category(shot.category).landmark_names
            points = {n: (*map(float, p), 1.0) for n, p in zip(names, shot.pixels, strict=True)}
            box = tuple(map(float, (*shot.pixels.min(0), *shot.pixels.max(0))))
            found = super().predict_many(photos, min_score)
            garment = Garment(shot.category, 0.9, box, points)
            return [
                [garment] if photo.size == (2400, 1800) else garments
                for photo, garments in zip(photos, found, strict=True)
            ]

    predict = BlockPredictor(Known(), reading.PhotoReader(), 0.0, 8, Scaling())

    def run(blocks: Any) -> Iterator[tuple[str, bytes | Exception]]:
        for name, block in blocks:
            dies = any(photo.uri.endswith("dead.jpg") for photo in block.photos)
            yield name, RuntimeError("died") if dies else predict(block)

    ((_, part),) = spare(iter([("0", Block(1, photos))]), run, sized=True)
    (tmp_path / "part.parquet").write_bytes(part)
    rows = pd.read_parquet(tmp_path / "part.parquet")
    assert rows["reference"].to_list() == ["A4 paper", "", "", ""]
    assert [len(sizes) for sizes in rows["sizes"]][2:] == [0, 0]
    assert {size["unit"] for size in rows["sizes"][1]} == {"px"}
    found = {size["name"]: size for size in rows["sizes"][0]}
    for point in points_of_measure(shot.category):
        assert found[point.name]["value"] == pytest.approx(float(point.length(shot.cm)), abs=0.5)
        assert found[point.name]["unit"] == "cm" and found[point.name]["garment"] == 0


def test_each_bad_photo_is_a_row_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "photos"
    good = write_photos(folder, 20)
    Image.new("RGB", (12, 12), "red").save(good[3], "JPEG")
    good[3].write_bytes(good[3].read_bytes()[:-9])
    good[4].write_bytes(b"no image")
    good[5].write_bytes(b"")
    Image.new("RGB", (12, 12)).save(good[6])  # black: the models raise
    Image.new("1", (9000, 9000)).save(good[7])
    with good[8].open("wb") as file:
        file.truncate(reading.MAX_BYTES + 1)
    good[9].unlink()
    good[9].symlink_to("nowhere.png")
    os.mkfifo(folder / "pipe.png")
    Path(os.fsdecode(os.fsencode(folder) + b"/\xff.png")).write_bytes(good[0].read_bytes())
    (folder / "phone.heic").write_bytes(b"\0\0\0\x18ftypheic")
    predict_here(tmp_path / "out", [str(folder)])
    rows = table(tmp_path / "out").set_index("uri")
    assert len(rows) == 23
    bad = {Path(uri).name: reason for uri, reason in rows["reason"].items() if reason}
    assert bad == {
        "000003.png": Reason.TRUNCATED.value,
        "000004.png": Reason.UNDECODABLE.value,
        "000005.png": Reason.UNDECODABLE.value,
        "000006.png": FAILED,
        "000007.png": Reason.BOMB.value,
        "000008.png": Reason.BYTES.value,
        "000009.png": Reason.MISSING.value,
        "pipe.png": Reason.MISSING.value,
        "\\xff.png": Reason.MISSING.value,
        "phone.heic": Reason.UNDECODABLE.value,
    }
    assert all(uri in error for uri, error in rows["error"].items() if error)
    assert rows["garments"][rows["reason"] == ""].map(len).eq(1).all()
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert (summary["photos"], summary["garments"]) == (23, 13)
    assert sum(summary["reasons"].values()) == 10


def test_a_photo_that_may_not_be_read_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: Any) -> int:
        raise PermissionError(13, "Permission denied")

    photo = write_photos(tmp_path / "p", 1)[0]
    monkeypatch.setattr("fashion_ops.catalog.images.os.open", denied)
    fetched = reading.PhotoReader()([listing.Listed(str(photo))])[0]
    assert isinstance(fetched, reading.Refused) and fetched.reason is Reason.PERMISSION


def test_models_that_fail_for_every_photo_end_the_run(tmp_path: Path) -> None:
    for path in write_photos(tmp_path / "p", 3):
        Image.new("RGB", (12, 12)).save(path)
    with pytest.raises(RuntimeError, match=r"3 photos of 3 failed alike.*a black photo"):
        predict_here(tmp_path / "out", [str(tmp_path / "p")])


def test_photos_go_through_the_network_eight_at_a_time(tmp_path: Path) -> None:
    write_photos(tmp_path / "p", 20)
    predictor = MeanPredictor()
    predict_here(tmp_path / "out", [str(tmp_path / "p")], predictor)
    assert predictor.calls == [8, 8, 4]


def test_a_finished_run_computes_nothing_and_a_damaged_part_again(shop: Path, tmp_path: Path) -> None:
    out, photos = tmp_path / "out", tmp_path / "p"
    write_photos(photos, 40)
    assert predict_here(out, [str(photos)]) == ["0", "1", "2"]
    before = table(out)
    assert predict_here(out, [str(photos)]) == []
    part = out / "photos" / "part-000001.parquet"
    part.write_bytes(part.read_bytes()[:100])
    write_photos(photos, 50)  # the listing is fixed
    assert predict_here(out, [str(photos)]) == ["1"]
    pd.testing.assert_frame_equal(table(out), before)


def test_a_part_that_cannot_be_read_now_stays(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    predict_here(tmp_path, [str(shop)])

    def stale(*_: Any) -> Any:
        raise OSError(errno.ESTALE, "Stale file handle")

    monkeypatch.setattr(results.pq, "read_metadata", stale)
    with pytest.raises(OSError, match="Stale file handle"):
        predict_here(tmp_path, [str(shop)])
    assert (tmp_path / "photos" / "part-000000.parquet").is_file()


def lose(deadly: Callable[[Block], bool], started: list[str]) -> Run:
    """Stands for ``map_blocks`` that keeps lost blocks; single photos come last one first."""
    predict = BlockPredictor(MeanPredictor(), reading.PhotoReader(), 0.0, 8)

    def run(blocks: Iterator[tuple[str, Block]]) -> Iterator[tuple[str, bytes | Exception]]:
        given = list(blocks)
        for name, block in reversed(given) if "/" in given[0][0] else given:
            started.append(name)
            yield name, RuntimeError(f"{name} lost") if deadly(block) else predict(block)

    return run


def blocks_of(folder: Path, number: int, size: int) -> Iterator[tuple[str, Block]]:
    photos = [listing.Listed(str(path)) for path in write_photos(folder, number)]
    for at in range(0, number, size):
        yield str(at // size), Block(at + 1, photos[at : at + size])


def test_photos_of_lost_blocks_are_computed_once_each_by_themselves(tmp_path: Path) -> None:
    started: list[str] = []
    deadly = {f"00000{n}.png" for n in (5, 6, 9)}
    run = lose(lambda b: any(Path(p.uri).name in deadly for p in b.photos), started)
    parts = dict(spare(blocks_of(tmp_path, 10, 3), run))  # the fourth block has one photo
    assert started == [*"0123", "3/0", "2/2", "2/1", "2/0", "1/2", "1/1", "1/0"]
    tables = [pq.read_table(pa.BufferReader(parts[str(n)])) for n in range(4)]
    rows = pa.concat_tables(tables).to_pandas()
    assert rows["image_id"].to_list() == [*range(1, 11)]
    assert rows["reason"].to_list() == [KILLED if n in (5, 6, 9) else "" for n in range(10)]
    assert all(Path(uri).name in deadly for uri in rows["uri"][rows["reason"] != ""])
    assert rows["garments"].map(len).to_list() == [int(n not in (5, 6, 9)) for n in range(10)]
    summary = Summary()
    for name, part in parts.items():
        summary.add(int(name), pq.read_metadata(pa.BufferReader(part)))
    assert (summary.photos, summary.garments, summary.reasons) == (10, 7, {KILLED: 3})


@pytest.mark.parametrize(("photos", "begun"), [(40, 3), (3, 4)])
def test_models_that_kill_their_process_end_the_run(tmp_path: Path, photos: int, begun: int) -> None:
    started: list[str] = []
    with pytest.raises(RuntimeError, match="lost"):
        list(spare(blocks_of(tmp_path, photos, 3), lose(lambda _: True, started)))
    assert len(started) == begun


@pytest.mark.parametrize("runtime", ["torch", "onnx"])
def test_actors_get_the_disk_of_the_driver_and_devices_of_their_runtime(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, runtime: bulk.Runtime
) -> None:
    """A remote table may name photos on the driver's disk; of 80 photos one is left."""
    from fashion_ops.distributed import cluster, map_blocks

    pools: list[tuple[bulk.LoadModels, Distributed]] = []

    def pool(_: Any, make: Any, settings: Any, **__: Any) -> Iterator[tuple[str, bytes]]:
        pools.append((make, settings))
        yield from ()

    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_REGION", "eu")
    monkeypatch.setattr(cluster, "connect", lambda _: None)
    monkeypatch.setattr(map_blocks, "map_blocks", pool)
    monkeypatch.setattr(bulk, "_start_store", lambda: "store")
    monkeypatch.setattr("ray.cluster_resources", lambda: {"GPU": 2.0})
    monkeypatch.setattr(cluster, "usable_cpus", lambda: 8)
    listed = manifest.Manifest(tmp_path, manifest.Identity(["s3://a/t.parquet"], "", "", {}), 80, 16)
    load = bulk.LoadModels({}, "models", runtime, 0.3, "auto")
    for address, store in (("", None), ("auto", "store")):
        monkeypatch.setenv("RAY_ADDRESS", address)
        compute = bulk._computer(
            BulkRun(tmp_path, listed, Summary(photos=79)), load, Distributed(cpus_per_task=2)
        )
        assert list(compute(iter(()))) == []
        make, settings = pools.pop()
        assert make.store == store and make.threads == 2
        assert make.keys == ({"AWS_ACCESS_KEY_ID": "key", "AWS_REGION": "eu"} if store else {})
        assert "AWS" not in repr(make)
        assert settings.gpus_per_task == (0.5 if runtime == "torch" else 0.0)


def test_other_photos_models_settings_and_folders_are_refused(shop: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    predict_here(out, [str(shop)])
    before = {path: path.read_bytes() for path in out.rglob("*.parquet")}
    for changes, error in (
        ({"digest": "2"}, "holds results for model mean as it was then"),
        ({"model": "other", "digest": "2"}, "holds results for model mean, not other"),
        ({"min_score": 0.5}, "holds results for --min-score 0.0, not 0.5"),
    ):
        with pytest.raises(OutputRefused, match=error):
            predict_here(out, [str(shop)], **changes)
    with pytest.raises(OutputRefused, match=r"holds results for photos of .*shop.*, not of .*sub"):
        predict_here(out, [str(shop / "sub")])
    with pytest.raises(OutputRefused, match="did not make it; name another folder by --table"):
        predict_here(shop, [str(shop)])
    (tmp_path / "file").touch()
    with pytest.raises(OutputRefused, match="is no folder"):
        predict_here(tmp_path / "file", [str(shop)])
    assert {path: path.read_bytes() for path in out.rglob("*.parquet")} == before


def test_a_run_goes_on_only_with_the_same_torch_and_code(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def load(_: bulk.LoadModels) -> BlockPredictor:
        return BlockPredictor(MeanPredictor(), reading.PhotoReader(), 0.0, 8)

    monkeypatch.setattr(bulk.Model, "files", lambda _: {"landmarker/x": b"1"})
    monkeypatch.setattr(bulk.LoadModels, "__call__", load)
    model = bulk.Model("mean", tmp_path, "torch", 0.0)

    def predict() -> None:
        bulk.predict_table([str(shop)], tmp_path / "out", model, Distributed(), coco=False)

    predict()
    predict()
    assert len(table(tmp_path / "out")) == 7
    for name, other, error in (
        ("version", lambda _: "0", r"holds results for torch \S+, not 0;"),
        ("code_digest", lambda: "0", r"holds results for code of fashion_ops \w+, not 0;"),
    ):
        with monkeypatch.context() as patch, pytest.raises(OutputRefused, match=error):
            patch.setattr(bulk, name, other)
            predict()


def test_coco_results_have_the_landmarks_in_their_slots(shop: Path, tmp_path: Path) -> None:
    predict_here(tmp_path / "out", [str(shop)])
    assert write_coco(tmp_path / "out" / "photos", tmp_path / "coco.json") == 7
    results = json.loads((tmp_path / "coco.json").read_text())
    assert [r["image_id"] for r in results] == [*range(1, 8)]
    slots = CATEGORIES[8].slots
    keypoints = np.reshape(results[0]["keypoints"], (-1, 3))
    assert keypoints.shape == (294, 3) and (results[0]["category_id"], results[0]["bbox"]) == (
        9,
        [0, 0, 1, 1],
    )
    first = table(tmp_path / "out")["garments"][0][0]["landmarks"].reshape(-1, 3)
    np.testing.assert_allclose(keypoints[slots], first, atol=1e-4)
    assert not np.delete(keypoints, np.r_[slots], 0).any()


def test_more_names_than_fit_in_memory_are_sorted_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = write_photos(tmp_path / "p", 50)
    odd = tmp_path / "p" / "3:new\nline.png"
    odd.write_bytes(b"")
    monkeypatch.setattr(listing, "RUN", 7)
    found = [photo.uri for photo in listing.list_photos([str(tmp_path / "p")])]
    assert found == sorted(map(str, [*paths, odd]), key=os.fsencode)


def test_memory_does_not_grow_with_the_number_of_photos(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Listing, manifest and blocks of 2,000 photos and of 20,000; ``bench.bulk`` has the models too."""
    monkeypatch.setattr(listing, "RUN", 1000)
    monkeypatch.setattr(manifest, "ROWS", 1000)
    peaks = []
    for number in (2000, 20_000):
        names = (b"%08d.jpg" % (n * 7919 % number) for n in range(number))
        listed = (listing.Listed(os.fsdecode(name)) for name in listing._sorted(names))
        tracemalloc.start()
        written = manifest.Manifest.write(
            tmp_path / str(number), listed, manifest.Identity([], "mean", "1", {})
        )
        count = sum(len(block.photos) for _, block in written.blocks(()))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert written.photos == count == number
    assert peaks[1] < 1.5 * peaks[0]


def test_a_log_gets_a_line_with_rate_and_time_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, *[100.0] * 20])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    with progress.meter("predict", "photos", 1000, done=100) as advance:
        advance(200)
    assert capsys.readouterr().err.splitlines() == [
        "predict: 300 of 1000 photos, 2.0 photos a second, 0:05:50 left",
        "predict: 200 photos in 100.0 s, 2.0 a second",
    ]
