"""The ledger against DVC itself, in a throw-away repository with tiny stages."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from fashion_ops.ledger import InputsChanged, Ledger, LedgerError

DVC = [sys.executable, "-m", "dvc"]
PIPELINE = """
stages:
  load:
    cmd: cp raw.txt data.txt
    deps: [raw.txt]
    outs: [data.txt]
  train:
    foreach:
      skirt: ${categories.skirt}
      vest: ${categories.vest}
    do:
      cmd: echo ${key} > model-${key}.txt
      deps: [data.txt, fashion_ops/train.py]
      params:
        - categories.${key}.lr
      outs:
        - model-${key}.txt
  evaluate:
    cmd: cat model-skirt.txt model-vest.txt > score.txt
    deps: [model-skirt.txt, model-vest.txt]
    params: [categories]
    outs: [score.txt]
"""
STAGES = ["load", "train@skirt", "train@vest", "evaluate"]


def sh(*command: str, cwd: Path) -> str:
    return subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True).stdout


def set_params(root: Path, skirt: float = 0.1, vest: float = 0.1) -> None:
    odd = "name: 'on', tiny: 0.00001, big: 1.0e+20, sizes: [96, 1.5], none: null, ok: true"
    text = f"categories:\n  skirt: {{lr: {skirt}}}\n  vest: {{lr: {vest}}}\n  odd: {{{odd}}}\n"
    (root / "params.yaml").write_text(text)


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("template")
    sh("git", "init", "-q", cwd=root)
    sh(*DVC, "init", "-q", cwd=root)
    sh(*DVC, "config", "core.analytics", "false", cwd=root)
    (root / "dvc.yaml").write_text(PIPELINE)
    (root / "raw.txt").write_text("raw")
    (root / "fashion_ops").mkdir()
    (root / "fashion_ops" / "train.py").write_text("v1")
    set_params(root)
    return root


@pytest.fixture
def root(template: Path, tmp_path: Path) -> Path:
    """A copy of the template; the tests stand in another directory than it."""
    return Path(shutil.copytree(template, tmp_path / "repo"))


def make(ledger: Ledger, *stages: str) -> None:
    for stage in stages:
        snapshot = ledger.snapshot(stage)
        sh("sh", "-c", snapshot.cmd, cwd=ledger.root)
        ledger.commit(stage, snapshot)


def test_committed_stages_are_clean_for_dvc_itself(root: Path) -> None:
    ledger = Ledger(root)
    assert set(ledger.stale()) == set(STAGES)
    make(ledger, *STAGES)
    assert ledger.stale() == {}
    assert json.loads(sh(*DVC, "status", "--json", cwd=root)) == {}
    before = (root / "dvc.lock").read_bytes()
    assert "up to date" in sh(*DVC, "repro", cwd=root)
    assert (root / "dvc.lock").read_bytes() == before


def test_entries_equal_those_of_dvc_repro(root: Path, template: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(template, tmp_path / "other"))
    sh(*DVC, "repro", "-q", cwd=other)
    ledger = Ledger(root)
    make(ledger, *STAGES)
    assert ledger.entries() == Ledger(other).entries()
    assert ledger.lock_file.read_text() == (other / "dvc.lock").read_text()
    entry = ledger.entry("load")
    assert entry is not None
    assert entry.data_version == "bdd166af3a63f7be696dd17a218a6ffb"  # printf raw | md5sum
    assert ledger.entry("evaluate") is not None and "evaluate" not in Ledger(template).entries()


def test_one_learning_rate_names_exactly_what_follows(root: Path) -> None:
    ledger = Ledger(root)
    make(ledger, *STAGES)
    codes = ledger.code_versions()
    assert codes == {s.partition("@")[0]: e.code_version for s, e in ledger.entries().items()}
    set_params(root, skirt=0.2)
    stale = ledger.stale()
    assert list(stale) == ["train@skirt", "evaluate"]
    assert "categories.skirt.lr modified" in stale["train@skirt"][0]
    assert not ledger.is_current("train@skirt") and ledger.is_current("train@vest")
    changed = {step for step, code in ledger.code_versions().items() if code != codes[step]}
    assert changed == {"evaluate"}  # a step has one version for all its categories
    (root / "fashion_ops" / "train.py").write_text("v2")
    changed = {step for step, code in ledger.code_versions().items() if code != codes[step]}
    assert changed == {"evaluate", "train"}
    (root / "fashion_ops" / "train.py").write_text("v1")
    make(ledger, "train@skirt", "evaluate")
    assert ledger.stale() == {}


def test_stale_reaches_everything_downstream(root: Path) -> None:
    ledger = Ledger(root)
    make(ledger, *STAGES)
    (root / "raw.txt").write_text("other")
    assert next(iter(ledger.stale())) == "load" and set(ledger.stale()) == set(STAGES)
    assert sorted(ledger.stale()["evaluate"]) == ["train@skirt is stale", "train@vest is stale"]


@pytest.mark.parametrize("changed", ["input", "parameter", "code"])
def test_inputs_that_change_while_the_stage_runs_are_refused(root: Path, changed: str) -> None:
    ledger = Ledger(root)
    make(ledger, "load", "train@skirt")
    lock = (root / "dvc.lock").read_bytes()
    snapshot = ledger.snapshot("train@vest")
    sh("sh", "-c", snapshot.cmd, cwd=root)
    if changed == "input":
        (root / "data.txt").write_text("edited meanwhile")
    elif changed == "parameter":
        set_params(root, vest=0.7)
    else:
        (root / "fashion_ops" / "train.py").write_text("v2")
    named = {"input": "data.txt", "parameter": "categories.vest.lr", "code": "fashion_ops/train.py"}
    with pytest.raises(InputsChanged, match=named[changed]):
        ledger.commit("train@vest", snapshot)
    assert (root / "dvc.lock").read_bytes() == lock
    # Nor may the run cache hold the false pair: DVC would restore it instead of running.
    sh(*DVC, "repro", "-q", "-s", "load", cwd=root)
    (root / "model-vest.txt").unlink()
    assert "Running" in sh(*DVC, "repro", "-s", "train@vest", cwd=root)


def test_changing_another_category_does_not_disturb(root: Path) -> None:
    ledger = Ledger(root)
    make(ledger, "load")
    snapshot = ledger.snapshot("train@vest")
    sh("sh", "-c", snapshot.cmd, cwd=root)
    set_params(root, skirt=0.9)
    assert ledger.commit("train@vest", snapshot).params == {"categories.vest.lr": 0.1}


def test_errors_say_what_is_missing(root: Path) -> None:
    ledger = Ledger(root)
    with pytest.raises(LedgerError, match=r"train@vest: .*data\.txt"):
        ledger.snapshot("train@vest")
    with pytest.raises(LedgerError, match="train@hat"):
        ledger.snapshot("train@hat")
    snapshot = ledger.snapshot("load")
    with pytest.raises(LedgerError, match=r"load: .*data\.txt"):
        ledger.commit("load", snapshot)
    assert ledger.entries() == {}


def test_digest_moves_with_every_input(root: Path) -> None:
    ledger = Ledger(root)
    make(ledger, "load")
    seen = {ledger.snapshot("train@vest").digest, ledger.snapshot("train@skirt").digest}
    set_params(root, vest=0.3)
    seen.add(ledger.snapshot("train@vest").digest)
    (root / "fashion_ops" / "train.py").write_text("v3")
    seen.add(ledger.snapshot("train@vest").digest)
    (root / "data.txt").write_text("else")
    seen.add(ledger.snapshot("train@vest").digest)
    assert len(seen) == 5


def test_small_numbers_read_as_dvc_reads_them(root: Path) -> None:
    ledger = Ledger(root)
    make(ledger, "load")
    set_params(root, vest=0.00001)
    make(ledger, "train@vest")
    assert "1e-05" in ledger.lock_file.read_text()  # to YAML 1.1 that is text
    entry = ledger.entry("train@vest")
    assert entry is not None and entry.params == {"categories.vest.lr": 1e-05}
    assert ledger.is_current("train@vest") and entry.digest == ledger.snapshot("train@vest").digest
    (root / "model-vest.txt").write_text("by hand")
    assert not ledger.is_current("train@vest")
    (root / "model-vest.txt").unlink()
    assert not ledger.is_current("train@vest")


def test_the_lock_file_does_not_depend_on_which_stage_completes_first(
    root: Path, tmp_path: Path
) -> None:
    other = Path(shutil.copytree(root, tmp_path / "other"))
    make(Ledger(root), *STAGES)
    make(Ledger(other), "load", "train@vest", "train@skirt", "evaluate")
    assert (root / "dvc.lock").read_bytes() == (other / "dvc.lock").read_bytes()


def test_two_ledgers_see_each_other(root: Path) -> None:
    one, two = Ledger(root), Ledger(root)
    assert not two.is_current("load")
    make(one, "load")
    make(two, "train@vest")
    make(one, "train@skirt")
    assert two.is_current("load") and list(two.stale()) == ["evaluate"] == list(one.stale())


def test_graph_edges(root: Path) -> None:
    ledger = Ledger(root)
    assert ledger.stages() == STAGES
    assert ledger.graph_edges() == {
        ("load", "train@skirt"),
        ("load", "train@vest"),
        ("train@skirt", "evaluate"),
        ("train@vest", "evaluate"),
    }


def test_verify_wants_one_story(root: Path) -> None:
    ledger = Ledger(root)
    with pytest.raises(LedgerError, match="load: its output is not the recorded one"):
        ledger.verify()
    make(ledger, *STAGES)
    ledger.verify()
    digest, of_skirt = ledger.digest(), ledger.digest("train@skirt")
    set_params(root, vest=0.3)
    make(ledger, "train@vest")
    assert ledger.digest() != digest and ledger.digest("train@skirt") == of_skirt
    make(ledger, "evaluate")
    digest = ledger.digest()
    (root / "fashion_ops" / "train.py").write_text("edited later")  # the outputs stay what they are
    ledger.verify()
    set_params(root, skirt=0.2)
    (root / "raw.txt").write_text("other")
    make(ledger, "load")
    assert ledger.digest() != digest and ledger.digest("train@skirt") != of_skirt
    with pytest.raises(LedgerError, match="train@skirt: made from another version") as caught:
        ledger.verify()
    assert "evaluate" not in str(caught.value)
    (root / "score.txt").write_text("by hand")
    with pytest.raises(LedgerError, match="evaluate: its output is not the recorded one"):
        ledger.verify()
    ledger.verify("load")  # stages downstream are left out
    assert ledger.changes("load") == {} and "evaluate" in ledger.changes()


def test_a_folder_without_dvc_is_named(tmp_path):
    with pytest.raises(LedgerError, match=f"{tmp_path}: no DVC repository"):
        Ledger(tmp_path)
