"""A step is current only if its output can be had: cache, workspace and remote that lack something.

What DVC calls stale, what ``make_current`` says and what `dvc repro` does must agree afterwards.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from small_repository import DVC, clean, make, make_repository, sh
from typer.testing import CliRunner

from fashion_ops.cli import app
from fashion_ops.ledger import Ledger, LedgerError, lost_outputs, objects, repair_cache

FILES = ("model/one", "model/two")


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = make_repository(tmp_path_factory.mktemp("cache") / "template")
    make(root, "load", "train")
    return root


@pytest.fixture
def root(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "repo"))


def cached(root: Path, path: str) -> Path:
    """The object of an output of ``train``: the folder ``model`` or a file of it."""
    ledger = Ledger(root)
    entry = ledger.entry("train")
    assert entry is not None
    folder = entry.outs["model"]
    md5 = (
        objects.read_folder(ledger.store, folder)[path.removeprefix("model/")]
        if "/" in path
        else folder
    )
    return ledger.cached(md5)


def remove(path: Path) -> None:
    path.unlink()


def truncate(path: Path) -> None:
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-1])
    path.chmod(0o444)


def rot_writable(path: Path) -> None:
    """DVC deletes such an object when it looks at it."""
    path.chmod(0o644)
    path.write_bytes(b"X" + path.read_bytes()[1:])


FAULTS = {"missing": remove, "truncated": truncate, "rotten and writable": rot_writable}


def repro(root: Path) -> str:
    return sh(*DVC, "repro", cwd=root).stdout


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("path", ["model", "model/one"])
def test_what_the_cache_lacks_comes_back_from_a_whole_workspace(
    root: Path, fault: str, path: str
) -> None:
    FAULTS[fault](cached(root, path))
    ledger = Ledger(root)
    assert ledger.make_current("train")
    assert cached(root, path).stat().st_mode & 0o777 == 0o444
    ledger.verify("train")
    assert ledger.changes() == {} == lost_outputs(ledger) and clean(root)
    assert "Running" not in repro(root)


@pytest.mark.parametrize("fault", FAULTS)
def test_check_cache_puts_single_files_back_beside_an_edited_one(root: Path, fault: str) -> None:
    """All of the workspace is not needed: the file itself must be whole."""
    FAULTS[fault](cached(root, "model/one"))
    (root / "model" / "two").write_text("edited")
    done = CliRunner().invoke(app, ["check-cache", "--root", str(root)])
    assert "train: model/one damaged in the cache or missing there" in done.output
    assert lost_outputs(Ledger(root)) == {} and done.exit_code == 1  # two is modified
    sh(*DVC, "checkout", "--force", "model", cwd=root)
    assert clean(root)


def test_an_output_that_only_the_cache_has_is_restored_not_made_again(root: Path) -> None:
    shutil.rmtree(root / "model")
    assert not Ledger(root).is_current("train")
    assert Ledger(root).make_current("train") and clean(root)
    (root / "model" / "one").unlink()
    (root / "model" / "one").write_text("edited")
    assert Ledger(root).make_current("train") and clean(root)
    assert "Running" not in repro(root)


@pytest.mark.parametrize("take", ["remote", "nobody"])
def test_an_output_that_neither_workspace_nor_cache_has(root: Path, take: str) -> None:
    if take == "remote":
        shutil.copytree(root / ".dvc" / "cache", root.parent / "store")
        sh(*DVC, "remote", "add", "--default", "store", str(root.parent / "store"), cwd=root)
    truncate(cached(root, "model/one"))
    shutil.rmtree(root / "model")
    if take == "remote":
        assert Ledger(root).make_current("train") and clean(root)
        return
    assert not Ledger(root).make_current("train") and not (root / "model").exists()
    assert set(Ledger(root).stale()) == {"train"}
    done = CliRunner().invoke(app, ["check-cache", "--root", str(root)])
    assert done.exit_code == 1
    assert "train: model/one: neither in the workspace nor in a default remote" in done.output
    assert "run the step again: `dvc repro train`" in done.output
    assert "Running" in repro(root) and clean(root)  # and all agree again
    assert Ledger(root).make_current("train")


def test_a_rotten_object_never_replaces_an_output(root: Path) -> None:
    """Its size and mode are right: only its content tells, and that is read."""
    path = cached(root, "model/one")
    rot_writable(path)
    path.chmod(0o444)
    shutil.rmtree(root / "model")
    assert not Ledger(root).make_current("train")
    assert not path.exists() and not (root / "model").exists()


def test_a_workspace_that_changed_unnoticed_is_not_taken(root: Path) -> None:
    """DVC remembers a hash by time, size and inode; a bad disk changes none of them."""
    import os

    one = root / "model" / "one"
    before = one.stat()
    with one.open("r+b") as file:
        file.write(b"X")
    os.utime(one, ns=(before.st_atime_ns, before.st_mtime_ns))
    cached(root, "model/one").unlink()
    assert not Ledger(root).is_current("train")
    assert repair_cache(Ledger(root)) == {"train": ["model/one"]}
    assert lost_outputs(Ledger(root)) == {"train": ["model/one"]}


def test_a_versioned_input_comes_back_too_and_a_lost_one_is_named(root: Path) -> None:
    (root / "extra").mkdir()
    (root / "extra" / "1.jpg").write_bytes(b"jpeg")
    ledger = Ledger(root)
    ledger.add(root / "extra")
    objects.path_of(ledger.store, objects.bytes_md5(b"jpeg")).unlink()
    assert repair_cache(ledger) == {"extra.dvc": ["extra/1.jpg"]}
    assert lost_outputs(ledger) == {} and clean(root)
    objects.path_of(ledger.store, objects.bytes_md5(b"jpeg")).unlink()
    shutil.rmtree(root / "extra")
    done = CliRunner().invoke(app, ["check-cache", "--root", str(root)])
    assert "no step makes it: put a copy back into extra" in done.output and done.exit_code == 1


BREAKS: dict[str, tuple[Callable[[Path], object], str]] = {
    "conflict": (
        lambda root: (root / "dvc.lock").write_text(
            "<<<<<<< HEAD\nschema: '2.0'\n=======\n>>>>>>> b\n"
        ),
        r"dvc\.lock: line 1 is the mark of a merge conflict.*git checkout --ours",
    ),
    "no YAML": (lambda root: (root / "dvc.lock").write_text("stages: {"), r"dvc\.lock: not valid YAML"),
    "a list": (lambda root: (root / "dvc.lock").write_text("- 1"), r"dvc\.lock: not a dvc\.lock"),
    "no cmd": (
        lambda root: (root / "dvc.lock").write_text("schema: '2.0'\nstages: {load: {}}"),
        r"dvc\.lock: not a dvc\.lock .*cmd",
    ),
    "pipeline": (lambda root: (root / "dvc.yaml").write_text("stages: {"), r"dvc\.yaml"),
    "conflict in the pipeline": (
        lambda root: (root / "dvc.yaml").write_text("stages: {}\n<<<<<<< HEAD\n"),
        r"dvc\.yaml: line 2 is the mark of a merge conflict",
    ),
}


@pytest.mark.parametrize("broken", BREAKS)
def test_a_broken_file_is_one_line_that_names_it(root: Path, broken: str) -> None:
    breaks, expected = BREAKS[broken]
    breaks(root)
    with pytest.raises(LedgerError, match=expected) as caught:
        Ledger(root).is_current("load")
    assert "\n" not in str(caught.value)
    done = CliRunner().invoke(app, ["check-cache", "--root", str(root)])
    assert done.exit_code == 2


def test_the_bytes_of_a_folder_object_are_those_of_dvc(root: Path) -> None:
    ledger = Ledger(root)
    assert objects.md5_of(root / "model", root) == ledger.entries()["train"].outs["model"]
    assert objects.folder_object(root / "model", root) == cached(root, "model").read_bytes()
    assert json.loads(cached(root, "model").read_text())[0]["relpath"] == "one"
