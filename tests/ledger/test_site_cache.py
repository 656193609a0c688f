"""DVC's databases with pickles are in a private folder of the workspace."""

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from dvc.repo import Repo

from fashion_ops.ledger import Ledger, LedgerError

ROOT = Path(__file__).parents[2]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("DVC_SITE_CACHE_DIR", raising=False)
    root = tmp_path / "one"
    root.mkdir()
    Repo.init(str(root), no_scm=True).close()
    (root / "sub").mkdir()
    return root


def private(folder: Path) -> bool:
    return stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_the_ledger_and_dvc_by_hand_use_the_workspace_and_nobody_else_may_enter(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = Ledger(root)
    cache = root / ".dvc" / "site_cache"
    assert private(cache) and Path(ledger.dvc.site_cache_dir).is_relative_to(cache)
    assert Path(ledger.dvc.state.links.directory).is_relative_to(cache)  # diskcache
    monkeypatch.chdir(root / "sub")
    by_hand = Repo()  # as the command `dvc` opens it
    assert by_hand.site_cache_dir == ledger.dvc.site_cache_dir
    assert not list((root / "sub").iterdir())


def test_a_folder_that_others_may_enter_is_closed_and_a_copy_has_its_own(root: Path) -> None:
    Ledger(root)
    (root / ".dvc" / "config.local").write_text(
        (root / ".dvc" / "config.local").read_text() + "[cache]\n    shared = group\n"
    )
    copy = root.with_name("two")
    shutil.copytree(root, copy)
    (copy / ".dvc" / "site_cache").chmod(0o777)
    ledger = Ledger(copy)
    assert private(copy / ".dvc" / "site_cache")
    assert Path(ledger.dvc.site_cache_dir).is_relative_to(copy)
    assert ledger.dvc.config["cache"]["shared"] == "group"  # other settings stay


def test_another_folder_can_be_named_and_one_that_cannot_be_made_is_named(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "own"))
    assert Path(Ledger(root).dvc.site_cache_dir).is_relative_to(tmp_path / "own")
    shutil.rmtree(root / ".dvc" / "site_cache")
    (root / ".dvc" / "site_cache").write_text("in the way")
    with pytest.raises(LedgerError, match="site_cache"):
        Ledger(root)


def test_make_env_prepares_it_for_dvc_by_hand(root: Path) -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert "python -m fashion_ops.ledger.site_cache" in makefile
    assert (
        "find .dvc/site_cache -mindepth 1 ! -name .gitignore -delete" in makefile
    )  # `make clean` keeps its permissions
    command = [sys.executable, "-m", "fashion_ops.ledger.site_cache"]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    subprocess.run(command, cwd=root, env=env, check=True)
    assert private(root / ".dvc" / "site_cache")
    assert str(root / ".dvc" / "site_cache") in (root / ".dvc" / "config.local").read_text()
    subprocess.run(["git", "init", "--quiet"], cwd=root, check=True)
    listed = ["git", "status", "--porcelain", "--untracked-files=all"]
    seen = subprocess.run(listed, cwd=root, check=True, capture_output=True, text=True).stdout
    assert "site_cache" not in seen
