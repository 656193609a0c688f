"""Measures two versions of a registry that are folders; run as a program, it can load no model.

``python measure_versions.py`` in the folder of a workspace writes the pickled result to ``measured``.
"""

import json
import pickle
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from fashion_ops.distributed.block_runners import block_runners
from fashion_ops.inference.reproduction import Reproduction, reproduce_evaluation
from fashion_ops.params import load_params
from fashion_ops.registry import measurements
from fashion_ops.registry.checks import CHECKS_FILE
from fashion_ops.registry.comparing import Measurements
from fashion_ops.registry.frozen_set import FROZEN_SET, FrozenSet
from fashion_ops.registry.gate import Facts
from fashion_ops.workspace import Workspace


def write_records(ws: Workspace, frozen: FrozenSet) -> None:
    """Version 2 was evaluated on ``frozen``, and version 1 on all of its images but the last."""
    last = frozen.images["image_id"].iloc[-1]
    tables = {kind: t[t["image_id"] != last] for kind, t in frozen.predictions.items()}
    fewer = replace(
        frozen,
        images=frozen.images[:-1],
        garments=frozen.garments[frozen.garments["image_id"] != last],
        predictions=tables,
    )
    for number, kept in (("2", frozen), ("1", fewer)):
        folder = ws.root / "records" / number
        kept.write(folder / FROZEN_SET)
        (folder / CHECKS_FILE).write_text(json.dumps({"a_check": ""}))


def measure_versions(ws: Workspace) -> tuple[Measurements[Facts], Reproduction]:
    """What ``promote`` measures, and what the check after ``register`` compares."""
    from mlflow.entities.model_registry import ModelVersion

    params, registry = load_params(ws.params), measurements.registry
    kept: dict[str, Any] = {n: getattr(registry, n) for n in ("fetch_bundle", "fetch_record")}
    kept["metrics_of"] = registry.metrics_of
    registry.fetch_bundle = lambda _: ws.landmarker.parent
    registry.fetch_record = lambda version, name: ws.root / "records" / version.version / name
    registry.metrics_of = lambda _: {"landmark_ap": {"refined": 0.5}, "box_ap": 0.5}
    try:
        versions = [ModelVersion("garments", number, 0, run_id=number) for number in "21"]
        measured = measurements.measure(params, ws, *versions)
        with block_runners(params.distributed, ws.checkpoints, "register") as open_runner:
            return measured, reproduce_evaluation(ws.landmarker.parent, params, ws, open_runner)
    finally:
        for name, value in kept.items():
            setattr(registry, name, value)


if __name__ == "__main__":
    from modelless_driver import forbid_models

    forbid_models()
    result = measure_versions(Workspace(Path.cwd()))
    Path("measured").write_bytes(pickle.dumps(result))
    sys.exit()
