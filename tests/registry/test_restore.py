"""The way back, in a repository of real git, DVC and MLflow, with steps that take milliseconds."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from raw_data import Data, item, jpeg

from fashion_ops.ledger import Ledger, LedgerError
from fashion_ops.params import Params
from fashion_ops.registry import client as registry
from fashion_ops.registry import snapshot
from fashion_ops.registry.origin import take_snapshot
from fashion_ops.registry.restore import RestoreError, restore, verify
from fashion_ops.steps import batches, register
from fashion_ops.taxonomy import CATEGORY_NAMES
from fashion_ops.workspace import Workspace

ROOT = Path(__file__).parents[2]
MODEL = "restorable"
PIPELINE = """
stages:
  synthesize:
    cmd: fashion-ops synthesize
    deps: [fashion_ops/cli.py]
    params: [synthesize]
    outs: [data/raw]
  train:
    cmd: fashion-ops train
    deps: [data/raw, data/batches, fashion_ops/cli.py]
    params: [lr]
    outs: [models]
  evaluate:
    cmd: fashion-ops evaluate
    deps: [models, data/raw, fashion_ops/scoring.py]
    outs: [reports/evaluation]
  apart: # nobody ever runs it
    cmd: fashion-ops apart
    deps: [data/raw]
    outs: [reports/apart]
"""
CLI = f"""
import pathlib, shutil, sys, yaml
from fashion_ops.scoring import score
params, step = yaml.safe_load(open("params.yaml")), sys.argv[1]
folders = ["detector", "postprocess", "landmarker"]
folders += [f"{{kind}}/{{name}}" for kind in ("finetuned", "refined") for name in {CATEGORY_NAMES!r}]
def write(path, text):
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
if step == "synthesize":
    write("data/raw/numbers.txt", str(list(range(params["synthesize"]))))
if step == "train":
    seen = sorted(p.name for p in pathlib.Path("data/batches").glob("*/train/image/*"))
    for folder in folders:
        write(f"models/{{folder}}/model.json", f'{{{{"lr": {{params["lr"]}}, "new": {{len(seen)}}}}}}')
if step == "evaluate":
    shutil.rmtree("reports/evaluation", ignore_errors=True)
    seen = open("data/raw/numbers.txt").read() + open("models/landmarker/model.json").read()
    write("reports/evaluation/metrics.json", score(seen))
    write("reports/evaluation/images/1.txt", score(seen[::-1]))
"""
SCORING = """
import hashlib, json
def score(seen):
    return json.dumps({"seen": hashlib.md5(seen.encode()).hexdigest(), "rule": 1})
