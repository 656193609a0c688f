"""The ledger without DVC: a process in which nothing of DVC can be imported, against DVC itself."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import fsspec
import pytest
from s3_server import s3_server

from fashion_ops.ledger import Ledger, LedgerError, objects, standalone

ROOT = Path(__file__).parents[2]
DVC = [sys.executable, "-m", "dvc"]
PIPELINE = """
stages:
  load:
    cmd: load ${load.source}
    deps: ["${load.source}"]
    outs: [data]
  train:
    foreach: ${categories}
    do:
      cmd: train --category ${key}
      deps: [data, fashion_ops/train.py]
      params: [seed, "categories.${key}.lr"]
      outs: ["models/${key}"]
  chain:
    foreach:
      "1": {before: data}
      "2": {before: models/skirt/model.json}
    do:
      cmd: chain ${key}
      deps: ["${item.before}"]
      outs: ["chain-${key}.txt"]
"""
STAGES = ["load", "train@skirt", "train@vest", "chain@1", "chain@2"]
# Runs standalone's main in an interpreter in which an import of dvc, dvc_data, ... fails.
ALONE = """
import sys
class NoDvc:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0].startswith(("dvc", "scmrepo")):
            raise ModuleNotFoundError(f"No module named {name!r}")
sys.meta_path.insert(0, NoDvc())
try:
    import dvc
except ModuleNotFoundError:
    from fashion_ops.ledger.standalone import main
    sys.exit(main(sys.argv[1:]))
