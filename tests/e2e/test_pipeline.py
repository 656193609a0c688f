"""The whole chain, tiny: by Dagster, seen by DVC; by DVC, seen by Dagster; registered and used.

The tests run in order on one copy of the repository, as a user's afternoon would. Where there is a
browser, the first run is one that a user starts on Dagster's pages.
"""

import json
import sqlite3
from dataclasses import dataclass

import pytest
from browser import find_browser
from dagster_pages import dagster_dev

from fashion_ops.steps import STEPS
from fashion_ops.taxonomy import CATEGORY_NAMES, category

pytestmark = pytest.mark.e2e
STAGES = [
    *("synthesize", "ingest", "aggregate", "pseudo_label", "drift"),
    *("train_detector", "tune_postprocess", "train_box_detector", "train_landmarker"),
    *(f"finetune@{name}" for name in CATEGORY_NAMES),
    *(f"refine@{name}" for name in CATEGORY_NAMES),
    *("synthesize_alignment", "ingest_alignment"),
    *("dfa_stage@1", "dfa_stage@2", "dfa_stage@3", "train_gle"),
    "evaluate",
]


@dataclass(frozen=True)
class Seen:
    """What Dagster's pages showed: statuses, each box's colour, one partition, the table."""

    everything: str
    one: str
    colours: dict[str, str]
    partition: dict[str, str]
    curve: int
    table: list[list[str]]
    log: str


@pytest.fixture(scope="module")
def seen(clone):
    """What a user sees who materializes everything, then one partition; None without a browser."""
    if find_browser() is None:
        return None
    with dagster_dev(clone) as pages:
        everything = pages.materialize_all()
        colours = pages.colours()
        one = pages.materialize_partition("finetune", "skirt")
        pages.open_partition("finetune", "skirt")
        shown = (pages.metadata(), pages.image_width("loss"), pages.table("evaluate"))
        return Seen(everything, one, colours, *shown, pages.log())


@pytest.fixture(scope="module")
def made(clone, seen):
    """The clone after everything was run by Dagster; what the last run in a terminal printed."""
    done = clone.python("-m", "pipelines.run", "--summary")
    return clone, done.stdout + done.stderr


def materialized(clone) -> set[tuple[str, str | None]]:
    """(asset, partition) pairs in Dagster's persistent history."""
    database = next((clone.root / ".dagster").rglob("index.db"))
    with sqlite3.connect(database) as connection:
        rows = connection.execute(
            "select asset_key, partition from event_logs "
            "where dagster_event_type = 'ASSET_MATERIALIZATION'"
        ).fetchall()
    return {(json.loads(key)[0], partition) for key, partition in rows}


def test_materialize_all_turns_every_asset_green(seen):
    if seen is None:
        pytest.skip("no browser: install chromium")
    assert seen.everything == "COMPLETED_SUCCESS", seen.log
    assert set(seen.colours.values()) == {"green"} and len(seen.colours) == len(STEPS) + 1  # batches


def test_one_partition_shows_what_was_made(clone, seen):
    if seen is None:
        pytest.skip("no browser: install chromium")
    assert seen.one == "SUCCESS", seen.log
    shown = seen.partition
    assert shown["dvc md5"] == clone.lock()["finetune@skirt"]["outs"][0]["md5"]
    assert shown["epochs"] == "1" and int(shown["train garments"]) > 0
    assert "/#/experiments/" in shown["mlflow run"]
    assert 0 <= float(shown["AP finetuned"]) <= 1 and float(shown["last loss"]) > 0
    assert seen.curve > 100
    header, *rows = seen.table
    assert header[:2] == ["category", "train"] and "refined" in header
    assert [row[0] for row in rows] == list(CATEGORY_NAMES)


def test_dagster_makes_everything_and_tells_what_to_do_next(made):
    clone, printed = made
    assert sorted(clone.lock()) == sorted(STAGES)
    for word in ("report.html", "garment-landmarks version 1", "make ui", "fashion-ops predict"):
        assert word in printed
    assert (clone.root / "reports/evaluation/report.html").is_file()
    assert len(list((clone.root / "reports/evaluation/pictures").glob("*.png"))) == 2
    metrics = json.loads((clone.root / "reports/evaluation/metrics.json").read_text())
    assert list(metrics["per_category"]) == list(CATEGORY_NAMES)
    assert metrics["landmark_ap"]["mean_shape"] > 0
    history = materialized(clone)
    assert {("finetune", n) for n in CATEGORY_NAMES} | {
        ("evaluate", None),
        ("register", None),
    } <= history


