"""Snapshots: code, parameters and ``dvc.lock`` at one moment as a git commit outside of any branch.

A model is often made from a working tree that was never committed. The snapshot is a commit on top of
HEAD with all tracked files as they are now, untracked files of the code, ``params.yaml`` and
``dvc.lock``. The user's index, branch and files stay as they are. A tag protects the commit from ``git
gc``, and the data that its ``dvc.lock`` names from ``dvc gc --all-tags``; a git bundle carries it to
other clones. Other untracked files are left out because they may hold secrets.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

TAGS = "refs/tags/fashion-ops"  # DVC looks for data in branches and tags only
DATA = ("data/batches", "data/also")  # git ignores all but their .dvc files
SETTINGS = ("params.yaml", "dvc.lock", "dvc.yaml")
CODE = ("fashion_ops", "pipelines", *DATA)
_AUTHOR = {
    f"GIT_{role}_{key}": value
    for role in ("AUTHOR", "COMMITTER")
    for key, value in (("NAME", "fashion-ops"), ("EMAIL", "fashion-ops@localhost"))
}


class SnapshotError(RuntimeError):
    """A git command failed; the message says which and why."""


def git(root: Path, *arguments: str, env: Mapping[str, str] | None = None) -> str:
    """Run a git command in ``root`` and return its output without surrounding white space.

    Args:
        root: the working directory.
        arguments: of ``git``.
        env: environment variables to add or replace.

    Raises:
        SnapshotError: the command failed, or git is not installed.
    """
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=root,
            capture_output=True,
            text=True,
            env={**os.environ, **(env or {})},
        )
    except FileNotFoundError as error:
        raise SnapshotError("git is not installed") from error
    if done.returncode:
        raise SnapshotError(f"git {' '.join(arguments)}: {done.stderr.strip() or done.returncode}")
    return done.stdout.strip()


def head(root: Path) -> str:
    """The commit checked out at ``root``, with ``-dirty`` after local changes; ``none`` outside git."""
    try:
        commit = git(root, "rev-parse", "--verify", "--quiet", "HEAD")
        changed = git(root, "status", "--porcelain", "--untracked-files=no")
    except SnapshotError:
        return "none"
    return f"{commit}-dirty" if changed else commit


def take(root: Path, message: str) -> str:
    """Make and tag a snapshot of the repository at ``root``.

    Args:
        root: of the repository; the working tree, index and branch stay as they are.
        message: of the commit.

    Returns:
        Hash of the commit.

    Raises:
        SnapshotError: ``root`` is not in a git repository, or the repository has no commit.
    """
    try:
        parent = git(root, "rev-parse", "--verify", "HEAD")
    except SnapshotError as error:
        raise SnapshotError(f"{root}: not in a git repository with a commit") from error
    with tempfile.TemporaryDirectory() as scratch:
        index = Path(scratch) / "index"
        shutil.copy(root / git(root, "rev-parse", "--git-path", "index"), index)
        env = {**_AUTHOR, "GIT_INDEX_FILE": str(index)}
        git(root, "add", "--update", ":/", env=env)
        code = [name for name in CODE if (root / name).is_dir()]
        git(root, "add", "--all", "--", *code, env=env) if code else None
        settings = [name for name in SETTINGS if (root / name).is_file()]
        git(root, "add", "--force", "--", *settings, env=env)
        tree = git(root, "write-tree", env=env)
        commit = git(root, "commit-tree", tree, "-p", parent, "-m", message, env=env)
    git(root, "update-ref", f"{TAGS}/{commit}", commit)
    return commit


def pack(root: Path, commit: str, target: Path) -> None:
    """Write the snapshot ``commit`` as a git bundle, which any clone with its parent can ``unpack``."""
    git(root, "bundle", "create", "--quiet", str(target.resolve()), f"{TAGS}/{commit}", f"^{commit}^")


def has(root: Path, commit: str) -> bool:
    """Whether the repository at ``root`` has this commit; False outside of git."""
    try:
        git(root, "cat-file", "-e", f"{commit}^{{commit}}")
    except SnapshotError:
        return False
    return True


def unpack(root: Path, commit: str, bundle: Path) -> None:
    """Import the snapshot ``commit`` from a git bundle that ``pack`` wrote, with its tag.

    Raises:
        SnapshotError: the repository at ``root`` lacks the commit that the snapshot was made on.
    """
    ref = f"{TAGS}/{commit}"
    try:
        git(root, "fetch", "--quiet", "--no-tags", str(bundle.resolve()), f"{ref}:{ref}")
    except SnapshotError as error:
        raise SnapshotError(
            f"{root}: lacks the commit that snapshot {commit[:12]} was made on; fetch it from the "
            f"repository where that was done, then try again ({error})"
        ) from error


def open_worktree(root: Path, commit: str, folder: Path) -> Path:
    """Check a commit out into the new worktree ``folder``.

    Returns:
        The folder in it that corresponds to ``root``, which may be a sub-folder of its repository.
    """
    git(root, "worktree", "add", "--quiet", "--detach", str(folder.resolve()), commit)
    return folder.resolve() / git(root, "rev-parse", "--show-prefix")


def close_worktree(root: Path, folder: Path) -> None:
    """Remove a worktree with all files in it."""
    git(root, "worktree", "remove", "--force", str(folder.resolve()))
