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
