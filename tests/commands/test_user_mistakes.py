"""Every mistake of a user is one line that names it and its mend; no traceback without ``--debug``."""

import errno
import json
import os
import re
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import pytest
import torch
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError
from typer.testing import CliRunner
from untrained_models import DETECTOR
from user_mistakes import FAILED_PHOTOS, MISTAKES, Mistake

import papers.command
import pipelines.home
import pipelines.run
from fashion_ops import cli
from fashion_ops.commands import workspace as workspace_commands
from fashion_ops.commands.answers import LOG
from fashion_ops.distributed.fan_out import FanOutError
from fashion_ops.errors.failures import exit_status, failure_line
from fashion_ops.methods.artifact import save_model
from fashion_ops.methods.centernet.inference import build

ROOT = Path(__file__).parents[2]
runner = CliRunner()


@dataclass(frozen=True)
class Answer:
    status: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        return self.err.strip().splitlines()


@pytest.fixture(scope="module")
def detector(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "detector"
    folder.mkdir()
    torch.manual_seed(0)
    save_model(folder, build(DETECTOR), DETECTOR)
    return folder


@pytest.fixture
def here(tmp_path, detector, monkeypatch) -> Path:
    """A workspace with parameters only; the tests stand in it."""
    (tmp_path / "detector").symlink_to(detector)
    home = tmp_path / "ws"
    home.mkdir()
    (home / "params.yaml").write_text("{}\n")
    monkeypatch.chdir(home)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "nowhere://x")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("FASHION_OPS_ROOT", str(home))
    for name in ("FASHION_OPS_DEBUG", "DVC_STAGE", "DAGSTER_HOME"):
        monkeypatch.delenv(name, raising=False)
    return home


@pytest.fixture
def run(here, monkeypatch, capsys) -> Callable[..., Answer]:
    """Run a command line of any of our programs in this process."""

    def call(*words: str) -> Answer:
        program, rest = words[0], list(words[1:])
        if program.startswith("pipelines."):
            main = pipelines.run.main if program == "pipelines.run" else pipelines.home.main
            capsys.readouterr()
            try:
                status = main(rest)
            except SystemExit as stop:
                status = stop.code
            return Answer(int(status or 0), *capsys.readouterr())
        app = papers.command.app if program == "papers" else cli.app
        done = runner.invoke(app, rest if program == "papers" else list(words))
        return Answer(done.exit_code, done.stdout, done.stderr)

    return call


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda m: m.name.replace(" ", "-"))
def test_a_mistake_is_one_line_that_names_it_and_its_mend(mistake: Mistake, here, run, monkeypatch):
    if not mistake.dvc:
        monkeypatch.setenv("DVC_STAGE", "x")
    mistake.setup(here)
    done = run(*mistake.words.split())
    assert done.status == mistake.status, done
    assert len(done.lines) == 1 and "Traceback" not in done.err + done.out, done.err
    assert mistake.says in done.err and mistake.mend in done.err, done.err


def test_every_command_has_a_mistake_in_the_table():
    tried = {mistake.words.split()[0] for mistake in (*MISTAKES, *FAILED_PHOTOS)}
    commands = {command.name or command.callback.__name__ for command in cli.app.registered_commands}
    groups = {group.name for group in cli.app.registered_groups}
    assert {name.replace("_", "-") for name in commands | groups} <= {
        name.replace("_", "-") for name in tried
    }
    tried_papers = {m.words.split()[1] for m in MISTAKES if m.words.startswith("papers ")}
    names = {c.name or c.callback.__name__ for c in papers.command.app.registered_commands}
    assert names <= tried_papers


@pytest.mark.parametrize("mistake", FAILED_PHOTOS, ids=lambda m: m.name.replace(" ", "-"))
def test_a_photo_that_fails_is_one_line_and_status_1(mistake: Mistake, here, run, detector):
    mistake.setup(here)
    done = run(*mistake.words.split(), "--out", "out", "--model", str(detector))
    assert done.status == 1 and len(done.lines) == 1, done
    assert mistake.says in done.err and mistake.mend in done.err, done.err


@pytest.mark.parametrize("where", ["before", "after", "environment"])
def test_debug_prints_the_traceback_and_then_the_line(here, run, monkeypatch, where):
    words = {"before": ["--debug", "drift"], "after": ["drift", "--debug"], "environment": ["drift"]}
    monkeypatch.setenv("DVC_STAGE", "x")
    if where == "environment":
        monkeypatch.setenv("FASHION_OPS_DEBUG", "1")
    done = run(*words[where])
    assert done.status == 2 and "Traceback (most recent call last)" in done.err
    assert "images.parquet: is missing" in done.lines[-1]
    if where != "environment":
        assert "FASHION_OPS_DEBUG" not in os.environ


