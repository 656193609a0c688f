"""Copies this repository with tiny parameters into another folder, and runs commands there."""

import copy
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import yaml

from fashion_ops.taxonomy import CATEGORY_NAMES

ROOT = Path(__file__).parents[1]
LIMIT = 3600 if "FASHION_OPS_LONG" in os.environ else 540  # seconds that one command may take
RUN = {"finetune": {"lr": 0.001, "epochs": 1}, "refine": {"lr": 0.001, "epochs": 1}}


@dataclass(frozen=True)
class Clone:
    """A working copy of the repository. Commands run in it as a user would run them."""

    root: Path

    @property
    def env(self) -> dict[str, str]:
        binaries = str(Path(sys.executable).parent)
        keep = {k: v for k, v in os.environ.items() if not k.startswith(("DAGSTER", "MLFLOW", "RAY"))}
        return {
            **keep,
            "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(self.root),
            "HOME": str(self.root.parent),
            "OMP_NUM_THREADS": "1",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "DAGSTER_HOME": str(self.root / ".dagster"),
        }

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command, cwd=self.root, env=self.env, capture_output=True, text=True, timeout=LIMIT
        )
        if check and done.returncode:
            raise AssertionError(
                f"{' '.join(command)}: {done.returncode}\n{done.stdout}\n{done.stderr}"
            )
        return done

    def python(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        return self.run(sys.executable, *arguments, check=check)

    @property
    def params(self) -> dict:
        return yaml.safe_load((self.root / "params.yaml").read_text())

    def set_params(self, params: dict) -> None:
        (self.root / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))

    def lock(self) -> dict[str, dict]:
        return yaml.safe_load((self.root / "dvc.lock").read_text())["stages"]


def tiny(params: dict) -> dict:
    """The parameters changed so that the whole pipeline takes a minute."""
    params["synthesize"] |= {"train": 60, "validation": 24, "size": 128, "imbalance": 0.0}
    params["synthesize_alignment"] |= {"train": 24, "val": 8, "test": 8, "items": 4, "people": 6}
    params["pseudo_label"] |= {"clusters": 3}
    params["train_detector"] |= {"epochs": 1, "input_size": 64}
    params["tune_postprocess"] |= {"images": 8, "step": 0.25}
    params["train_landmarker"] |= {"epochs": 1, "backbone": "hrnet_w8_tiny", "crop": [64, 64]}
    params["categories"] = {name: copy.deepcopy(RUN) for name in CATEGORY_NAMES}
    params["evaluate"] |= {"images": 2, "min_gain": -1.0}
    return params


def clone_into(root: Path) -> Clone:
    """Copy the pipeline's files into ``root`` as a git repository with DVC and tiny parameters."""
    for name in ("fashion_ops", "pipelines", "infra", ".dvc"):
        ignore = shutil.ignore_patterns("__pycache__", "cache", "site_cache", "tmp", "config.local")
        shutil.copytree(ROOT / name, root / name, ignore=ignore)
    for name in ("dvc.yaml", "params.yaml", "pyproject.toml", ".dvcignore", ".gitignore"):
        shutil.copy(ROOT / name, root / name)
    for name in ("batches", "also"):
        (root / "data" / name).mkdir(parents=True)
        shutil.copy(ROOT / "data" / name / ".gitkeep", root / "data" / name)
    clone = Clone(root)
    clone.set_params(tiny(clone.params))
    clone.run("git", "init", "--quiet")
    clone.run("git", "add", "--all")
    identity = ("-c", "user.name=test", "-c", "user.email=test@example.com")
    clone.run("git", *identity, "commit", "--quiet", "--message", "start")
    return clone