"""


def sh(*command: str, cwd: Path) -> str:
    return subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True).stdout


def alone(root: Path, *arguments: str, **env: str) -> tuple[int, str]:
    """Exit status and output of the command in ``root``, without DVC."""
    done = subprocess.run(
        [sys.executable, "-c", ALONE, *arguments],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(ROOT), **env},
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stdout + done.stderr


def set_params(root: Path, skirt: str = "1e-05") -> None:
    text = (
        f"seed: 0\nload: {{source: raw}}\ncategories:\n  skirt: {{lr: {skirt}}}\n  vest: {{lr: 0.1}}\n"
    )
    (root / "params.yaml").write_text(text)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("alone") / "repo"
    for folder in ("raw/sub", "raw/__pycache__", "fashion_ops", "data/batches"):
        (root / folder).mkdir(parents=True)
    sh("git", "init", "-q", cwd=root)
    sh(*DVC, "init", "-q", cwd=root)
    (root / "dvc.yaml").write_text(PIPELINE)
    (root / ".dvcignore").write_text("__pycache__\n*.pyc\n")
    (root / "raw" / "ä b.txt").write_text("raw")
    (root / "raw" / "sub" / "two").write_bytes(bytes(3000))
    (root / "raw" / "__pycache__" / "x.pyc").write_text("compiled")
    (root / "fashion_ops" / "train.py").write_text("v1")
    set_params(root)
    shutil.rmtree(root / "data")
    ledger = Ledger(root)
    for stage in STAGES:
        snapshot = ledger.snapshot(stage)
        if stage == "load":
            shutil.copytree(root / "raw", root / "data")
        elif stage.startswith("train"):
            (root / "models" / stage[6:]).mkdir(parents=True)
            (root / "models" / stage[6:] / "model.json").write_text(stage)
        else:
            (root / f"chain-{stage[-1]}.txt").write_text(stage)
        ledger.commit(stage, snapshot)
    return root


@pytest.fixture
def root(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "repo"))


def change_input(root: Path) -> None:
    (root / "raw" / "sub" / "two").write_bytes(bytes(2999) + b"1")


def change_code(root: Path) -> None:
    (root / "fashion_ops" / "train.py").write_text("v2")


def change_stage(root: Path) -> None:
    text = (root / "dvc.yaml").read_text()
    (root / "dvc.yaml").write_text(text.replace("cmd: chain", "cmd: links"))


def lose_output(root: Path) -> None:
    shutil.rmtree(root / "models" / "skirt")


CHANGES = {
    "nothing": lambda root: None,
    "input": change_input,
    "ignored file": lambda root: (root / "raw" / "__pycache__" / "x.pyc").write_text("other"),
    "parameter": lambda root: set_params(root, skirt="0.2"),
    "code": change_code,
    "stage": change_stage,
    "output": lose_output,
    "output by hand": lambda root: (root / "chain-2.txt").write_text("by hand"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_it_calls_the_same_stages_stale_as_dvc(root: Path, change: str) -> None:
    CHANGES[change](root)
    assert list(standalone.stale(root)) == [s for s in STAGES if s in Ledger(root).stale()]
    assert (not standalone.stale(root)) == (change in ("nothing", "ignored file"))


def test_it_reads_the_pipeline_of_this_repository_as_dvc_does() -> None:
    ledger, stages = Ledger(ROOT), standalone._stages(ROOT)
    assert list(stages) == ledger.stages()
    for name, stage in stages.items():
        defined = ledger.defined[name]
        assert stage["cmd"] == defined.cmd
        assert set(stage["outs"]) == {out.def_path for out in defined.outs}
        paths = {dep.def_path for dep in defined.deps if dep.def_path != "params.yaml"}
        assert set(stage["deps"]) == paths


def test_a_process_without_dvc_says_what_is_current_and_restores_from_a_plain_folder(
    root: Path, tmp_path: Path
) -> None:
    assert alone(root, "status") == (0, "")
    shutil.move(root / ".dvc" / "cache", tmp_path / "store")
    shutil.rmtree(root / "data")
    (root / "chain-2.txt").write_text("by hand")
    status, said = alone(root, "status")
    assert status == 1
    assert [line.partition(":")[0] for line in said.splitlines()] == STAGES  # all follow from data
    status, said = alone(root, "restore", "--source", str(tmp_path / "store"))
    assert (status, said) == (0, "restored data\nrestored chain-2.txt\n")
    assert alone(root, "status") == (0, "")
    assert (root / "data" / "ä b.txt").read_text() == "raw"
    shutil.move(tmp_path / "store", root / ".dvc" / "cache")
    assert json.loads(sh(*DVC, "status", "--json", cwd=root)) == {}  # and DVC thinks so too


def test_a_process_without_dvc_restores_from_s3(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with s3_server(monkeypatch) as env:
        s3: Any = fsspec.filesystem("s3", skip_instance_cache=True)
        s3.mkdir("bucket")
        s3.put(str(root / ".dvc" / "cache") + "/", "bucket/dvc/", recursive=True)
        sh(*DVC, "remote", "add", "--default", "-q", "store", "s3://bucket/dvc", cwd=root)
        shutil.rmtree(root / ".dvc" / "cache")
        shutil.rmtree(root / "models")
        status, said = alone(root, "restore", "train@skirt", **env)  # from DVC's default remote
        assert (status, said) == (0, "restored models/skirt\n")
        assert (root / "models" / "skirt" / "model.json").read_text() == "train@skirt"
        assert not (root / "models" / "vest").exists()


def test_rotten_and_missing_objects_are_named_and_leave_the_old_output(root: Path) -> None:
    ledger = Ledger(root)
    entry = ledger.entry("load")
    assert entry is not None
    part = objects.read_folder(ledger.store, entry.outs["data"])["sub/two"]
    store = root.parent / "store"
    shutil.move(root / ".dvc" / "cache", store)
    (root / "data" / "sub" / "two").write_text("by hand")
    rotten = objects.path_of(store / "files" / "md5", part)
    rotten.chmod(0o644)
    rotten.write_bytes(bytes(2999) + b"1")
    with pytest.raises(LedgerError, match=r"data: can't be restored: .*its content is not the one"):
        standalone.restore(root, str(store))
    rotten.unlink()
    with pytest.raises(LedgerError, match=rf"data: can't be restored: .*{part[2:]}"):
        standalone.restore(root, str(store))
    with pytest.raises(LedgerError, match="there is no source"):
        standalone.restore(root)
    assert (root / "data" / "sub" / "two").read_text() == "by hand"
    with pytest.raises(LedgerError, match="no stage hat"):
        standalone.restore(root, str(store), ["hat"])


def test_an_object_that_names_a_file_outside_of_its_folder_is_refused(root: Path) -> None:
    text = json.dumps([{"md5": "0" * 32, "relpath": "../../escaped"}]).encode()
    with pytest.raises(LedgerError, match="outside of it"):
        standalone._place(root / "data", f"{objects.bytes_md5(text)}.dir", lambda md5: text)
    assert not (root.parent / "escaped").exists()


def test_dvc_is_pinned_exactly_and_the_lock_has_that_version() -> None:
    pinned = re.findall(r'^ *"dvc==([\d.]+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    locked = re.findall(r"^dvc==([\d.]+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE)
    assert pinned == locked and len(locked) == 1
