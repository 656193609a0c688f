"""A throw-away repository with two stages that write as the real ones do."""

import json
import os
import subprocess
import sys
from pathlib import Path

from fashion_ops.ledger import Ledger

DVC = [sys.executable, "-m", "dvc"]
ROOT = Path(__file__).parents[1]
PIPELINE = """
stages:
  load:
    cmd: python make.py load data
    deps: [make.py]
    params: [size, word]
    outs: [data]
  train:
    cmd: python make.py train model
    deps: [make.py, data]
    params: [size]
    outs: [model]
"""
# Writes an output as every step does; where there is a file named hold, it stops half-way and waits.
MAKE = """
import sys, time
from pathlib import Path
import yaml
from fashion_ops.workspace import publish
stage, out = sys.argv[1:]
params = yaml.safe_load(Path("params.yaml").read_text())
with publish(Path(out)) as folder:
    (folder / "one").write_bytes((stage[:1] + params["word"]).encode() * params["size"])
    if Path(f"hold-{stage}").exists():
        Path("held").touch()
        time.sleep(600)
    (folder / "two").write_bytes(b"2" * params["size"])
"""


def set_params(root: Path, size: int = 1000, word: str = "a") -> None:
    (root / "params.yaml").write_text(f"size: {size}\nword: {word}\n")


def environment() -> dict[str, str]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "PYTHONPATH": str(ROOT), "PATH": path}


def sh(*command: str, cwd: Path, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=environment())
    assert not check or done.returncode == 0, done.stdout + done.stderr
    return done


def make_repository(root: Path) -> Path:
    root.mkdir(exist_ok=True)
    sh("git", "init", "-q", cwd=root)
    sh(*DVC, "init", "-q", cwd=root)
    sh(*DVC, "config", "core.analytics", "false", cwd=root)
    (root / "dvc.yaml").write_text(PIPELINE)
    (root / "make.py").write_text(MAKE)
    (root / ".gitignore").write_text("/data\n/model\n")
    set_params(root)
    return root


def make(root: Path, *stages: str) -> None:
    """Run and record stages as a driver does."""
    ledger = Ledger(root)
    for stage in stages:
        snapshot = ledger.snapshot(stage)
        sh("sh", "-c", snapshot.cmd, cwd=root)
        ledger.commit(stage, snapshot)


def clean(root: Path) -> bool:
    return json.loads(sh(*DVC, "status", "--json", cwd=root).stdout) == {}
