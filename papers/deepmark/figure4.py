"""Figure 4: time and memory of a training step, 294 landmarks against 62 groups.

Measured in two variants: as published, with whole output maps; and as this repository trains, with
regressions computed at targets only, which leaves grouping little to save.
"""

from pathlib import Path

import torch

from papers.config import TableConfig
from papers.deepmark import paper, savings
from papers.evaluation_set import load_evaluation_set
from papers.subprocess_measure import devices, machine
from papers.table import PaperColumn, Table

SIZE, STEPS = 256, 3
BATCH = {"cpu": 4, "cuda": 32}
VARIANTS = {"whole maps": True, "at targets": False}


def run(config: TableConfig, size: int = SIZE) -> Table:
    """Measure steps on a batch of the evaluation images; each case in processes of its own."""
    evaluated, available = load_evaluation_set(config), devices(config.params.distributed.device)
    rows = savings.labels(config.backbones or ("mdla34",), available)
    batches = {device: config.batch or BATCH[device] for device in available}
    with savings.scratch() as folder:
        for device in available:
            for grouping in savings.GROUPINGS.values():
                path = Path(folder, f"{device}-{grouping}.safetensors")
                savings.write_batch(evaluated, grouping, size, batches[device], path)
        cases = {
            f"{label}, {variant}": {
                "batch": f"{folder}/{device}-{{grouping}}.safetensors",
                "backbone": backbone,
                "whole_maps": whole,
                "steps": STEPS,
                "device": device,
                "threads": torch.get_num_threads(),
            }
            for label, (backbone, device) in rows.items()
            for variant, whole in VARIANTS.items()
        }
        table = savings.compare("training_step", cases, savings.REPEATS)
    published = [f"{label}, whole maps, 62" for label in rows]
    return Table(
        name="figure4",
        title="DeepMark++ Figure 4: a training step with 294 landmarks and with 62 groups",
        columns=savings.COLUMNS,
        rows=table,
        ours=f"{size}x{size}, batch of "
        + ", ".join(f"{batches[d]} on {machine(d)}" for d in available)
        + f"; images of the {evaluated.name}",
        theirs=f"DLA-34 and ResNet-50 with batch 32, Hourglass with 8, 256x256, {paper.DESKTOP_GPU}",
        same_data=evaluated.is_papers_data,
        paper=tuple(
            PaperColumn(f"{key} saved, %", dict.fromkeys(published, value), "up to")
            for key, value in paper.FIGURE_4.items()
        ),
        notes=(
            f"Fastest step of {savings.REPEATS} processes with {STEPS} each, the rows taking turns. "
            "Memory: on top of what the process held before the network was made.",
            "`whole maps` trains as published: all output channels are computed for every cell. "
            "`at targets` is how this repository trains: sizes, offsets and displacements are computed "
            "only where there is a target, so 588 of the 901 channels cost almost nothing, with or "
            "without groups.",
        ),
    )
