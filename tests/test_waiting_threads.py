"""Threads of OpenMP spin briefly, then sleep, in every process of ours; the operator's word wins."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# What torch's OpenMP itself says when it is loaded; loading it alone takes no seven seconds.
SHORT = 30000  # spins; OpenMP's default is 300,000, some 3 ms
LOAD = "import ctypes, sys; ctypes.CDLL(sys.argv[1])"


def spins(code: str, **settings: str) -> int:
    """How often a waiting thread spins before it sleeps, if OpenMP is loaded after this code."""
    spec = importlib.util.find_spec("torch")
    assert spec is not None and spec.submodule_search_locations
    libraries = sorted(Path(spec.submodule_search_locations[0], "lib").glob("libgomp*.so*"))
    if not libraries:
        pytest.skip("this torch brings no libgomp")
    env = {k: v for k, v in os.environ.items() if not k.startswith(("OMP_", "GOMP_"))}
    env |= {"OMP_DISPLAY_ENV": "verbose", "PYTHONPATH": str(ROOT), **settings}
    command = [sys.executable, "-c", f"{code}\n{LOAD}", str(libraries[0])]
    done = subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    [line] = [line for line in done.stderr.splitlines() if "GOMP_SPINCOUNT" in line]
    return int(line.partition("=")[2].strip(" '"))


CHECK = "import sys; assert not {'torch', 'sklearn'} & set(sys.modules), 'OpenMP may be loaded already'"


@pytest.mark.parametrize(
    "entry",
    ["fashion_ops", "fashion_ops.cli", "pipelines.run", "papers", "bench"],
)
def test_every_way_in_sets_the_policy_before_openmp_is_loaded(entry: str) -> None:
    assert spins(f"import {entry}\n{CHECK}") == SHORT


def test_the_operator_s_word_wins_and_without_us_threads_spin_longer() -> None:
    assert spins("import fashion_ops", OMP_WAIT_POLICY="active") > spins("") > SHORT
    assert spins("import fashion_ops", GOMP_SPINCOUNT="7") == 7
    assert spins("import fashion_ops", OMP_WAIT_POLICY="passive") == SHORT


def test_images_and_make_set_it_for_what_does_not_import_us_first() -> None:
    image, make = (ROOT / "infra" / "ray" / "Dockerfile").read_text(), (ROOT / "Makefile").read_text()
    assert "OMP_WAIT_POLICY=passive" in image and f"GOMP_SPINCOUNT={SHORT}" in image
    assert "export OMP_WAIT_POLICY ?= passive" in make and f"export GOMP_SPINCOUNT ?= {SHORT}" in make
