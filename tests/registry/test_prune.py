"""`fashion-ops prune` with real git, DVC and MLflow: what goes, and that all else restores."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import ViewType
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from typer.testing import CliRunner

from fashion_ops.cli import app
from fashion_ops.ledger import Ledger
from fashion_ops.ledger.lockfile import Snapshot
from fashion_ops.params import Params
from fashion_ops.registry import client as registry
from fashion_ops.registry import prune_files, snapshot, transitions
from fashion_ops.registry.prune import Plan, _carry_out
from fashion_ops.registry.prune_versions import (
    RegistryPlan,
    delete_from_registry,
    model_of,
    plan_registry,
)
from fashion_ops.registry.restore import restore
from fashion_ops.steps import register
from fashion_ops.taxonomy import CATEGORY_NAMES
from fashion_ops.workspace import Workspace

NAME = "pruned"
PARAMS = Params.model_validate({"register": {"model": NAME}})
PIPELINE = """
stages:
  train:
    cmd: echo made by hand
    deps: [source.txt]
    outs: [models]
  evaluate:
    cmd: echo made by hand
    deps: [models]
    outs: [reports/evaluation]
"""


def git(root: Path, *arguments: str) -> str:
    return snapshot.git(root, "-c", "user.name=t", "-c", "user.email=t@x", *arguments)


def make_version(ws: Workspace, number: int) -> None:
    """Models of which one file is the same in every version, evaluated and registered."""
    shutil.rmtree(ws.root / "models", ignore_errors=True)
    folders = [ws.detector, ws.postprocess, ws.landmarker]
    folders += [f(name) for name in CATEGORY_NAMES for f in (ws.finetuned, ws.refined)]
    for folder in folders:
        folder.mkdir(parents=True)
        (folder / "model.json").write_text(f"version {number}")
        (folder / "shared.txt").write_text("the same in all")
    ws.evaluation.mkdir(parents=True, exist_ok=True)
    (ws.evaluation / "metrics.json").write_text(f'{{"box_ap": 0.{number}}}')
    ledger = Ledger(ws.root)
    for stage in ("train", "evaluate"):
        ledger.commit(stage, ledger.snapshot(stage))
    assert register.run(PARAMS, ws) == {"version": number, "new": True}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Six versions: 1 was champion once, 2 is previous, 3 champion, 4 refused, 5 kept, 6 challenger."""
    root = tmp_path_factory.mktemp("prune") / "repository"
    root.mkdir()
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setenv("FASHION_OPS_ROOT", str(root))
        patch.setattr(register, "write_evaluation", lambda *_: None)
        git(root, "init", "-q")
        subprocess.run([sys.executable, "-m", "dvc", "init", "-q"], cwd=root, check=True)
        (root / "dvc.yaml").write_text(PIPELINE)
        (root / "params.yaml").write_text(f"register: {{model: {NAME}}}\n")
        (root / "source.txt").write_text("source")
        ignored = ("models", "reports", ".mlflow", ".checkpoints")
        (root / ".gitignore").write_text("".join(f"/{name}/\n" for name in ignored))
        git(root, "add", "--all")
        git(root, "commit", "--quiet", "--message", "start")
        for number in range(1, 7):
            make_version(Workspace(root), number)
        client = registry.connect(root)
        for act, version in (("promote", 1), ("promote", 2), ("promote", 3), ("refuse", 4)):
            with transitions.begin_transition(client, NAME, "setup") as transition:
                getattr(transition, act)(str(version), "")
        client.set_model_version_tag(NAME, "5", "keep", "for the paper")
        yield root


