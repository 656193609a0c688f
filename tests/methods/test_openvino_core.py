"""One OpenVINO runtime a process: networks may go in any order, and signals still arrive."""

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OWNER = "fashion_ops/methods/parts/openvino_core.py"

NETWORKS_THAT_GO_IN_THE_ORDER_THEY_CAME = """
import faulthandler, os, signal, sys
import torch
import openvino as ov

faulthandler.enable()
from fashion_ops.inference.openvino_networks import OpenvinoModule

path = sys.argv[1]
images = torch.rand(1, 3, 8, 8)
network = ov.convert_model(torch.nn.Conv2d(3, 4, 3), example_input=images, input=[images.shape])
ov.save_model(network, path)
first, second = OpenvinoModule(path, 1), OpenvinoModule(path, 1)
first(images), second(images)
del first
del second
arrived = []
signal.signal(signal.SIGUSR1, lambda *_: arrived.append(True))
os.kill(os.getpid(), signal.SIGUSR1)
assert arrived
"""


def test_a_signal_arrives_after_networks_have_gone(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", NETWORKS_THAT_GO_IN_THE_ORDER_THEY_CAME, str(tmp_path / "network.xml")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_nothing_else_makes_a_runtime():
    for folder in ("fashion_ops", "bench", "pipelines", "tests"):
        for path in (ROOT / folder).rglob("*.py"):
            calls = [
                node.lineno
                for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
                if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "Core"
            ]
            name = path.relative_to(ROOT).as_posix()
            assert bool(calls) == (name == OWNER), f"{name} lines {calls}: use CORE of {OWNER}"
