"""Table 1: backbones, each trained with 294 landmarks, with 81 groups and with 62.

Each row runs the steps ``aggregate`` and ``train_detector`` in its own workspace below
``.checkpoints``, on this workspace's catalog, with the same seed and schedule. A finished row is not
trained again, so that a stopped job resumes.
"""

import hashlib
import json
import time
from pathlib import Path

import pandas as pd

from fashion_ops.errors.reading import read_json
from fashion_ops.methods.artifact import SPEC
from fashion_ops.methods.centernet.backbones.by_name import find_backbone
from fashion_ops.methods.centernet.inference import Detector, build
from fashion_ops.params import Aggregate, Params
from fashion_ops.steps import aggregate, train_detector
from fashion_ops.workspace import Workspace, write_whole
from papers.config import TableConfig
from papers.decode_variants import describe, detect_variants
from papers.deepmark import paper
from papers.deepmark.technique_variants import BASELINE
from papers.evaluation_set import load_evaluation_set
from papers.landmarker_runs import is_interrupted
from papers.subprocess_measure import devices, machine
from papers.table import Column, PaperColumn, Table

GROUPINGS = {"none": 294, "agg81": 81, "semantic62": 62}
_SECONDS = "seconds.json"


def run(config: TableConfig) -> Table:
    """Train each row and evaluate it without any technique, as in the paper's table."""
    evaluated = load_evaluation_set(config)
    backbones = config.backbones or ("mdla34", "resnet50", "dla34_dcn")
    for backbone in backbones:
        find_backbone(backbone)
    most = config.params.evaluate.max_detections
    rows, ours = {}, ""
    for backbone in backbones:
        for grouping, channels in GROUPINGS.items():
            params = row_params(config, backbone, grouping)
            seconds = train(params, config.ws, workspace(config, params))
            detector = Detector.load(workspace(config, params).detector, config.device)
            variants = {"baseline": BASELINE}
            predictions = detect_variants(detector, variants, evaluated, most)["baseline"]
            rows[f"{backbone}, {channels}"] = (
                evaluated.landmarks(predictions, most).stats["AP"],
                evaluated.boxes(predictions).stats["AP"],
                sum(p.numel() for p in build(detector.spec).parameters()) / 1e6,
                seconds,
            )
            ours = describe(detector, evaluated)
    columns = (
        Column("AP_pt"),
        Column("AP_box"),
        Column("parameters, M", 3, "nothing", zero=True),
        Column("training, s", 0, "machine", zero=True),
    )
    table = pd.DataFrame.from_dict(rows, orient="index", columns=[c.name for c in columns])
    known = [b for b in backbones if b in paper.TABLE_1]
    schedule = row_params(config, backbones[0], "none").train_detector
    return Table(
        name="table1",
        title="DeepMark++ Table 1: backbones, with and without semantic groups",
        columns=columns,
        rows=table.rename_axis("backbone, landmark channels"),
        ours=f"{ours.rpartition('; ')[0]}; {schedule.input_size}x{schedule.input_size}, trained for "
        f"{schedule.epochs} epochs on {machine(devices(config.params.distributed.device)[-1])}",
        theirs=f"{paper.DATA}; 256x256",
        same_data=evaluated.is_papers_data,
        paper=tuple(
            PaperColumn(
                name,
                {f"{b}, {c}": paper.TABLE_1[b][k + n] for b in known for n, c in enumerate((294, 62))},
            )
            for k, name in ((0, "AP_pt"), (2, "AP_box"))
            if known
        ),
        notes=(
            "Without techniques, NMS and flip, as in the paper's table. The paper has no row of 81 "
            "groups (the grouping of the Aggregation and Finetuning authors).",
            f"Same seed ({config.params.seed}) and schedule for all rows; the paper does not "
            "print its own for these backbones.",
        ),
    )


def row_params(config: TableConfig, backbone: str, grouping: str) -> Params:
    """This workspace's parameters with another backbone and grouping, and ``config.epochs`` if set."""
    training = {"backbone": backbone, "grouping": None}
    if backbone != config.params.train_detector.backbone:
        training |= {"neck_width": None, "head_width": None, "pretrained": None, "start_from": None}
    if config.epochs is not None:
        training |= {"epochs": config.epochs, "lr_steps": None}
    sections = config.params.model_dump(by_alias=True)
    sections["train_detector"] |= training
    return Params.model_validate(
        sections | {"aggregate": Aggregate.model_validate({"grouping": grouping})}
    )


def workspace(config: TableConfig, params: Params) -> Workspace:
    """The workspace of a row; its folder's name has a hash of everything that decides the result."""
    garments = config.ws.catalog / "garments.parquet"
    decisive = params.model_dump_json(include={"seed", "aggregate", "train_detector"})
    digest = hashlib.sha256(decisive.encode() + garments.read_bytes()).hexdigest()[:12]
    name = f"{params.train_detector.backbone}-{params.aggregate.grouping}-{digest}"
    return Workspace(config.ws.checkpoints / "deepmark-table1" / name)


def train(params: Params, source: Workspace, ws: Workspace) -> float:
    """Train a row unless it is finished.

    Returns:
        Seconds that the training took; NaN for a resumed one, of which only the last part is known.
    """
    seconds_file = ws.detector / _SECONDS
    if not ((ws.detector / SPEC).is_file() and seconds_file.is_file()):
        ws.catalog.parent.mkdir(parents=True, exist_ok=True)
        if not ws.catalog.exists():
            ws.catalog.symlink_to(Path(source.catalog).resolve(), target_is_directory=True)
        aggregate.run(params, ws)
        resumed, start = is_interrupted(ws), time.monotonic()
        train_detector.run(params, ws)
        seconds = None if resumed else round(time.monotonic() - start, 1)
        write_whole(seconds_file, json.dumps(seconds).encode())
    seconds = read_json(seconds_file)
    return float("nan") if seconds is None else seconds
