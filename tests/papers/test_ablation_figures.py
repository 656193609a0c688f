"""Figures 4 and 12, and measuring in processes of their own."""

import importlib
import json
import mmap
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from fashion_ops.methods.centernet.model import CenterNet
from papers import subprocess_measure
from papers.decode_variants import CachedNetwork, milliseconds
from papers.deepmark import figure4, figure12, savings
from papers.deepmark.workloads import WholeMaps
from papers.evaluation_set import load_evaluation_set
from papers.subprocess_measure import measure, memory_mib, peak_mib, run_in_subprocess

CPU = ["cpu"]


def in_this_process(function, keywords):
    module, _, name = function.partition(":")
    return getattr(importlib.import_module(module), name)(**keywords)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """One repeat, and in this process: starting one takes seconds, and one test does it for real."""
    monkeypatch.setattr(savings, "REPEATS", 1)
    monkeypatch.setattr(subprocess_measure, "run_in_subprocess", in_this_process)
    for module in (figure4, figure12):
        monkeypatch.setattr(module, "devices", lambda _: CPU)


def test_figure4(config_of):
    table = figure4.run(config_of(backbones=("tiny",), batch=2), size=64)
    assert list(table.rows.index) == [
        "tiny, whole maps, 294",
        "tiny, whole maps, 62",
        "tiny, at targets, 294",
        "tiny, at targets, 62",
    ]
    check_savings(table)
    assert {p.column for p in table.paper} == {"time saved, %", "memory saved, %"}
    assert table.paper[0].values == {"tiny, whole maps, 62": 26.0}
    assert table.mark(table.column("time, ms")) == "another machine"


def test_figure12(config_of):
    table = figure12.run(config_of(backbones=("tiny",), images=4), size=64)
    assert list(table.rows.index) == ["tiny, 294", "tiny, 62"]
    check_savings(table)
    assert table.paper[0].values == {}  # the paper measured mDLA-34


def check_savings(table):
    rows = table.rows
    assert (rows[["time, ms", "process, MiB"]] > 0).all(axis=None)
    for name in rows.index[::2]:
        all_landmarks, groups = rows.loc[name], rows.loc[name.replace("294", "62")]
        assert np.isnan(all_landmarks["time saved, %"])
        saved = 100 * (1 - groups["time, ms"] / all_landmarks["time, ms"])
        assert groups["time saved, %"] == pytest.approx(saved)


def test_whole_maps_train_on_the_same_numbers():
    torch.manual_seed(0)
    whole = WholeMaps("tiny", 62, 16, 16)
    ours = CenterNet("tiny", 62, 16, 16)
    ours.load_state_dict(whole.state_dict())
    pixels = torch.rand(2, 3, 64, 64)
    centers, points = torch.tensor([0, 17, 256 + 255]), torch.tensor([3, 300])
    expected, got = ours.eval(), whole.eval()
    (a,), (b,) = expected.at_cells(pixels, centers, points), got.at_cells(pixels, centers, points)
    assert a.keys() == b.keys()
    for name in a:
        torch.testing.assert_close(a[name], b[name], atol=1e-5, rtol=1e-5)


def test_batches_are_as_asked_also_from_few_images(config_of, tmp_path):
    evaluated = load_evaluation_set(config_of(images=3))
    savings.write_batch(evaluated, "none", 64, 8, tmp_path / "batch.safetensors")
    batch = load_file(tmp_path / "batch.safetensors")
    assert batch["image"].shape == (8, 3, 64, 64) and batch["landmarks"].shape[2] == 294
    assert (batch["category"] > 0).any()
    torch.testing.assert_close(batch["image"][0], batch["image"][3])


def test_the_peak_is_the_processes_own():
    """A process that held much must not lend its peak to what it starts."""
    code = (
        "import json, subprocess, sys\n"
        "import numpy as np\n"
        "from papers.subprocess_measure import peak_mib\n"
        "held = np.ones(600 << 17)\n"
        "parent = peak_mib()\n"
        "del held\n"
        "code = 'from papers.subprocess_measure import peak_mib; print(peak_mib())'\n"
        "child = float(subprocess.check_output([sys.executable, '-c', code]))\n"
        "print(json.dumps([parent, child]))\n"
    )
    parent, child = json.loads(subprocess.check_output([sys.executable, "-c", code]))
    assert parent > 600 and child < 200


def test_the_peak_stays_and_the_memory_falls():
    idle = memory_mib()
    with mmap.mmap(-1, 100 << 20) as held:  # freed at once, which an allocator may put off
        held.write(b"1" * (100 << 20))
        now = memory_mib()
    after = memory_mib()
    assert now > idle + 90 and after < now - 90 and peak_mib() > now - 5


def test_a_failed_measurement_says_why():
    with pytest.raises(RuntimeError, match=r"math:sqrt.*takes no keyword"):
        run_in_subprocess("math:sqrt", {"x": 2})


def test_numbers_come_back_from_a_process():
    assert run_in_subprocess("builtins:dict", {"ms": 1.5}) == {"ms": 1.5}


def test_cases_take_turns_and_give_the_smallest(monkeypatch):
    order, values = [], iter([1, 50, 3, 40, 200, 50])

    def pretend(function, keywords):
        order.append(keywords["case"])
        return {"ms": next(values)}

    monkeypatch.setattr(subprocess_measure, "run_in_subprocess", pretend)
    result = measure("x:y", {"a": {"case": 1}, "b": {"case": 2}}, 3)
    assert order == [1, 2, 1, 2, 1, 2]
    assert result == {"a": {"ms": 1}, "b": {"ms": 40}}


def test_times_take_turns():
    order = []
    actions = {name: lambda item, n=name: order.append((item, n)) for name in "abc"}
    times = milliseconds(actions, [1, 2, 3], warm_up=1)
    assert set(times) == set("abc") and all(t >= 0 for t in times.values())
    assert [n for _, n in order] == list("abcbcacababc")


def test_a_remembered_network_runs_once_for_each_input():
    network = CachedNetwork(lambda images: {"hm": images.float()})
    one, other = torch.zeros(1, 3, 4, 4), torch.ones(1, 3, 4, 4)
    network(one), network(other), network(one.clone())
    assert network.runs == 2
    network.clear()
    network(one)
    assert network.runs == 3