"""


class RepositoryResource:
    """The repository and what one does in it."""

    def __init__(self, root: Path) -> None:
        self.ws = Workspace(root)
        self.params = Params.model_validate({"register": {"model": MODEL}, "inbox": {"min_images": 1}})

    def write(self, name: str, text: str) -> None:
        path = self.ws.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def git(self, *arguments: str) -> str:
        return snapshot.git(self.ws.root, "-c", "user.name=t", "-c", "user.email=t@x", *arguments)

    def run(self) -> None:
        ledger = Ledger(self.ws.root)
        for stage in ("synthesize", "train", "evaluate"):
            before = ledger.snapshot(stage)
            command = [sys.executable, "-m", "fashion_ops.cli", stage]
            env = {"PYTHONPATH": str(self.ws.root)}
            subprocess.run(command, cwd=self.ws.root, check=True, env=env)
            ledger.commit(stage, before)

    def take_batch(self, name: str, *seeds: int) -> Path:
        """Drop a batch of images into the inbox and have it taken; where it is then."""
        batch = Data(self.ws.root)
        batch.root = self.ws.inbox / name
        for seed in seeds:
            batch.add(f"{seed:06d}", item(), data=jpeg(seed=seed))
        (self.ws.inbox / f"{name}.ready").touch()
        taken = batches.process_batches(self.params, self.ws, Ledger(self.ws.root))
        assert len(taken.accepted) == 1, taken
        return self.ws.batches / taken.accepted[0]

    def register(self) -> dict:
        return register.run(self.params, self.ws)


def start(root: Path) -> RepositoryResource:
    root.mkdir()
    repository = RepositoryResource(root)
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q"], cwd=root, check=True)
    shutil.copy(ROOT / ".gitignore", root)
    repository.write("data/batches/.gitkeep", "")
    repository.write(".dvcignore", "__pycache__\n")
    repository.write("dvc.yaml", PIPELINE)
    repository.write("params.yaml", "synthesize: 3\nlr: 0.1\n")
    repository.write("fashion_ops/__init__.py", "")
    repository.write("fashion_ops/cli.py", CLI)
    repository.write("fashion_ops/scoring.py", SCORING)
    repository.git("add", "--all")
    repository.git("commit", "--quiet", "--message", "start")
    return repository


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RepositoryResource]:
    """Three versions with other data, parameters and code; the last two from an uncommitted tree."""
    root = tmp_path_factory.mktemp("way back") / "repository"
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setenv("FASHION_OPS_ROOT", str(root))
        patch.setattr(register, "write_evaluation", lambda *_: None)  # there is no catalog
        repository = start(root)
        repository.run()
        assert repository.register() == {"version": 1, "new": True}
        repository.write("params.yaml", "synthesize: 5\nlr: 0.2\n")
        repository.write("fashion_ops/scoring.py", SCORING.replace('"rule": 1', '"rule": 2'))
        repository.run()
        repository.register()
        repository.write("params.yaml", "synthesize: 7\nlr: 0.1\n")
        repository.write("fashion_ops/rules.py", "RULE = 3\n")  # new, never added
        rules = SCORING.replace('"rule": 1', '"rule": RULE')
        repository.write("fashion_ops/scoring.py", f"from fashion_ops.rules import RULE\n{rules}")
        repository.write("secret.env", "password")
        repository.run()
        repository.register()
        repository.take_batch("monday", 11, 12)
        repository.run()
        repository.register()
        shutil.rmtree(repository.take_batch("tuesday", 13))  # later, and lost from the folder
        yield repository


BATCH = "0001-monday"
NUMBERS, RATES, RULES = {1: 3, 2: 5, 3: 7, 4: 7}, {1: 0.1, 2: 0.2, 3: 0.1, 4: 0.1}, {1: 1, 2: 2}


@pytest.mark.parametrize("version", [1, 2, 3, 4])
def test_each_version_comes_back_as_it_was(
    repository: RepositoryResource, tmp_path: Path, version: int
) -> None:
    before = (repository.git("status", "--porcelain"), repository.git("rev-parse", "HEAD"))
    restored = restore(repository.ws.root, MODEL, str(version), tmp_path / "back")
    numbers, lr, rule = NUMBERS[version], RATES[version], RULES.get(version, 3)
    root = restored.ws.root
    assert yaml.safe_load((root / "params.yaml").read_text()) == {"synthesize": numbers, "lr": lr}
    assert json.loads((root / "data/raw/numbers.txt").read_text()) == list(range(numbers))
    assert json.loads((root / "reports/evaluation/metrics.json").read_text())["rule"] == rule
    assert (root / "fashion_ops/rules.py").exists() == (version > 2)
    batches = {p.name for p in (root / "data/batches").iterdir()} - {".gitkeep"}
    assert batches == ({BATCH, f"{BATCH}.dvc"} if version == 4 else set())
    if version == 4:
        photos = [(w.ws.batches / BATCH / "train/image/000011.jpg") for w in (repository, restored)]
        assert photos[0].read_bytes() == photos[1].read_bytes()
    assert not (root / "secret.env").exists()  # nor anything else that nobody added
    assert snapshot.git(root, "status", "--porcelain") == ""
    status = [sys.executable, "-m", "dvc", "status", "--json", "--with-deps", "evaluate"]
    assert json.loads(subprocess.run(status, cwd=root, capture_output=True).stdout) == {}
    assert verify(restored) == []
    assert (repository.git("status", "--porcelain"), repository.git("rev-parse", "HEAD")) == before

    # What is not as recorded is named.
    (root / "fashion_ops/scoring.py").write_text(SCORING.replace("md5", "sha1"))
    (root / "models/landmarker/model.json").unlink()
    (root / "models/landmarker/model.json").write_text('{"lr": 9}')
    assert verify(restored) == [
        "models/landmarker/model.json: differs",
        "reports/evaluation/images/1.txt: differs",
        "reports/evaluation/metrics.json: differs",
    ]
    repository.git("worktree", "remove", "--force", str(restored.folder))


def test_the_snapshot_leaves_branch_and_index_alone(repository: RepositoryResource) -> None:
    commit = registry.find_version(registry.connect(repository.ws.root), MODEL, "3").tags["snapshot"]
    assert repository.git("branch", "--format=%(refname:short)", "--contains", commit) == ""
    assert repository.git("rev-parse", f"{commit}^") == repository.git("rev-parse", "HEAD")
    assert repository.git("diff", "--cached", "--name-only") == ""
    assert "fashion_ops/rules.py" in repository.git("status", "--porcelain", "--untracked-files=all")


def test_data_gone_from_the_cache_come_from_the_remote_or_are_named(
    repository: RepositoryResource, tmp_path: Path
) -> None:
    cache, root = repository.ws.root / ".dvc/cache", repository.ws.root
    aside = tmp_path / "aside"
    remote = Path(shutil.copytree(cache, tmp_path / "remote"))
    cache.rename(aside)
    with pytest.raises(LedgerError, match=r"(?s)data/raw.*no.* in a default remote"):
        restore(root, MODEL, "2", tmp_path / "back")
    assert not (tmp_path / "back").exists()
    assert str(tmp_path / "back") not in repository.git("worktree", "list")
    relative = os.path.relpath(remote, root / ".dvc")  # leads nowhere from the worktree's own .dvc
    (root / ".dvc/config").write_text(
        f"['remote \"store\"']\n    url = {relative}\n[core]\n    remote = store\n"
    )
    restored = restore(root, MODEL, "2", tmp_path / "back")
    assert verify(restored) == []
    (root / ".dvc/config").write_text("")
    shutil.rmtree(cache)
    aside.rename(cache)


def test_another_clone_takes_the_snapshot_from_the_registry(
    repository: RepositoryResource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{repository.ws.root}/.mlflow/mlflow.db")
    clone, empty = tmp_path / "clone", tmp_path / "empty"
    repository.git("clone", "--quiet", "--no-tags", str(repository.ws.root), str(clone))
    (clone / ".dvc/config.local").write_text(f"[cache]\n    dir = {repository.ws.root}/.dvc/cache\n")
    restored = restore(clone, MODEL, "3", tmp_path / "back")
    assert verify(restored) == []

    empty.mkdir()
    for command in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "other"]):
        snapshot.git(empty, "-c", "user.name=t", "-c", "user.email=t@x", *command)
    with pytest.raises(snapshot.SnapshotError, match=r"lacks the commit that snapshot .* was made on"):
        restore(empty, MODEL, "3", tmp_path / "nowhere")


def test_what_cannot_be_restored_says_so(repository: RepositoryResource, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no version or alias '9'; there are \[1, 2, 3, 4\]"):
        restore(repository.ws.root, MODEL, "9", tmp_path / "back")
    with pytest.raises(ValueError, match="exists"):
        restore(repository.ws.root, MODEL, "challenger", tmp_path)
    version = registry.find_version(registry.connect(repository.ws.root), MODEL, "1")
    client = registry.connect(repository.ws.root)
    kept = version.tags["snapshot"]
    client.delete_model_version_tag(MODEL, "1", "snapshot")
    with pytest.raises(RestoreError, match="has no snapshot"):
        restore(repository.ws.root, MODEL, "1", tmp_path / "back")
    client.set_model_version_tag(MODEL, "1", "snapshot", kept)


def test_nothing_is_registered_that_could_not_come_back(repository: RepositoryResource) -> None:
    file = repository.ws.root / "fashion_ops/scoring.py"
    text = file.read_text()
    file.write_text(text + "# edited after the run\n")
    with pytest.raises(LedgerError, match=r"not clean.*evaluate: .*scoring.py"):
        repository.register()
    file.write_text(text)


def test_outside_of_git_a_version_is_registered_and_cannot_be_restored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert take_snapshot(tmp_path, "message") is None
    assert "can't be restored" in caplog.text and snapshot.head(tmp_path) == "none"