def test_dvc_finds_it_clean(made):
    clone, _ = made
    assert json.loads(clone.run("dvc", "status", "--json").stdout) == {}
    assert "up to date" in clone.run("dvc", "repro").stdout


def test_running_again_does_nothing(made):
    clone, _ = made
    before = clone.lock()
    printed = clone.python("-m", "pipelines.run", "--select", "ingest", "finetune", "evaluate").stderr
    assert "ingest: current" in printed and "finetune: current" in printed
    assert clone.lock() == before


def test_registered_model_predicts_like_the_folder(made, tmp_path):
    clone, _ = made
    photo = str(sorted((clone.root / "data/raw/validation/image").glob("*.jpg"))[0])
    answers = []
    for name, model in (("a", "models:/garment-landmarks@challenger"), ("b", "models")):
        out = tmp_path / name
        clone.run(
            *("fashion-ops", "predict", photo, "--out", str(out), "--model", model),
            *("--min-score", "0"),
        )
        answers.append(json.loads(next(out.glob("*.json")).read_text()))
        assert next(out.glob("*.png")).stat().st_size > 10_000
    assert answers[0] == answers[1]
    assert answers[0]["garments"], "an untrained detector with no threshold finds something"
    for garment in answers[0]["garments"]:
        assert list(garment["landmarks"]) == list(category(garment["category"]).landmark_names)


def test_served_model_answers_like_the_predictor(made):
    clone, _ = made
    code = """
import json, pathlib, mlflow, pandas, fashion_ops
from fashion_ops.registry.client import connect
connect(pathlib.Path())
photo = sorted(pathlib.Path("data/raw/validation/image").glob("*.jpg"))[0]
model = mlflow.pyfunc.load_model("models:/garment-landmarks@challenger")
frame = pandas.DataFrame({"image": [photo.read_bytes()]})
served = json.loads(model.predict(frame, params={"min_score": 0.0})["garments"][0])
own = [g.to_json() for g in fashion_ops.load("models").predict(photo, min_score=0.0)]
assert served == own and own, (len(served), len(own))
"""
    clone.python("-c", code)


def test_promotion_follows_the_gate(made):
    clone, _ = made
    refused = clone.run("fashion-ops", "promote", check=False)
    assert "min_ap" in refused.stdout + refused.stderr  # an hour-old hatchling is no champion
    params = clone.params
    params["promote"] |= {"min_ap": 0.0, "min_box_ap": 0.0, "max_latency_ms": 60000.0}
    clone.set_params(params)
    clone.run("fashion-ops", "promote")
    code = """
import pathlib
from fashion_ops.registry.client import connect
client = connect(pathlib.Path())
print(client.get_model_version_by_alias("garment-landmarks", "champion").version)
"""
    assert clone.python("-c", code).stdout.strip() == "1"


def test_one_learning_rate_changes_exactly_its_category(made):
    """Then ``dvc repro`` remakes only those, and Dagster learns of it from ``dvc.lock``."""
    clone, _ = made
    before = clone.lock()
    params = clone.params
    params["categories"]["skirt"]["finetune"]["lr"] = 0.002
    clone.set_params(params)
    stale = json.loads(clone.run("dvc", "status", "--json").stdout)
    assert sorted(stale) == ["evaluate", "finetune@skirt", "refine@skirt"]
    clone.run("dvc", "repro")
    after = clone.lock()
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {"evaluate", "finetune@skirt", "refine@skirt"}
    assert json.loads(clone.run("dvc", "status", "--json").stdout) == {}

    code = """
from dagster import DagsterInstance, build_sensor_context
from pipelines.resources import RepositoryResource
from pipelines.sensors import dvc_lock
with DagsterInstance.get() as instance:
    resources = {"repository": RepositoryResource(root=".")}
    with build_sensor_context(instance=instance, resources=resources) as context:
        print(dvc_lock.evaluate_tick(context).skip_message)
"""
    told = clone.python("-c", code).stdout.strip().splitlines()[-1]
    assert sorted(told.removeprefix("reported ").split(", ")) == [
        "evaluate",
        "finetune@skirt",
        "refine@skirt",
    ]


def test_dvc_made_the_same_bits_as_dagster(made):
    """The same stage with the same inputs: by Ray under Dagster before, by DVC alone now."""
    clone, _ = made
    wanted = clone.lock()["refine@shorts"]["outs"]
    clone.run("dvc", "repro", "--force", "--single-item", "--no-run-cache", "refine@shorts")
    assert clone.lock()["refine@shorts"]["outs"] == wanted