@pytest.fixture
def root(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the repository and of its registry, at the same path, which addresses name."""
    aside = template.with_name("aside")
    if not aside.exists():
        shutil.copytree(template, aside, symlinks=True)
    shutil.rmtree(template)
    shutil.copytree(aside, template, symlinks=True)
    monkeypatch.setenv(
        "MLFLOW_TRACKING_URI", f"sqlite:///{template}/{tmp_path.name}/../.mlflow/mlflow.db"
    )
    (template / tmp_path.name).mkdir()  # so that each test has an engine of its own
    monkeypatch.setenv("FASHION_OPS_ROOT", str(template))
    monkeypatch.chdir(template)
    return template


def prune(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["prune", *arguments])
    assert done.exit_code == 0, done.output
    return done.output


def versions(root: Path) -> list[int]:
    client = registry.connect(root)
    return sorted(int(v.version) for v in client.search_model_versions(f"name='{NAME}'"))


def objects_of(root: Path) -> set[str]:
    return {p.name for p in (root / ".dvc" / "cache" / "files").rglob("*") if p.is_file()}


def tags_of(root: Path) -> list[str]:
    return git(root, "for-each-ref", "--format=%(refname)", snapshot.TAGS).split()


def test_a_dry_run_names_what_goes_and_why_and_changes_nothing(root: Path) -> None:
    before = (
        versions(root),
        objects_of(root),
        tags_of(root),
        registry.connect(root).get_registered_model(NAME),
    )
    said = prune()
    rows = [line.split() for line in said.splitlines()]
    verdicts = {row[2]: row[4] for row in rows if row[:2] == ["version", NAME]}
    goes = {"1": "goes", "4": "goes"}
    assert verdicts == {str(n): goes.get(str(n), "stays") for n in range(1, 7)}
    for reason in ("alias champion", "alias previous", "alias challenger", "tag keep"):
        assert reason in said
    assert f"of {NAME} 1, which goes" in said and "may go: `fashion-ops prune --delete`" in said
    after = (
        versions(root),
        objects_of(root),
        tags_of(root),
        registry.connect(root).get_registered_model(NAME),
    )
    assert after[:3] == before[:3] and after[3].tags == before[3].tags


def test_what_goes_is_gone_and_every_kept_version_restores(root: Path, tmp_path: Path) -> None:
    artifacts = root / ".mlflow" / "artifacts"
    files = {p for p in artifacts.rglob("*") if p.is_file()}
    going = [registry.connect(root).get_model_version(NAME, number) for number in ("1", "4")]
    cached, tags = objects_of(root), tags_of(root)
    said = prune("--delete")
    assert versions(root) == [2, 3, 5, 6]
    assert len(tags) == 6 and len(tags_of(root)) == 4
    gone = files - {p for p in artifacts.rglob("*") if p.is_file()}
    theirs = {p for p in files for v in going if {v.run_id, model_of(v)} & set(p.parts)}
    assert gone == theirs and len(gone) == len(files) * 2 // 6
    assert len(cached - objects_of(root)) == 2 * 4  # model.json, models, metrics.json, evaluation
    client = registry.connect(root)
    events = [(e.what, e.version) for e in transitions.history(client, NAME)]
    assert events == [("promotion", "2"), ("promotion", "3"), ("refusal", "4")]  # the last one stays
    for version in (2, 3, 5, 6):
        restored = restore(root, NAME, str(version), tmp_path / str(version))
        assert (restored.ws.detector / "model.json").read_text() == f"version {version}"
        assert registry.fetch_bundle(f"models:/{NAME}/{version}").is_dir()
        git(root, "worktree", "remove", "--force", str(restored.folder))
    assert "nothing to delete" not in said and "nothing to delete" in prune()
    with transitions.begin_transition(client, NAME, "rollback") as transition:
        assert transition.roll_back("bad").number > 4
    assert registry.find_version(client, NAME, "champion").version in (2, "2")


def test_a_version_that_is_checked_out_keeps_its_tag_and_its_data(root: Path, tmp_path: Path) -> None:
    restored = restore(root, NAME, "1", tmp_path / "one")
    said = prune("--delete")
    assert f"checked out at {restored.folder}" in said and versions(root) == [2, 3, 5, 6]
    shutil.rmtree(restored.ws.root / "models")
    ledger = Ledger(restored.ws.root)
    assert ledger.make_current("train") and ledger.changes("evaluate") == {}


def test_branches_tags_and_the_workspace_keep_their_data(root: Path) -> None:
    """Data of version 1 that a branch names; data of the workspace that nobody registered."""
    git(root, "branch", "kept", tags_of_version(root, 1))
    git(root, "tag", "-a", "-m", "paper", "paper", tags_of_version(root, 4))
    (root / "models" / "detector" / "model.json").write_text("not registered")
    ledger = Ledger(root)
    for stage in ("train", "evaluate"):
        ledger.commit(stage, ledger.snapshot(stage))
    cached = objects_of(root)
    prune("--delete")
    assert objects_of(root) == cached and versions(root) == [2, 3, 5, 6]


def tags_of_version(root: Path, number: int) -> str:
    return registry.connect(root).get_model_version(NAME, str(number)).tags["snapshot"]


def test_another_registry_takes_no_tag_and_no_data(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a shell where MLFLOW_TRACKING_URI was forgotten."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/empty.db")
    cached, tags = objects_of(root), tags_of(root)
    said = prune("--delete")
    assert objects_of(root) == cached and tags_of(root) == tags
    assert "no version of this registry names it" in said


@pytest.mark.parametrize("lost", ["folder", "snapshot", "outside"])
def test_where_nobody_can_tell_what_is_needed_nothing_of_the_cache_goes(
    root: Path, tmp_path: Path, lost: str
) -> None:
    if lost == "folder":
        entry = Ledger(root).entry("train")
        assert entry is not None
        Ledger(root).cached(entry.outs["models"]).unlink()
    elif lost == "snapshot":
        commit = tags_of_version(root, 2)
        git(root, "update-ref", "-d", f"{snapshot.TAGS}/{commit}")
        git(root, "gc", "--quiet", "--prune=now")
        assert not snapshot.has(root, commit)
    else:
        shutil.move(root / ".dvc" / "cache", tmp_path / "cache")
        (root / ".dvc" / "config.local").write_text(f"[cache]\n    dir = {tmp_path}/cache\n")
    place = tmp_path / "cache" if lost == "outside" else root / ".dvc" / "cache"
    cached = {p for p in place.rglob("*") if p.is_file()}
    said = prune("--delete")
    why = {"folder": "lacks the needed folder", "snapshot": f"{NAME} 2 needs", "outside": "outside of"}
    assert why[lost] in said
    assert {p for p in place.rglob("*") if p.is_file()} == cached


def test_runs_of_versions_that_were_never_finished_go_and_others_stay(root: Path) -> None:
    client = registry.connect(root)
    experiment = client.get_experiment_by_name(registry.EXPERIMENT)
    assert experiment is not None
    orphan = client.create_run(experiment.experiment_id, tags={registry.LINEAGE_TAG: "x"}).info.run_id
    client.set_terminated(orphan, "KILLED")
    training = client.create_run(experiment.experiment_id, run_name="finetune").info.run_id
    running = client.create_run(experiment.experiment_id, tags={registry.LINEAGE_TAG: "y"}).info.run_id
    other = client.create_experiment("somebody else's")
    client.delete_experiment(other)
    prune("--delete")
    assert {r.info.run_id for r in runs(client, experiment.experiment_id)} >= {training, running}
    assert orphan not in {r.info.run_id for r in runs(client, experiment.experiment_id)}
    assert client.get_experiment(other).lifecycle_stage == "deleted"  # it may be wanted back


def runs(client: MlflowClient, experiment: str) -> list[Any]:
    return client.search_runs([experiment], run_view_type=ViewType.ALL)


def test_resume_points_that_a_next_run_would_use_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ws = Workspace(tmp_path)
    (ws.checkpoints / "timesheets").mkdir(parents=True)

    def now(stage: str) -> Snapshot:
        return Snapshot(stage, "", {}, {})

    entry = SimpleNamespace(differences=lambda _: [])
    ledger: Any = SimpleNamespace(
        snapshot=now, entries=lambda: {"finetune@skirt": entry, "evaluate": entry}
    )
    monkeypatch.setattr(
        prune_files,
        "checkpoint_path",
        lambda ws, step, section, seed, grouped: ws.checkpoints / f"{step}-now.ckpt",
    )
    used, done = now("finetune@vest").digest, now("finetune@skirt").digest
    names = (used, done, "0" * 32, "train_detector-now.ckpt", "train_detector-old.ckpt", "gle.ckpt")
    key = "0123456789abcdef"
    one = {f"finetune-{kind}-{key}" for kind in ("vest", "skirt", "long_sleeve_top")}
    of_papers = f"applications-{key}"
    for name in (*names, *one, of_papers, "notes.txt"):
        (ws.checkpoints / name).write_bytes(bytes(1000))
    for step in ("evaluate", "tune_postprocess", "register", "promote", "other"):
        (ws.checkpoints / f"{step}-blocks-{key}").mkdir()
        (ws.checkpoints / f"{step}-blocks-{key}" / "result").write_bytes(bytes(1000))
        if step != "register":
            os.utime(ws.checkpoints / f"{step}-blocks-{key}", (1, 1))

    def goes() -> set[str]:
        plan = prune_files.FilesPlan()
        prune_files._add_resume_points(plan, Params(), ws, ledger)
        assert all(item.num_bytes == 1000 for item in plan.items)
        return {file.name for file in plan.resume_points}

    blocks = {f"evaluate-blocks-{key}", f"promote-blocks-{key}"}  # register's is fresh
    gone = {done, "0" * 32, "train_detector-old.ckpt", f"finetune-skirt-{key}", *blocks}
    assert goes() == gone

    def lacks_alignment(stage: str) -> Snapshot:
        return fail(stage) if stage.startswith("dfa_stage") else now(stage)

    def fail(stage: str) -> Snapshot:
        raise prune_files.LedgerError("an input is missing")

    (ws.checkpoints / f"dfa_stage-1-{key}").write_bytes(bytes(1000))
    ledger.snapshot = lacks_alignment
    assert goes() == gone
    ledger.snapshot = fail
    assert goes() == {f"promote-blocks-{key}"}  # of the others nobody can tell

    plan = prune_files.FilesPlan(resume_points=[ws.checkpoints / name for name in gone])
    monkeypatch.setattr("fashion_ops.registry.prune.delete_from_registry", lambda *_: True)
    assert _carry_out(MlflowClient.__new__(MlflowClient), "", Plan(RegistryPlan(), plan), ws)
    assert not any((ws.checkpoints / name).exists() for name in gone)


def failing(method: str, **answers: Any) -> MlflowClient:
    """A registry of which one kind of request fails, and the others are answered by ``answers``."""

    def fail(*_: Any, **__: Any) -> None:
        raise MlflowException("API request to http://mlflow failed with exception timed out")

    client = MlflowClient.__new__(MlflowClient)  # connected to nothing
    for name, answer in {**answers, method: fail}.items():
        setattr(client, name, answer)
    return client


@pytest.mark.parametrize("method", ["get_registered_model", "search_model_versions"])
def test_a_registry_that_fails_to_name_its_aliases_gives_no_plan(method):
    """Without its alias the champion would look like any other version."""
    client = failing(
        method,
        get_registered_model=lambda _: SimpleNamespace(aliases={}),
        search_model_versions=lambda *_, **__: [],
    )
    with pytest.raises(MlflowException, match="timed out"):
        plan_registry(client, NAME)


@pytest.mark.parametrize("method", ["delete_logged_model", "delete_run"])
def test_a_version_whose_files_cannot_be_deleted_stays(method):
    deleted: list[str] = []
    names = ("delete_logged_model", "delete_run", "delete_model_version")
    client = failing(method, **{name: lambda *names: deleted.extend(names) for name in names})
    version = ModelVersion(NAME, "1", 0)
    plan = RegistryPlan(versions=[version], runs=["r"], models=["m"])
    with pytest.raises(MlflowException, match="timed out"):
        delete_from_registry(client, NAME, plan)
    assert "1" not in deleted
