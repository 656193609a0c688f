"""``bench.gpu`` runs without a GPU at a tiny size, and without any orchestrator installed."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from bench import gpu

IMPORTS = """
import ast, json, sys
from pathlib import Path

class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("ray", "dagster", "dvc", "mlflow"):
            raise ModuleNotFoundError(f"{name} is not installed")

sys.meta_path.insert(0, Blocked())
import bench.gpu, bench.gpu_demo, bench.gpu_methods
names = set()
for name, module in list(sys.modules.items()):
    if name.partition(".")[0] in ("bench", "fashion_ops") and module.__file__:
        for node in ast.parse(Path(module.__file__).read_text()).body:
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names.add(node.module)
print(json.dumps(sorted(names)))
"""


def test_it_imports_what_it_says_it_needs_and_no_orchestrator() -> None:
    run = subprocess.run([sys.executable, "-c", IMPORTS], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    own = {*sys.stdlib_module_names, "bench", "fashion_ops"}
    used = [name for name in json.loads(run.stdout) if name.partition(".")[0] not in own]
    needs = tuple(gpu.NEEDS)
    unnamed = [name for name in used if not name.startswith(needs)]
    unused = [need for need in needs if not any(name.startswith(need) for name in used)]
    assert (unnamed, unused) == ([], [])


def test_two_methods_and_the_demo_at_a_tiny_size(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "gpu.md"
    command = ["--small", "--steps", "1", "--only", "landmarker,DFA", "--no-demo", "--out", str(table)]
    gpu.main(command)
    rows = [line for line in table.read_text().splitlines() if line.startswith("| ")][1:]
    assert [row.split(" | ")[0] for row in rows] == ["| landmarker hrnet_w8_tiny", "| DFA stage 1 tiny"]
    for row in rows:
        cells = row.strip("| ").split(" | ")
        assert len(cells) == len(gpu.COLUMNS)
        assert float(cells[3]) > 0 and float(cells[4]) > 0  # images a second
    assert table.read_text() in capsys.readouterr().out


def test_it_refuses_in_one_line_what_this_machine_cannot_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit, match=r"^bench\.gpu: this process sees no GPU; .*--small$"):
        gpu.main([])
    monkeypatch.setitem(gpu.NEEDS, "no_such_module", "no-such-package")
    with pytest.raises(SystemExit, match=r"^bench\.gpu needs no-such-package: `pip install"):
        gpu.main(["--small"])


def test_a_batch_that_does_not_fit_is_halved(monkeypatch: pytest.MonkeyPatch) -> None:
    from bench.gpu_methods import methods

    tried: list[int] = []

    def measured(method: object, *_: object) -> gpu.Row:
        tried.append(method.batch)  # type: ignore[attr-defined]
        if len(tried) < 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return gpu.Row("x", "1x1", method.batch, 1, 1, 1, 0, 0, 0, 0)  # type: ignore[attr-defined]

    monkeypatch.setattr(gpu, "_measure", measured)
    row = gpu.measure(methods(small=True)[0], torch.device("cpu"), 1, 0)
    assert tried == [2, 1] and row.batch == 1 and row.note == "batch 2 does not fit"
