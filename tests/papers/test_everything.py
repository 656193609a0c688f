"""The table of every technique at a tiny size: rows, pairs of seeds, costs, files, going on."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from untrained_models import make_catalog, tiny_params

from fashion_ops.distributed.payload import Result
from fashion_ops.inference.landmark_pipeline import LandmarkPipeline
from fashion_ops.steps import finetune, refine, train_landmarker
from fashion_ops.steps.refine import RefineJob
from fashion_ops.workspace import Workspace
from papers import landmarker_runs as runs
from papers.config import TableConfig
from papers.everything import everything, measure
from papers.everything.techniques import ALL, BASE, PLAIN, TECHNIQUES

ROWS = ("81 channels", "flip at test", "finetuned + PoseFix")


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> TableConfig:
    ws = Workspace(tmp_path_factory.mktemp("everything"))
    params = tiny_params(ws)
    make_catalog(params, ws)
    return TableConfig(params, ws, images=4, seeds=(0, 1), rows=ROWS)


@pytest.fixture(scope="module")
def table(config):
    """Finetuned models and refiners are untrained: their trainings are tested elsewhere."""
    tune, correct = finetune.work, refine.work

    def untrained(job: finetune.FinetuneJob, *_: object) -> Result:
        return tune(replace(job, garments=job.garments.take(np.arange(0))))

    def unrefined(job: RefineJob, *_: object) -> Result:
        return correct(replace(job, garments=job.garments.take(np.arange(0))))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finetune, "work", untrained)
        patch.setattr(refine, "work", unrefined)
        yield everything.run(config)


def test_each_row_is_compared_with_the_baseline_of_its_seed(table):
    rows = table.rows
    assert list(rows.index) == [BASE, *ROWS]
    assert rows["AP"].between(0, 1).all() and rows["NE"].between(0, 3).all()
    assert rows[["gain", "± 95 %"]].loc[BASE].isna().all()
    by_hand = everything.table_of(
        {
            BASE: [dict.fromkeys(("AP", "NE", "training", "prediction"), 0.2)] * 2,
            "a": [dict.fromkeys(("AP", "NE", "training", "prediction"), v) for v in (0.3, 0.5)],
        }
    )
    assert by_hand.loc["a", "gain"] == pytest.approx(0.2)
    assert by_hand.loc["a", "± 95 %"] == pytest.approx(12.706 * 0.1 * 2**0.5 / 2**0.5)


def test_costs_are_multiples_of_the_baseline(table):
    rows = table.rows
    assert rows.loc[BASE, "training x"] == 1.0
    assert rows.loc["flip at test", "training x"] == 1.0  # the same network
    assert rows.loc["finetuned + PoseFix", "training x"] > 1.0
    assert rows.loc["flip at test", "prediction x"] > 1.0


def test_the_cost_of_an_interrupted_training_is_unknown(config, monkeypatch):
    """Its checkpoint is there when it goes on, which is short."""
    params = runs.with_changes(config.params, seed=9, train_landmarker={"epochs": 2})
    kind, work = ("universal", runs.UNIVERSAL), train_landmarker.work

    def killed(job: train_landmarker.LandmarkerJob, checkpoint: Path) -> Result:
        work(job, checkpoint)
        raise KeyboardInterrupt

    monkeypatch.setattr(train_landmarker, "work", killed)
    with pytest.raises(KeyboardInterrupt):
        measure._timed(kind, params, config, runs.universal)
    monkeypatch.setattr(train_landmarker, "work", work)
    for _ in range(2):
        ws, seconds = measure._timed(kind, params, config, runs.universal)
        assert runs.is_trained(ws.landmarker) and np.isnan(seconds)


def test_what_is_measured_is_not_made_again(table, config, monkeypatch):
    monkeypatch.setattr(train_landmarker, "run", lambda *_: pytest.fail("trained again"))
    monkeypatch.setattr(LandmarkPipeline, "predict", lambda *_, **__: pytest.fail("predicted again"))
    again = everything.run(config).rows
    assert again.equals(table.rows)
    changed = measure._results(
        config, TECHNIQUES[BASE], TECHNIQUES[BASE].params(config.params, 7), _Evaluated()
    )
    assert not changed.is_file()


class _Evaluated:
    name = "others"


def test_every_row_changes_what_it_says_and_no_more(config):
    """Rows are many, from all papers, and a plain network has nothing switched on."""
    assert len(TECHNIQUES) >= 16
    assert {t.paper for t in TECHNIQUES.values()} >= {"A&F", "DeepMark++", "DFA", "PCLoss"}
    plain = TECHNIQUES[BASE].params(config.params, 3)
    assert plain.seed == 3 and plain.aggregate.grouping == "none"
    base = plain.train_landmarker.model_dump()
    assert {key: base[key] for key in PLAIN["train_landmarker"]} == PLAIN["train_landmarker"]
    for name, technique in TECHNIQUES.items():
        made = technique.params(config.params, 3)
        changed = {k for k, v in made.train_landmarker.model_dump().items() if v != base[k]}
        assert changed == set(technique.training) | ({"decode_prior"} if technique.prior else set())
        assert made.refine.decode_prior == technique.prior
        switched = changed | set(technique.decoding) | {technique.score, technique.variant}
        switched |= {made.aggregate.grouping}
        if "backbone" in switched:
            switched -= {"lr"}  # a backbone trains at its own rate
        assert name in (BASE, ALL) or len(switched - {"all", "universal", "none"}) == 1
    other = runs.with_changes(config.params, refine={"batch_size": 3})
    sections = measure._refine_sections("skirt")
    assert runs._decisive(other, sections) != runs._decisive(config.params, sections)


def test_the_picture_has_a_bar_for_each_technique(table, tmp_path):
    everything.draw(table, tmp_path / "everything.png")
    assert (tmp_path / "everything.png").read_bytes().startswith(b"\x89PNG")
