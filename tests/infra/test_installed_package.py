"""The wheel, installed into a clean environment and used in a folder that is no workspace."""

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pytest
from untrained_models import make_models, tiny_params

from fashion_ops.workspace import Workspace

ROOT = Path(__file__).parents[2]
PACKAGES = ("fashion_ops", "pipelines")
# Runs command lines in one process, since each that imports torch takes seconds.
COMMANDS = """
import glob, sys
from fashion_ops import cli
print("package", cli.__file__)
for line in sys.stdin.read().splitlines():
    words = [w for word in line.split() for w in (sorted(glob.glob(word)) if "*" in word else [word])]
    try:
        cli.app(words, prog_name="fashion-ops")
    except SystemExit as stop:
        print("status", stop.code, flush=True)
        print("--", file=sys.stderr, flush=True)
"""


@dataclass(frozen=True)
class Environment:
    """A virtual environment with the wheel, beside the locked packages of this one."""

    folder: Path
    wheel: Path

    def run(self, *command: str, cwd: Path, text: str = "") -> subprocess.CompletedProcess[bytes]:
        outside = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "FASHION_OPS_ROOT")}
        return subprocess.run(
            [str(self.folder / "bin" / command[0]), *command[1:]],
            cwd=cwd,
            env={**outside, "HOME": str(cwd.parent), "XDG_STATE_HOME": str(cwd.parent / "state")},
            input=text.encode(),
            capture_output=True,
        )


@pytest.fixture(scope="module")
def environment(tmp_path_factory) -> Environment:
    base = tmp_path_factory.mktemp("installed")
    source = base / "source"
    for name in PACKAGES:
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    build = "from setuptools import build_meta; build_meta.build_wheel('dist')"
    subprocess.run([sys.executable, "-c", build], cwd=source, check=True, capture_output=True)
    [wheel] = (source / "dist").glob("*.whl")
    uv, folder = Path(sys.executable).with_name("uv"), base / "env"
    options = ["--quiet", "--offline", "--python"]
    subprocess.run([uv, "venv", *options, sys.executable, folder], check=True)
    python = folder / "bin" / "python"
    subprocess.run([uv, "pip", "install", *options, python, "--no-deps", wheel], check=True)
    [packages] = folder.glob("lib/python*/site-packages")
    (packages / "locked.pth").write_text(f"{sysconfig.get_paths()['purelib']}\n")
    return Environment(folder, wheel)


def test_the_wheel_holds_every_module_and_data_file(environment):
    with zipfile.ZipFile(environment.wheel) as wheel:
        packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
    files = (path for name in PACKAGES for path in (ROOT / name).rglob("*") if path.is_file())
    assert packed == {
        path.relative_to(ROOT).as_posix() for path in files if "__pycache__" not in path.parts
    }


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Path:
    ws = Workspace(tmp_path_factory.mktemp("bundle"))
    make_models(tiny_params(ws), ws)
    return ws.root / "models"


def test_it_works_outside_of_any_workspace(environment, bundle, tmp_path):
    """Photos with odd names too: the one that cannot be written stops no other."""
    here = tmp_path / "elsewhere"
    (here / "photos").mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 255, (80, 60, 3), np.uint8)
    data = cv2.imencode(".jpg", pixels)[1].tobytes()
    for name in (b"a.jpg", b"caf\xe9.jpg", b"n" * 251 + b".jpg", b"z.jpg"):
        (here / "photos" / os.fsdecode(name)).write_bytes(data)
    (here / "photos" / "bad.jpg").write_bytes(b"no photo")
    lines = [
        "describe detector --backbone mdla34 --size 256",
        f"predict photos/* --out out --model {bundle} --min-score 0",
        "ingest",
    ]
    done = environment.run("python", "-c", COMMANDS, cwd=here, text="\n".join(lines))
    printed = done.stdout.decode()
    assert f"package {environment.folder}" in printed, done.stderr.decode()
    assert [line for line in printed.splitlines() if line.startswith("status")] == [
        *("status 0", "status 1", "status 2"),
    ], printed + done.stderr.decode()
    assert "mdla34" in printed and "parameters" in printed
    _, predicted, ingested, _ = done.stderr.decode().split("--\n")
    assert "photos/bad.jpg: image cannot be decoded" in predicted and "Traceback" not in predicted
    written = {os.fsencode(path.name) for path in (here / "out").iterdir()}
    assert {b"a.json", b"a.png", b"caf\xe9.json", b"caf\xe9.png", b"z.json", b"z.png"} <= written
    assert "git clone" in ingested and "FASHION_OPS_ROOT" in ingested
    assert len(ingested.strip().splitlines()) == 1
    assert sorted(p.name for p in here.iterdir()) == ["out", "photos"]  # nothing else is left


def test_the_installed_script_answers(environment, tmp_path):
    done = environment.run(
        "fashion-ops", "predict", "a.jpg", "--out", "o", "--min-score", "nan", cwd=tmp_path
    )
    assert done.returncode == 2 and b"nan is not a number from 0 to 1" in done.stderr
