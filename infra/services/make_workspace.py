"""Bring the repository into a workspace: clone it, or move it on to a newer commit.

Nothing is lost: a change in the workspace that the new commit also changes, or a commit that was made
in the workspace beside it, makes this end with git's message. Address and commit come from the
environment: ``REPOSITORY_URL``, ``REPOSITORY_REF`` (branch, tag or commit; default ``main``) and, for a
private repository over HTTPS, ``REPOSITORY_TOKEN``, which only git's process gets and which is written
nowhere.

    python infra/services/make_workspace.py /workspace
"""

import base64
import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

BRANCH = "workspace"  # of the clone: it may have commits of its own


def make_workspace(folder: Path, url: str, ref: str, token: str | None = None) -> str:
    """Clone ``url`` into ``folder``, or merge its newest commit of ``ref`` fast-forward.

    Args:
        folder: may have other files, such as a volume's ``lost+found``.
        url: address of the repository, without user and password.
        ref: branch, tag or commit.
        token: password for HTTPS.

    Returns:
        The commit that the workspace now has.

    Raises:
        ValueError: the address has a password, or git fails; one line or git's message.
    """
    if urlsplit(url).password:
        raise ValueError(
            "REPOSITORY_URL: it has a password, which git would store; use REPOSITORY_TOKEN"
        )
    env = _environment(folder, token)

    def git(*arguments: str) -> str:
        done = subprocess.run(
            ["git", *arguments], cwd=folder, env=env, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise ValueError(f"git {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout.strip()

    if not (folder / ".git").exists():
        git("init", "--quiet", f"--initial-branch={BRANCH}")
    if "origin" in git("remote").split():
        git("remote", "set-url", "origin", url)
    else:
        git("remote", "add", "origin", url)
    git("fetch", "--quiet", "--tags", "origin", ref)
    git("merge", "--quiet", "--ff-only", "FETCH_HEAD")
    return git("rev-parse", "HEAD")


def _environment(folder: Path, token: str | None) -> dict[str, str]:
    """Git's environment: it asks nobody, accepts the owner of the folder, and sends the token."""
    settings = {"safe.directory": str(folder.resolve()), "http.followRedirects": "false"}
    if token:
        pair = base64.b64encode(f"x-access-token:{token}".encode()).decode()
        settings["http.extraHeader"] = f"Authorization: Basic {pair}"
    env = {"GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_COUNT": str(len(settings))}
    for i, (key, value) in enumerate(settings.items()):
        env |= {f"GIT_CONFIG_KEY_{i}": key, f"GIT_CONFIG_VALUE_{i}": value}
    return {name: v for name, v in os.environ.items() if name != "REPOSITORY_TOKEN"} | env


def main() -> int:
    """Read the environment; returns 0, or 2 with a message."""
    if len(sys.argv) != 2 or not (url := os.environ.get("REPOSITORY_URL")):
        print("make_workspace.py FOLDER, and REPOSITORY_URL in the environment", file=sys.stderr)
        return 2
    ref, token = os.environ.get("REPOSITORY_REF") or "main", os.environ.get("REPOSITORY_TOKEN")
    try:
        print(f"{sys.argv[1]}: commit {make_workspace(Path(sys.argv[1]), url, ref, token)}")
    except (OSError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
