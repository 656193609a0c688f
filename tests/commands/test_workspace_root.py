"""Where commands work: ``FASHION_OPS_ROOT``, the workspace around the current folder, or DVC's."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from dvc.repo import Repo
from typer.testing import CliRunner

from fashion_ops.cli import app
from fashion_ops.commands import steps
from fashion_ops.params import Params
from fashion_ops.workspace import Workspace

STAGE = {"cmd": "fashion-ops synthesize", "outs": ["data/raw"]}


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with one stage, whose step writes a file; no step runs for real."""

    def run(params: Params, ws: Workspace) -> dict[str, Any]:
        ws.raw.mkdir(parents=True)
        (ws.raw / "made").write_text(str(params.seed))
        return {"images": 1}

    monkeypatch.setattr(steps, "_module", lambda step: SimpleNamespace(run=run))
    for name in ("FASHION_OPS_ROOT", "DVC_STAGE"):
        monkeypatch.delenv(name, raising=False)
    root = tmp_path / "workspace"
    (root / "some" / "folder").mkdir(parents=True)
    (root / "params.yaml").write_text("seed: 7\n")
    (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"synthesize": STAGE}}))
    Repo.init(str(root), no_scm=True).close()
    return root


def made(root: Path) -> bool:
    """Whether the step wrote into this workspace, with its parameters, and was recorded there."""
    lock = yaml.safe_load((root / "dvc.lock").read_text())
    return (root / "data/raw/made").read_text() == "7" and "synthesize" in lock["stages"]


def test_a_step_in_a_sub_folder_works_on_the_workspace_around_it(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workspace / "some" / "folder")
    done = CliRunner().invoke(app, ["synthesize"])
    assert done.exit_code == 0, done.output
    assert made(workspace) and not list((workspace / "some" / "folder").iterdir())


def test_a_step_elsewhere_works_on_the_workspace_of_the_environment(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    monkeypatch.setenv("FASHION_OPS_ROOT", "../workspace")
    done = CliRunner().invoke(app, ["synthesize"])
    assert done.exit_code == 0, done.output
    assert made(workspace) and not list((tmp_path / "elsewhere").iterdir())


def test_a_step_that_dvc_runs_works_where_dvc_does(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(workspace)
    monkeypatch.setenv("FASHION_OPS_ROOT", str(tmp_path))
    monkeypatch.setenv("DVC_STAGE", "synthesize")
    done = CliRunner().invoke(app, ["synthesize"])
    assert done.exit_code == 0, done.output
    assert (workspace / "data/raw/made").exists() and not (workspace / "dvc.lock").exists()


def test_configure_in_a_sub_folder_changes_the_parameters_of_the_workspace(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = workspace / "some" / "folder"
    monkeypatch.chdir(here)
    (here / "recipe.yaml").write_text("seed: 8\n")
    done = CliRunner().invoke(app, ["configure", "recipe.yaml"])
    assert done.exit_code == 0 and "seed: 7 -> 8" in done.output
    assert (workspace / "params.yaml").read_text() == "seed: 8\n"
