"""Untrained models of DFA and GLE, as their steps would leave them, with shaken weights."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from fashion_ops.methods.alignment.dfa.inference import TrainedStage
from fashion_ops.methods.alignment.dfa.inference import build as build_stage
from fashion_ops.methods.alignment.dfa.targets import SPACES, PseudoLabels
from fashion_ops.methods.alignment.dfa.training import stage_spec
from fashion_ops.methods.alignment.gle.inference import build as build_gle
from fashion_ops.methods.artifact import save_model
from fashion_ops.params import DfaStage, GLEConfig
from fashion_ops.workspace import Workspace

CLUSTERS = 3
DFA = DfaStage(
    backbone="tiny", input_size=32, clusters=CLUSTERS, precision="fp32", epochs=1, batch_size=8
)
GLE = GLEConfig(
    backbone="tiny", crop=(32, 32), modules=1, precision="fp32", epochs=2, batch_size=8, warm_start=0.5
)


def shaken(model: nn.Module, seed: int = 0) -> nn.Module:
    """The same network with weights away from where they start, so that no output is a constant."""
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=g))
    return model.eval()


def make_dfa(ws: Workspace, kinds: dict[str, int], config: DfaStage = DFA) -> None:
    """Three stages in ``ws.dfa``, for kinds with their number of landmarks; the third is routed."""
    for number in (1, 2, 3):
        for kind, n in kinds.items():
            shape = (CLUSTERS, 2 * n, 2 * n) if number == 3 else (CLUSTERS, n, 2)
            errors = np.linspace(0.1, 0.4, CLUSTERS)
            labels = PseudoLabels(SPACES[number - 1], np.zeros(shape), 20.0, errors)
            spec = {**stage_spec(config, number, n, labels), "label_inputs": 0}
            nets = [shaken(build_stage(spec), 10 * number + i) for i in range(2 if number == 3 else 1)]
            router = (errors, 0.25) if number == 3 else None
            folder = ws.dfa(str(number)) / kind
            folder.mkdir(parents=True)
            TrainedStage(tuple(nets), labels, spec, router).save(folder)


def make_gle(folder: Path, config: GLEConfig = GLE, points: str = "fld8") -> nn.Module:
    """A GLE network in ``folder``; returns it."""
    spec = {"method": "gle", "points": points, "settings": config.model_dump(mode="json")}
    model = shaken(build_gle(spec), 7)
    folder.mkdir(parents=True)
    save_model(folder, model, spec)
    return model
