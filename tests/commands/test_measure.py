"""``fashion-ops measure`` as typed: files of each photo, tables, pixels that say so, failures."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from bench.flat_lay_photos import flat_lay
from fashion_ops.cli import app
from fashion_ops.inference.predictor import Garment
from fashion_ops.measurement.points import points_of_measure
from fashion_ops.taxonomy import category

SHOT = flat_lay(8, thing="A4")  # a skirt


class Known:
    """A predictor that finds the garment of ``SHOT`` in every photo, with its true landmarks."""

    min_score = 0.3

    def predict_many(self, photos, min_score):
        names = category(SHOT.category).landmark_names
        box = (*SHOT.pixels.min(0), *SHOT.pixels.max(0))
        points = {n: (*map(float, p), 1.0) for n, p in zip(names, SHOT.pixels, strict=True)}
        points["left_hem"] = (*points["left_hem"][:2], 0.1)
        return [[Garment(SHOT.category, 0.9, tuple(map(float, box)), points)] for _ in photos]


@pytest.fixture
def shop(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr("fashion_ops.commands.sizes.load_pipeline", lambda *_: Known())
    monkeypatch.chdir(tmp_path)
    (tmp_path / "S").mkdir()
    Image.fromarray(SHOT.photo).save("S/a.jpg", quality=95)
    Image.fromarray(np.full_like(SHOT.photo, 140)).save("S/b.png")
    return tmp_path


def run(*words):
    return CliRunner().invoke(app, ["measure", *words])


def rows(path) -> list[dict]:
    return list(csv.DictReader(Path(path).read_text().splitlines()))


def test_each_photo_has_json_and_a_drawing_and_all_have_a_table(shop) -> None:
    for _ in range(2):  # its own results are replaced
        done = run("S/a.jpg", "S/b.png", "--out", "out", "--chart")
        assert done.exit_code == 0, done.output
    good, plain = (json.loads(Path(f"out/{name}.json").read_text()) for name in "ab")
    assert good["unit"] == "cm" and good["reference"]["name"] == "A4 paper"
    assert plain["unit"] == "px" and "not centimetres" in plain["note"]
    assert "S/b.png: no reference found" in done.stderr
    table = rows("out/sizes.csv")
    for point in points_of_measure("skirt"):
        size = good["garments"][0]["sizes"][point.name]
        truth = float(point.length(SHOT.cm))
        assert size["value"] == pytest.approx(truth, abs=0.4)
        assert size["interval_95"][0] < truth < size["interval_95"][1]
        by_photo = {r["photo"]: r for r in table if r["size"] == point.name}
        assert float(by_photo["S/a.jpg"]["value"]) == size["value"]
        assert by_photo["S/b.png"]["unit"] == "px" and by_photo["S/b.png"]["reference"] == ""
    assert good["garments"][0]["sizes"]["hem"]["occluded"] == ["left_hem"]
    chart = rows("out/size_chart.csv")
    shown = {n for n, size in good["garments"][0]["sizes"].items() if size["shown"]}
    assert {r["size"] for r in chart} == shown and {r["label"] for r in chart} <= {"S"}
    with Image.open("out/a.png") as drawn, Image.open("out/b.png") as warned:
        assert drawn.height > 900 and drawn.info["Software"] == "fashion-ops measure"
        corner = warned.convert("RGB").getpixel((warned.width - 2, warned.height - 2))
    assert corner == (190, 60, 20)  # the strip of warning


def test_the_results_of_predict_and_a_bad_photo_stay_apart(shop) -> None:
    Path("bad.jpg").write_text("no photo")
    done = run("bad.jpg", "S/a.jpg", "--out", "out", "--reference", "none")
    assert done.exit_code == 1 and "bad.jpg: image cannot be decoded" in done.stderr
    assert {row["unit"] for row in rows("out/sizes.csv")} == {"px"}
    Path("other").mkdir()
    Path("other/a.json").write_text(json.dumps({"photo": "a.jpg", "garments": []}))  # predict's
    refused = run("S/a.jpg", "--out", "other")
    assert refused.exit_code == 2 and "`fashion-ops measure` did not make it" in refused.stderr


def test_a_call_that_measures_nothing_keeps_the_tables_of_an_earlier_one(shop) -> None:
    assert run("S/a.jpg", "--out", "out", "--chart").exit_code == 0
    before = [Path(f"out/{name}.csv").read_bytes() for name in ("sizes", "size_chart")]
    assert run("S/mistyped.jpg", "--out", "out", "--chart").exit_code == 1
    assert [Path(f"out/{name}.csv").read_bytes() for name in ("sizes", "size_chart")] == before
