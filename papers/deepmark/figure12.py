"""Figure 12: time and memory of one image at inference, 294 landmarks against 62 groups."""

from pathlib import Path

import torch

from papers.config import TableConfig
from papers.deepmark import paper, savings
from papers.deepmark.workloads import KEPT
from papers.evaluation_set import load_evaluation_set
from papers.subprocess_measure import devices, machine
from papers.table import PaperColumn, Table

SIZE, IMAGES = 256, 24


def run(config: TableConfig, size: int = SIZE) -> Table:
    """Measure one image at a time, from pixels to garments; each case in processes of its own."""
    evaluated, available = load_evaluation_set(config), devices(config.params.distributed.device)
    rows = savings.labels(config.backbones or ("mdla34",), available)
    with savings.scratch() as folder:
        path = Path(folder, "images.safetensors")
        count = savings.write_images(evaluated, IMAGES, path)
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
        table = savings.compare("inference", cases, savings.REPEATS)
    up_to = paper.FIGURE_12_UP_TO
    known = {f"{label}, 62": None for label, (backbone, _) in rows.items() if backbone == "mdla34"}
    return Table(
        name="figure12",
        title="DeepMark++ Figure 12: one image at inference with 294 landmarks and with 62 groups",
        columns=savings.COLUMNS,
        rows=table,
        ours=f"{size}x{size} on {', '.join(map(machine, available))}, PyTorch eager; {count} images of "
        f"the {evaluated.name}",
        theirs=f"mDLA-34 256x256 on a {paper.PHONE}; over "
        f"all sizes up to {up_to['time']:g} % of time and {up_to['memory']:g} % of memory",
        same_data=evaluated.is_papers_data,
        paper=tuple(
            PaperColumn(f"{key} saved, %", dict.fromkeys(known, value))
            for key, value in paper.FIGURE_12.items()
        ),
        notes=(
            f"Fastest of {savings.REPEATS} processes, the rows taking turns: letterbox, network, all "
            f"four techniques, decode and NMS. The networks are untrained and made to detect {KEPT} "
            "garments an image. Memory: on top of what the process held before the network was made.",
        ),
    )
