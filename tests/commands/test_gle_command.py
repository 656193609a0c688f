"""``fashion-ops gle train|predict`` on tiny synthetic FLD: folder, table, score, errors."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from synthetic_alignment import read_in, write_alignment_data
from typer.testing import CliRunner

from fashion_ops.catalog.alignment.reader import AlignmentCatalog
from fashion_ops.cli import app
from fashion_ops.commands.gle import PREDICTIONS
from fashion_ops.files.outputs import check_file, check_folder
from fashion_ops.methods.alignment.gle.inference import GLEPredictor
from fashion_ops.methods.alignment.gle.training import MODEL
from fashion_ops.methods.parts.device import CPU
from fashion_ops.taxonomy.alignment import points_of_type

SETTINGS = "backbone: tiny\nmodules: 1\ncrop: [32, 32]\nepochs: 2\nbatch_size: 8\nprecision: fp32\n"
CATALOG = "data/alignment/catalog/fld"
runner = CliRunner()


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """A workspace with a catalog of FLD: 30 training and 5 test garments."""
    home = tmp_path_factory.mktemp("gle")
    raw = write_alignment_data(home / "raw", items=0, people=0)
    read_in("fld", raw / "fld", home / CATALOG)
    (home / "gle.yaml").write_text(SETTINGS, encoding="utf-8")
    (home / "params.yaml").write_text("{}\n", encoding="utf-8")
    return home


@pytest.fixture
def here(home, monkeypatch):
    monkeypatch.chdir(home)
    return home


def test_train_predict_score(here):
    """The table holds each test garment's landmarks, as the folder alone predicts them."""
    done = runner.invoke(app, ["gle", "train", "--config", "gle.yaml", "--out", "models/gle"])
    assert done.exit_code == 0 and "models/gle: trained on 30 garments of fld" in done.output
    assert not list(here.glob(".checkpoints/**/*.ckpt"))  # a finished run leaves none behind
    done = runner.invoke(app, ["gle", "predict"])
    assert done.exit_code == 0 and "reports/gle.parquet: 5 garments" in done.output
    check_folder(here / "models/gle", MODEL)  # both may be replaced
    check_file(here / "reports/gle.parquet", PREDICTIONS)

    catalog = AlignmentCatalog(here / CATALOG)
    test = catalog.points("test")
    table = pd.read_parquet(here / "reports/gle.parquet").set_index("garment_id")
    predictions = GLEPredictor.load(here / "models/gle", CPU).predict(
        catalog.image, test.image_id, test.box
    )
    for garment, kind, landmarks in zip(test.garment_id, test.clothes_type, predictions, strict=True):
        expected = landmarks[points_of_type(int(kind)).slots]
        np.testing.assert_allclose(
            table.loc[garment, "landmarks"], expected.ravel(), rtol=1e-4, atol=1e-3
        )

    command = ["score", "--metric", "ne", "--annotations", CATALOG, "--json"]
    scored = runner.invoke(app, [*command, "--predictions", "reports/gle.parquet"])
    assert scored.exit_code == 0, scored.output
    report = json.loads(scored.stdout)
    side = (test.box[:, 2:] - test.box[:, :2]).max(1)[:, None]
    off = np.linalg.norm(predictions[..., :2] - test.xy, axis=-1) / side
    assert report["garments"] == 5
    assert report["rows"][0]["micro"] == pytest.approx(off[test.visibility == 2].mean(), rel=1e-3)


def test_an_interrupted_run_goes_on(here, monkeypatch):
    """Killed after the first of two epochs and started again: the same network, bit for bit."""
    from fashion_ops.methods.alignment.gle import training

    whole = here / "models/whole"
    assert (
        runner.invoke(app, ["gle", "train", "--config", "gle.yaml", "--out", str(whole)]).exit_code == 0
    )
    fit = training.fit

    def until_killed(module, dataset, options):
        def killed(epoch, losses):
            raise KeyboardInterrupt

        return fit(module, dataset, replace(options, on_epoch=killed))

    with monkeypatch.context() as patch:
        patch.setattr(training, "fit", until_killed)
        stopped = runner.invoke(app, ["gle", "train", "--config", "gle.yaml", "--out", "models/twice"])
    assert stopped.exit_code != 0 and not (here / "models/twice").exists()
    assert list(here.glob(".checkpoints/gle.ckpt"))
    done = runner.invoke(app, ["gle", "train", "--config", "gle.yaml", "--out", "models/twice"])
    assert done.exit_code == 0, done.output
    weights = [folder / "weights.safetensors" for folder in (whole, here / "models/twice")]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_the_checkpoint_of_other_data_is_refused(here, monkeypatch):
    """Interrupted on FLD and started on In-shop: the run does not go on with FLD's network."""
    from fashion_ops.methods.alignment.gle import training

    raw = write_alignment_data(here / "shop", items=10, people=0)
    read_in("in_shop", raw / "in_shop", here / "data/alignment/catalog/in_shop")
    fit = training.fit

    def until_killed(module, dataset, options):
        def killed(epoch, losses):
            raise KeyboardInterrupt

        return fit(module, dataset, replace(options, on_epoch=killed))

    command = ["gle", "train", "--config", "gle.yaml", "--out", "models/other"]
    with monkeypatch.context() as patch:
        patch.setattr(training, "fit", until_killed)
        assert runner.invoke(app, command).exit_code != 0
    checkpoint = here / ".checkpoints/gle.ckpt"
    assert checkpoint.is_file()
    done = runner.invoke(app, [*command, "--source", "in_shop"])
    assert done.exit_code == 2 and "of another run, with training data" in done.output, done.output
    assert "delete it to start over" in done.output and not (here / "models/other").exists()
    checkpoint.unlink()


def test_what_is_missing_is_named(here):
    raw = write_alignment_data(here / "sides", items=4, people=6)
    read_in("in_shop", raw / "in_shop", here / "data/alignment/catalog/shop")
    read_in("lsp", raw / "lsp", here / "data/alignment/catalog/lsp")
    runner.invoke(app, ["gle", "train", "--config", "gle.yaml", "--out", "models/gle"])
    for command, words in (
        (["gle", "predict", "--source", "shop"], "no garments in split 'test'; garments: gallery ("),
        (["gle", "predict", "--split", "nothing"], "no garments in split 'nothing'; garments: test ("),
        (["gle", "train", "--source", "lsp"], "garments: none in any split"),
        (["gle", "predict", "--model", "nowhere"], "nowhere"),
        (["gle", "train", "--source", "consumer_to_shop"], "`fashion-ops ingest_alignment` makes one"),
        (["gle", "train", "--config", "no.yaml"], "no.yaml: cannot be read"),
    ):
        done = runner.invoke(app, command)
        assert done.exit_code == 2 and words in done.output, done.output
