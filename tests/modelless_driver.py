"""Run as a program: steps in a process that can neither make nor load a model.

``python modelless_driver.py STEP[@KEY]...`` in the folder of a workspace; each step prints its metrics
as a line of JSON. Steps whose models belong on workers run as always, others fail.
"""

import importlib
import json
import sys
from pathlib import Path
from typing import Any, NoReturn


def forbid_models() -> None:
    """Let every attempt to make a network, or to read weights, raise AssertionError."""
    import safetensors.torch
    import torch
    from torch import nn

    def refuse(*_: Any, **__: Any) -> NoReturn:
        raise AssertionError("this process makes or loads a model")

    nn.Module.__init__ = refuse
    torch.load = safetensors.torch.load_file = refuse


def main(*names: str) -> None:
    from fashion_ops.params import load_params
    from fashion_ops.workspace import Workspace

    steps = [importlib.import_module(f"fashion_ops.steps.{name.partition('@')[0]}") for name in names]
    forbid_models()
    ws = Workspace(Path.cwd())
    for name, step in zip(names, steps, strict=True):
        key = name.partition("@")[2]
        metrics = step.run(load_params(ws.params), ws, *([key] if key else []))
        print(name, json.dumps(metrics), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
