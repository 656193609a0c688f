"""Figure 12: time and memory of one image at inference, 294 landmarks against 62 groups."""

from pathlib import Path

import torch

from papers.config import Request
from papers.deepmark import paper, step_cost
from papers.deepmark.steps import KEPT
from papers.evaluation_set import load_judged
from papers.subprocess_measure import devices, machine
from papers.table import PaperColumn, Table

SIZE, IMAGES = 256, 24


def run(request: Request, size: int = SIZE) -> Table:
    """Pixels in, garments out, one image at a time; each case in processes of its own."""
    judged, found = load_judged(request), devices()
    rows = step_cost.labels(request.backbones or ("mdla34",), found)
    with step_cost.scratch() as folder:
        path = Path(folder, "images.safetensors")
        count = step_cost.write_images(judged, IMAGES, path)
        cases = {
            label: {
                "images": str(path),
                "backbone": backbone,
                "size": size,
                "device": device,
                "threads": torch.get_num_threads(),
            }
            for label, (backbone, device) in rows.items()
        }
        table = step_cost.compare("inference", cases, step_cost.REPEATS)
    up_to = paper.FIGURE_12_UP_TO
    known = {f"{label}, 62": None for label, (backbone, _) in rows.items() if backbone == "mdla34"}
    return Table(
        name="figure12",
        title="DeepMark++ Figure 12: one image at inference with 294 landmarks and with 62 groups",
        columns=step_cost.COLUMNS,
        rows=table,
        ours=f"{size}x{size} on {', '.join(map(machine, found))}, PyTorch eager; {count} images of "
        f"the {judged.name}",
        theirs=f"mDLA-34 256x256 on a {paper.PHONE}; over "
        f"all sizes up to {up_to['time']:g} % of time and {up_to['memory']:g} % of memory",
        same_data=judged.same,
        paper=tuple(
            PaperColumn(f"{key} saved, %", dict.fromkeys(known, value))
            for key, value in paper.FIGURE_12.items()
        ),
        notes=(
            f"Fastest of {step_cost.REPEATS} processes, the rows taking turns; fit, network, all four "
            f"techniques, decode and NMS. The networks are untrained and made to find {KEPT} garments "
            "an image. Memory: on top of what the process held before the network was made.",
        ),
    )
