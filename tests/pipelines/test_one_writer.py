"""Dagster's runs, the command line and the schedule share the lock of the workspace."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from fashion_ops.cli import app
from fashion_ops.files.outputs import OutputRefused
from fashion_ops.files.writers import FOLDER, other_writer
from pipelines import run as pipelines_run
from pipelines.home import prepare_home
from pipelines.jobs import why_not_now
from pipelines.run import failures, run

ROOT = Path(__file__).parents[2]
WRITER = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from pathlib import Path
from fashion_ops.workspace import Workspace
with Workspace(Path(sys.argv[1])).writing("fashion-ops train_detector"):
    print("in", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def other(repository: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[subprocess.Popen[str]]:
    """Another process that writes to the workspace, until it reads a line."""
    monkeypatch.setenv("FASHION_OPS_ROOT", str(repository.root))
    monkeypatch.delenv("DAGSTER_HOME", raising=False)
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(repository.root)],
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None and process.stdout.readline() == "in\n"
    yield process
    process.kill()
    process.communicate(timeout=60)


def test_a_second_writer_is_told_who_the_first_one_is(
    repository: Any,
    stages: Any,
    other: subprocess.Popen[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`pipelines.run`, a run that Dagster started, steps as typed, and the schedule."""
    who = f"`fashion-ops train_detector` writes here: process {other.pid} on"
    with pytest.raises(SystemExit, match="2"):
        pipelines_run.main(["--force", "--select", "ingest", "aggregate"])
    said = capsys.readouterr().err
    assert who in said and said.count("\n") == 1
    results = run(repository.root, repository.instance, ("ingest", "aggregate"), force=True)
    assert not results[0].success and any(who in line for line in failures(results))
    assert who in str(why_not_now(repository.instance, "pipeline"))
    monkeypatch.chdir(repository.root)
    for words in (["aggregate"], ["finetune", "--category", "skirt"], ["dfa_stage"], ["batches"]):
        done = CliRunner().invoke(app, words)
        assert done.exit_code == 2 and who in done.output.replace("\n", " "), words
    recipe = repository.root / "recipe.yaml"
    recipe.write_text("seed: 7\n")
    assert CliRunner().invoke(app, ["configure", str(recipe)]).exit_code == 2
    assert stages.calls == [] and not (repository.root / "dvc.lock").exists()
    # It ends, and everybody may write again, one after the other.
    other.communicate("\n", timeout=60)
    assert why_not_now(repository.instance, "pipeline") is None
    results = run(repository.root, repository.instance, ("synthesize", "ingest", "aggregate"))
    assert failures(results) == [] and other_writer(repository.root) is None
    assert CliRunner().invoke(app, ["pseudo_label"]).exit_code == 0
    assert stages.calls == ["synthesize", "ingest", "aggregate", "pseudo_label"]
    assert [p.name for p in (repository.root / FOLDER).iterdir()] == ["gate"]


def test_a_run_is_the_only_writer_from_its_first_step_to_its_end(repository: Any, stages: Any) -> None:
    """Also between two steps; and after a step that fails the next run may write."""
    told: list[str] = []

    def ask(stage: str) -> None:
        records = list((repository.root / FOLDER).glob("*.json"))
        told.append(f"{stage}: {[record.read_text().count('Dagster run') for record in records]}")

    stages.during = ask
    stages.failing["aggregate"] = ValueError("broken")
    results = run(repository.root, repository.instance, ("synthesize", "ingest", "aggregate"))
    assert not results[0].success
    assert told == ["synthesize: [1]", "ingest: [1]", "aggregate: [1]"]
    assert [p.name for p in (repository.root / FOLDER).iterdir()] == ["gate"]


def test_settings_of_somebody_elses_dagster_are_not_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """DAGSTER_HOME may name a folder that other projects use."""
    ours = "# Dagster's instance; `python -m pipelines.home` copies it into DAGSTER_HOME.\n"
    (tmp_path / "infra").mkdir()
    (tmp_path / "infra" / "dagster.yaml").write_text(f"{ours}telemetry: {{enabled: false}}\n")
    (tmp_path / "home").mkdir()
    settings = tmp_path / "home" / "dagster.yaml"
    settings.write_text("telemetry: {enabled: true}\n")
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "home"))
    with pytest.raises(OutputRefused, match=r"home/dagster\.yaml: exists"):
        prepare_home(tmp_path)
    assert settings.read_text() == "telemetry: {enabled: true}\n"
    settings.write_text(f"{ours}of an earlier version\n")
    prepare_home(tmp_path)
    assert settings.read_text().startswith(f"{ours}telemetry")
