"""Figure 4: time and memory of a training step, 294 landmarks against 62 groups.

Trained two ways: as published, with whole maps of everything; and as we train, where the regressions
are computed at targets only, which takes away most of what grouping saved.
"""

from pathlib import Path

import torch

from papers.config import Request
from papers.deepmark import paper, step_cost
from papers.evaluation_set import load_judged
from papers.subprocess_measure import devices, machine
from papers.table import PaperColumn, Table

SIZE, STEPS = 256, 3
BATCH = {"cpu": 4, "cuda": 32}
WAYS = {"whole maps": True, "at targets": False}


def run(request: Request, size: int = SIZE) -> Table:
    """Steps on a batch of the judged images; each case in processes of its own."""
    judged, found = load_judged(request), devices()
    rows = step_cost.labels(request.backbones or ("mdla34",), found)
    batches = {device: request.batch or BATCH[device] for device in found}
    with step_cost.scratch() as folder:
        for device in found:
            for grouping in step_cost.GROUPINGS.values():
                path = Path(folder, f"{device}-{grouping}.safetensors")
                step_cost.write_batch(judged, grouping, size, batches[device], path)
        cases = {
            f"{label}, {way}": {
                "batch": f"{folder}/{device}-{{grouping}}.safetensors",
                "backbone": backbone,
                "whole_maps": whole,
                "steps": STEPS,
                "device": device,
                "threads": torch.get_num_threads(),
            }
            for label, (backbone, device) in rows.items()
            for way, whole in WAYS.items()
        }
        table = step_cost.compare("training_step", cases, step_cost.REPEATS)
    saving = [f"{label}, whole maps, 62" for label in rows]
    return Table(
        name="figure4",
        title="DeepMark++ Figure 4: a training step with 294 landmarks and with 62 groups",
        columns=step_cost.COLUMNS,
        rows=table,
        ours=f"{size}x{size}, batch of "
        + ", ".join(f"{batches[d]} on {machine(d)}" for d in found)
        + f"; images of the {judged.name}",
        theirs=f"DLA-34 and ResNet-50 with batch 32, Hourglass with 8, 256x256, {paper.DESKTOP_GPU}",
        same_data=judged.same,
        paper=tuple(
            PaperColumn(f"{key} saved, %", dict.fromkeys(saving, value), "up to")
            for key, value in paper.FIGURE_4.items()
        ),
        notes=(
            f"Fastest step of {step_cost.REPEATS} processes with {STEPS} each, the rows taking turns. "
            "Memory: on top of what the process held before the network was made.",
            "`whole maps` trains as published: all output channels are computed for every cell. "
            "`at targets` is how this repository trains: sizes, offsets and displacements are computed "
            "only where there is a target, so 588 of the 901 channels cost almost nothing, with or "
            "without groups.",
        ),
    )