def test_the_traceback_is_in_the_log_of_the_workspace(here, run, monkeypatch):
    monkeypatch.setenv("DVC_STAGE", "x")
    assert len(run("drift").lines) == 1
    log = (here / LOG).read_text()
    assert "Traceback (most recent call last)" in log and "images.parquet" in log
    assert (here / LOG).with_name(".gitignore").read_text() == "*\n"


def test_outside_of_a_workspace_the_log_is_in_the_users_state_folder(here, run):
    (here / "params.yaml").unlink()
    assert run("drift").status == 2
    assert "Traceback" in (here.parent / "state" / "fashion-ops" / LOG.name).read_text()
    assert not (here / LOG).exists()


@pytest.mark.parametrize("error", [KeyError("x"), TypeError("no"), AssertionError()])
def test_a_fault_of_the_program_says_so_and_names_the_log(here, run, monkeypatch, error):
    def broken() -> None:
        raise error  # in a test, which is no code of ours

    monkeypatch.setattr(workspace_commands, "read_params", broken)
    done = run("batches")
    assert done.status == 1 and len(done.lines) == 1 and "Traceback" not in done.err
    assert "unexpected" in done.err and f"the traceback is in {here / LOG}, --debug" in done.err


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.EROFS, "read-only file system; make the file system writable"),
        (errno.EACCES, "permission denied; make it accessible"),
        (errno.ENOSPC, "no space left on device; free some space"),
    ],
)
def test_a_workspace_that_cannot_be_written_is_one_line(here, run, monkeypatch, number, words):
    def refuse(path, *_, **__):
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(Path, "mkdir", refuse)
    done = run("contact-sheet", "--out", "results/a.png", "--columns", "1", "--size", "32")
    assert done.status == 2 and len(done.lines) == 1
    assert f"results: {words}" in done.err


def test_errors_of_other_processes_and_libraries_are_one_line():
    worker = ValueError(
        "Caught ValueError in DataLoader worker process 0.\n"
        "Original Traceback (most recent call last):\n"
        '  File "/x/fashion_ops/catalog/reader.py", line 5, in image\n    raise ValueError("...")\n'
        "ValueError: image 5: not an image that can be decoded\n"
    )
    assert failure_line(worker) == "image 5: not an image that can be decoded"
    assert exit_status(worker) == 2
    assert failure_line(ValueError("two\n  lines")) == "two; lines"
    try:
        [].index(3)
    except ValueError as error:  # nobody wrote this text for a user
        assert exit_status(error) == 1 and failure_line(error).startswith("unexpected ValueError")
    try:
        json.loads("{")
    except ValueError as error:
        assert exit_status(error) == 2 and "not valid JSON" in failure_line(error)
    name = "caf\udce9.jpg"
    assert failure_line(ValueError(f"{name}: gone")) == "caf\\xe9.jpg: gone"
    with pytest.raises(UnicodeEncodeError) as caught:
        name.encode()
    assert failure_line(caught.value) == "caf\\xe9.jpg: this name is not UTF-8; rename it"


def test_a_database_is_named_by_whose_it_is_and_its_statement_is_not_told(tmp_path):
    """Dagster's history was deleted under a run; then a database that MLflow opened."""
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        for file in (tmp_path / "history").rglob("*.db"):
            sqlite3.connect(file).executescript("DROP TABLE IF EXISTS runs")
        with pytest.raises(OperationalError) as caught:
            instance.get_runs()
    line = failure_line(caught.value)
    assert re.match("the database of Dagster: .*no such table: runs; check DAGSTER_HOME, and", line)
    with create_engine("sqlite://").connect() as connection, pytest.raises(OperationalError) as caught:
        connection.execute(text("SELECT 'secret' FROM experiments"))
    line = failure_line(caught.value)
    assert line.startswith("the database of MLflow: no such table: experiments; check")
    assert "secret" not in line


def test_categories_that_failed_are_one_line_and_a_mistake_only_if_all_are():
    error = FanOutError("refine", {"skirt": ValueError("loss\n is not finite; lower lr")}, 13)
    assert str(error) == "refine: 1 of 13 failed: skirt: loss; is not finite; lower lr"
    assert exit_status(error) == 2 and failure_line(error) == str(error)
    error = FanOutError("refine", {"skirt": ValueError("x"), "vest": TypeError("y")}, 13)
    assert exit_status(error) == 1 and "vest: unexpected TypeError: y" in failure_line(error)


@pytest.mark.parametrize(
    ("module", "words"),
    [("pipelines.run", "line 1, column"), ("papers", "line 1, column")],
)
def test_the_modules_answer_like_that_when_they_are_run(here, module, words):
    (here / "params.yaml").write_text("a: [")
    arguments = ["pcloss"] if module == "papers" else []
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=here,
        env={**os.environ, "PYTHONPATH": str(ROOT), "FASHION_OPS_ROOT": str(here)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2 and done.stdout == ""
    assert len(done.stderr.strip().splitlines()) == 1 and words in done.stderr, done.stderr
