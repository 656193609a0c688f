"""``fashion-ops select`` as typed: the order, the file, photos of the catalog, photos that fail."""

import csv
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from typer.testing import CliRunner

from fashion_ops.cli import app
from fashion_ops.inference.predictor import Garment
from fashion_ops.serving.labelling.queue import Ranking
from fashion_ops.taxonomy import category

GRAYS = {"a": 40, "b": 90, "c": 140, "d": 190}  # of the photos, by name


class Known:
    """Finds a skirt with deviations in all photos but the darkest; the lighter, the larger they are."""

    pipeline = SimpleNamespace(universal=None)

    def predict_many(self, photos, min_score, variant):
        return [self._skirts(int(p.pixels[0, 0, 0])) for p in photos]

    def _skirts(self, gray):
        if gray < 60:
            return []
        rng, names = np.random.default_rng(gray), category("skirt").landmark_names
        points = {n: (*map(float, rng.uniform(0, 60, 2)), 0.7) for n in names}
        return [Garment("skirt", 0.9, (0.0, 0.0, 60.0, 60.0), points, dict.fromkeys(names, gray / 10))]


@pytest.fixture
def shop(tmp_path, monkeypatch):
    monkeypatch.setattr("fashion_ops.commands.select.load_pipeline", lambda *_: Known())
    monkeypatch.chdir(tmp_path)
    (tmp_path / "new/in").mkdir(parents=True)
    for name, gray in GRAYS.items():
        Image.new("L", (64, 64), gray).save(tmp_path / "new/in" / f"{name}.png")
    return tmp_path


def run(*words):
    return CliRunner().invoke(app, ["select", *words])


def test_the_ranking_begins_with_what_teaches_most_and_the_page_reads_it(shop):
    done = run("new", "--out", "data/ranked.csv", "--count", "3")
    assert done.exit_code == 0, done.output
    rows = list(csv.DictReader(Path("data/ranked.csv").read_text().splitlines()))
    assert rows[0]["photo"] == "../new/in/d.png" and len(rows) == 3
    gains = [float(row["gain"]) for row in rows]
    assert gains == sorted(gains, reverse=True) and rows[0]["lowest_score"] == "0.7000"
    assert Ranking.read(Path("data/ranked.csv")).photos[0].resolve() == (shop / "new/in/d.png")
    assert Ranking.read(Path("data/ranked.csv")) == Ranking.read(shop / "new/../data/ranked.csv")
    assert run("new", "--out", "data/ranked.csv").exit_code == 0  # its own file is replaced
    assert "photo,gain,garments,lowest_score" in run("new").stdout
    Path("mine.csv").write_text("a,b\n")
    refused = run("new", "--out", "mine.csv")
    assert refused.exit_code == 2 and Path("mine.csv").read_text() == "a,b\n"


def test_photos_of_the_catalog_are_left_out_and_what_cannot_be_read_is_said(shop, monkeypatch):
    import hashlib

    digest = hashlib.sha256((shop / "new/in/d.png").read_bytes()).hexdigest()
    monkeypatch.setenv("FASHION_OPS_ROOT", str(shop))
    (shop / "data/catalog").mkdir(parents=True)
    (shop / "data/catalog/images.parquet").touch()
    known = SimpleNamespace(
        images=pd.DataFrame({"sha256": [digest]}),
        garments=pd.DataFrame(columns=["split", "num_labelled", "category_id", "landmarks"]),
    )
    monkeypatch.setattr("fashion_ops.catalog.reader.Catalog", lambda _: known)
    (shop / "new/broken.png").write_bytes(b"no photo")
    done = run("new")
    assert done.exit_code == 1
    assert "d.png" not in done.stdout and "c.png" in done.stdout
    assert "broken.png" in done.stderr and "1 photos are in the catalog already" in done.stderr


def test_a_photo_is_ranked_once_however_many_copies_of_it_there_are(shop):
    for name in ("0/copy.png", "in/z.png"):
        (shop / "new" / name).parent.mkdir(exist_ok=True)
        (shop / "new" / name).write_bytes((shop / "new/in/d.png").read_bytes())
    done = run("new", "--out", "ranked.csv")
    assert done.exit_code == 0, done.output
    assert "2 photos are copies of others of the folder and were left out" in done.stderr
    names = sorted(photo.name for photo in Ranking.read(Path("ranked.csv")).photos)
    assert names == ["a.png", "b.png", "c.png", "copy.png"]


def test_a_photo_that_cannot_be_read_or_named_is_reported_and_the_others_are_ranked(shop):
    import os

    os.mkfifo(shop / "new/pipe.jpg")
    (shop / "new" / os.fsdecode(b"x\xff.png")).write_bytes((shop / "new/in/a.png").read_bytes())
    done = run("new", "--out", "ranked.csv")
    assert done.exit_code == 1 and "pipe.jpg" in done.stderr and "is not UTF-8" in done.stderr
    assert "2 photos cannot be read" in done.stderr
    assert len(Ranking.read(Path("ranked.csv")).photos) == 4


def test_a_ranking_behind_a_link_names_the_same_photos(shop):
    (shop / "deep/er").mkdir(parents=True)
    (shop / "link").symlink_to(shop / "deep/er")
    assert run("new", "--out", "link/ranked.csv").exit_code == 0
    assert all(photo.is_file() for photo in Ranking.read(Path("link/ranked.csv")).photos)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\xff\xfe\x00", "cannot be read as a ranking"),
        (b"name,gain\na.jpg,1\n", "no column photo"),
        (b"gain,photo\n1\n", "row 1 names no photo"),
        (b"photo\na\0b/c.jpg\n", "row 1 names no photo"),
        (b"photo\n" + b"x" * 200_000, "cannot be read as a ranking"),
    ],
)
def test_a_ranking_that_is_none_is_refused_in_a_line_with_its_name(tmp_path, content, said):
    (tmp_path / "ranked.csv").write_bytes(content)
    with pytest.raises(ValueError, match=said) as caught:
        Ranking.read(tmp_path / "ranked.csv")
    assert str(tmp_path / "ranked.csv") in str(caught.value)
    with pytest.raises(FileNotFoundError, match="is missing"):
        Ranking.read(tmp_path / "none.csv")
    (tmp_path / "excel.csv").write_bytes(b"\xef\xbb\xbfphoto,gain\r\na.jpg,1\r\n")
    assert Ranking.read(tmp_path / "excel.csv").photos == [tmp_path / "a.jpg"]
