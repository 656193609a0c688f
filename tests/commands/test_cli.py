"""The command line: names, errors, and scores of other people's results."""

import json
from pathlib import Path

import pytest
from typer.core import TyperGroup
from typer.main import get_command
from typer.testing import CliRunner

from fashion_ops.cli import app
from fashion_ops.steps import STEPS

ORACLE = Path(__file__).parents[3] / "shared" / "samples" / "oks_oracle"
runner = CliRunner()


def test_every_step_is_a_command():
    printed = runner.invoke(app, ["--help"]).stdout
    for step in (*STEPS, "predict", "score"):
        assert step in printed


def test_bad_parameters_are_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text("ingest: {shard_mb: 0}\n")
    done = runner.invoke(app, ["ingest"])
    assert done.exit_code == 2
    assert "ingest.shard_mb" in done.output and "got 0" in done.output


def test_unknown_category_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text("{}\n")
    done = runner.invoke(app, ["finetune", "--category", "jeans"])
    assert done.exit_code == 2
    assert "jeans" in done.output


def test_predict_without_a_model_says_so(tmp_path):
    done = runner.invoke(
        app, ["predict", "photo.jpg", "--out", str(tmp_path / "out"), "--model", str(tmp_path)]
    )
    assert done.exit_code == 2
    assert "no model here" in done.output


@pytest.mark.skipif(not ORACLE.is_dir(), reason="the samples beside the repository are missing")
def test_score_equals_the_official_evaluator():
    expected = json.loads((ORACLE / "expected.json").read_text())["cases"]["vis_and_occ/noisy"]
    truth = ORACLE.parent / "deepfashion2_demo" / "annotations_coco.json"
    files = ["--annotations", str(truth), "--predictions", str(ORACLE / "pred_noisy.json")]
    scores = json.loads(runner.invoke(app, ["score", *files, "--json"]).stdout)
    assert scores["stats"] == pytest.approx(expected["stats"], abs=1e-6)
    assert scores["per_category_AP"] == pytest.approx(expected["per_category_AP"], abs=1e-6)
    printed = runner.invoke(app, ["score", *files]).stdout
    assert "AP                        0.7581" in printed and "short_sleeve_top" in printed


@pytest.mark.skipif(not ORACLE.is_dir(), reason="the samples beside the repository are missing")
def test_score_prints_the_files_names_and_warns_once(tmp_path):
    data = json.loads((ORACLE.parent / "deepfashion2_demo" / "annotations_coco.json").read_text())
    for row, name in zip(data["categories"][:3], ("Shirt", "vest", None), strict=True):
        row["name"] = name
    data["categories"].append({"id": 99, "name": "hat"})
    data["annotations"].append(data["annotations"][0])
    (tmp_path / "gt.json").write_text(json.dumps(data))
    files = [
        "--annotations",
        str(tmp_path / "gt.json"),
        "--predictions",
        str(ORACLE / "pred_noisy.json"),
    ]
    with pytest.warns(UserWarning, match="is also that of annotation 0") as caught:
        done = runner.invoke(app, ["score", *files])
    assert done.exit_code == 0 and len(caught) == 1
    labels = [line[:-8].rstrip() for line in done.stdout.splitlines()[10:]]
    assert labels[:4] == [
        "Shirt (id 1)",
        "vest",
        "short_sleeve_outwear",
        "long_sleeved_outwear (long_sleeve_outwear)",
    ]
    assert labels[-1] == "hat (id 99)"


def test_score_names_what_is_wrong(tmp_path):
    (tmp_path / "gt.json").write_text("[]")
    files = ["--annotations", str(tmp_path / "gt.json"), "--predictions", "nowhere.json"]
    done = runner.invoke(app, ["score", *files])
    assert done.exit_code == 2
    assert "gt.json: not a COCO annotation file" in done.output


def test_every_command_answers() -> None:
    """Each, and each of a group, tells what it is for."""
    command = get_command(app)
    assert isinstance(command, TyperGroup)
    assert {"finetune", "promote", "restore", "pseudo-label", "check-cache"} < set(command.commands)
    assert {"ablate", "plan", "distributed", "fleet", "gle"} < set(command.commands)
    for name, sub in command.commands.items():
        calls = [[name, inner] for inner in sub.commands] if isinstance(sub, TyperGroup) else [[name]]
        for words in calls:
            done = runner.invoke(app, [*words, "--help"])
            assert done.exit_code == 0 and "Usage" in done.output, words
