"""Figure 1: landmark AP against the time of one image, for the backbones of Table 1 with 62 groups."""

from pathlib import Path

import pandas as pd
import torch

from papers.config import TableConfig
from papers.deepmark import paper, savings, table1
from papers.deepmark.figure12 import IMAGES
from papers.evaluation_set import load_evaluation_set
from papers.subprocess_measure import devices, machine
from papers.table import Column, Table

TITLE = "DeepMark++ Figure 1: landmark AP against time"


def run(config: TableConfig) -> Table:
    """Take AP from Table 1, which trains what is missing, and measure one image at a time."""
    trained = table1.run(config)
    backbones = list(dict.fromkeys(str(row).rpartition(", ")[0] for row in trained.rows.index))
    evaluated, device = load_evaluation_set(config), devices(config.params.distributed.device)[-1]
    size = table1.row_params(config, backbones[0], "none").train_detector.input_size
    with savings.scratch() as folder:
        path = Path(folder, "images.safetensors")
        count = savings.write_images(evaluated, IMAGES, path)
        common = {"images": str(path), "size": size, "device": device}
        common["threads"] = torch.get_num_threads()
        cases = {backbone: common | {"backbone": backbone} for backbone in backbones}
        measured = savings.compare("inference", cases, savings.REPEATS)
    rows = pd.DataFrame(
        {
            "time, ms": measured["time, ms"],
            "AP_pt": trained.rows["AP_pt"].reindex(measured.index),
            "AP_box": trained.rows["AP_box"].reindex(measured.index),
        }
    ).rename_axis("network, channels")
    return Table(
        name="figure1",
        title=TITLE,
        columns=(Column("time, ms", 1, "machine", zero=True), Column("AP_pt"), Column("AP_box")),
        rows=rows,
        ours=f"{trained.ours}; time of {count} images, one at a time, on {machine(device)}, PyTorch",
        theirs=f"{paper.DATA}; {paper.DESKTOP_GPU}",
        same_data=evaluated.is_papers_data,
        notes=(
            "Time: fastest of "
            f"{savings.REPEATS} processes, from letterbox to garments, all four techniques and NMS; AP "
            "without techniques, as in Table 1. The paper's points are an image without numbers.",
        ),
    )


def draw(table: Table, path: Path) -> None:
    """Draw a point a row, time to the right and AP upwards."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.0, 4.0), layout="constrained")
    FigureCanvasAgg(figure)
    panel = figure.subplots()
    colors = {"294": "#c05621", "62": "#2b6cb0"}
    for channels, color in colors.items():
        rows = table.rows[[str(row).endswith(f", {channels}") for row in table.rows.index]]
        name = f"{channels} landmark channels"
        panel.scatter(rows["time, ms"], rows["AP_pt"], color=color, s=36, label=name)
        for row, values in rows.iterrows():
            at = (values["time, ms"], values["AP_pt"])
            backbone = str(row).rpartition(", ")[0]
            panel.annotate(
                backbone, at, xytext=(6, 4), textcoords="offset points", fontsize=8, color=color
            )
    panel.set_xlim(left=0)
    panel.margins(x=0.2, y=0.15)
    panel.set_xlabel("ms an image", fontsize=9)
    panel.set_ylabel("AP_pt", fontsize=9)
    panel.grid(color="#dddddd", linewidth=0.6)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)
    panel.legend(frameon=False, fontsize=8, loc="lower right")
    figure.suptitle(table.title, fontsize=10, x=0.01, ha="left")
    figure.savefig(path, dpi=110, metadata={"Software": None})
