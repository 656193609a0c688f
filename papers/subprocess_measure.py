"""Measurements in a process of their own: a process's peak memory never falls.

``python -m papers.subprocess_measure MODULE:FUNCTION`` reads keyword arguments as JSON from stdin,
calls the function and prints the numbers that it returns as JSON. ``measure`` starts such processes.
"""

import importlib
import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

Numbers = dict[str, float]


def measure(function: str, cases: Mapping[str, Mapping[str, Any]], repeats: int) -> dict[str, Numbers]:
    """The smallest of what a function measures in each case. The cases take turns.

    The smallest counts, since other jobs on the machine only ever add to a time.

    Args:
        function: ``module:name`` of a function that returns ``Numbers``.
        cases: its keyword arguments (plain values) by name of the case.
        repeats: processes a case.

    Raises:
        RuntimeError: a process failed; the message ends with the last line of its stderr.
    """
    runs: dict[str, list[Numbers]] = {name: [] for name in cases}
    for _ in range(repeats):
        for name, keywords in cases.items():
            runs[name].append(run_in_subprocess(function, keywords))
    return {
        name: {key: min(run[key] for run in repeated) for key in repeated[0]}
        for name, repeated in runs.items()
    }


def run_in_subprocess(function: str, keywords: Mapping[str, Any]) -> Numbers:
    """Call a function once in a new process; arguments and errors as in ``measure``."""
    command = [sys.executable, "-m", __name__, function]
    done = subprocess.run(command, input=json.dumps(keywords), capture_output=True, text=True)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no output on stderr"])[-1]
        raise RuntimeError(f"{function} with {dict(keywords)} failed ({done.returncode}): {last}")
    return json.loads(done.stdout.splitlines()[-1])


def peak_mib() -> float:
    """Peak memory of this process, MiB.

    Reads the kernel's high-water mark of this program. ``getrusage`` would report the parent's peak if
    that was larger, since a new process starts as a copy of its parent.
    """
    return _status("VmHWM") or _max_resident()


def memory_mib() -> float:
    """Memory that this process holds now, MiB."""
    return _status("VmRSS") or _max_resident()


def _status(key: str) -> float | None:
    file = Path("/proc/self/status")
    if not file.is_file():
        return None
    lines = (line.split() for line in file.read_text(encoding="utf-8").splitlines())
    return next((int(words[1]) / 1024 for words in lines if words[0] == f"{key}:"), None)


def _max_resident() -> float:
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1024**2 if sys.platform == "darwin" else 1024)


def machine(device: str) -> str:
    """Name a device: the processor with its used and available threads, or the GPU."""
    import torch

    if device == "cuda":
        return torch.cuda.get_device_name()
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    threads = torch.get_num_threads()
    name = names[0] if names else platform.machine()
    return f"{name}, {threads} thread{'s' if threads > 1 else ''} of {os.cpu_count()}"


def devices(setting: str) -> list[str]:
    """The devices to measure on: ``cpu``, and ``cuda`` where ``distributed.device`` selects a GPU."""
    from fashion_ops.methods.parts.device import select_device

    return list(dict.fromkeys(["cpu", select_device(setting).type]))


if __name__ == "__main__":
    _module, _, _name = sys.argv[1].partition(":")
    _numbers = getattr(importlib.import_module(_module), _name)(**json.load(sys.stdin))
    print(json.dumps(_numbers))
