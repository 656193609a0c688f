"""The asset graph: loads light, looks as expected, and has the edges that DVC has."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import grimp
import pytest
import yaml

from fashion_ops.ledger import Ledger
from fashion_ops.params import load_params
from fashion_ops.steps import PARTITIONED, PARTITIONS, REGISTRY, STEPS
from fashion_ops.taxonomy import CATEGORY_NAMES
from fashion_ops.workspace import Workspace
from pipelines.definitions import build

ROOT = Path(__file__).parents[2]
# Imported by steps, yet no change of it changes what a step makes of its inputs and parameters.
NO_RESULT = {
    Path("fashion_ops", name)
    for name in (
        "params",
        "workspace.py",
        "files",
        "processes.py",
        "progress.py",
        "distributed",
        "services",
        "methods/pickles.py",
    )
}


@pytest.fixture(scope="module")
def graph() -> Any:
    return build(ROOT).resolve_asset_graph()


def edges(graph: Any) -> set[tuple[str, str]]:
    return {
        (up.to_user_string(), key.to_user_string())
        for key in graph.get_all_asset_keys()
        for up in graph.get(key).parent_keys
    }


def test_dvc_and_dagster_have_the_same_graph(graph: Any) -> None:
    ledger = Ledger(ROOT)
    by_step = {(up.partition("@")[0], down.partition("@")[0]) for up, down in ledger.graph_edges()}
    # Each stage of DFA is made from the one before. Dagster has no such edge between two partitions
    # of an asset unless they are times; there the chain is the order in which a run takes them.
    chain = {edge for edge in ledger.graph_edges() if edge[0][:10] == edge[1][:10] == "dfa_stage@"}
    assert chain == {("dfa_stage@1", "dfa_stage@2"), ("dfa_stage@2", "dfa_stage@3")}
    by_step.remove(("dfa_stage", "dfa_stage"))
    by_step = {("batches" if up.startswith("data/batches/") else up, down) for up, down in by_step}
    made = {edge for edge in edges(graph) if edge[1] not in REGISTRY}
    assert by_step | {("batches", "ingest")} == made  # DVC has an edge for each batch there is
    for step, keys in PARTITIONS.items():
        own = [s.partition("@")[2] for s in ledger.stages() if s.startswith(f"{step}@")]
        assert sorted(own) == sorted(keys)
    between = {(a, b) for a, b in ledger.graph_edges() if a[:9] == "finetune@" and b[:7] == "refine@"}
    assert between == {(f"finetune@{name}", f"refine@{name}") for name in CATEGORY_NAMES}


def test_string_selections_parse() -> None:
    # dvc's hydra 1.3 would bring antlr 4.9, with which every one of these raises a TypeError.
    assert dg.AssetSelection.from_string("*") is not None
    assert dg.AssetSelection.from_string('key:"finetune"+') is not None


def test_snapshot(graph: Any) -> None:
    nodes = {key.to_user_string(): graph.get(key) for key in graph.get_all_asset_keys()}
    assert tuple(step for step in STEPS if step in nodes) == STEPS and set(nodes) == {*STEPS, "batches"}
    assert {name: node.group_name for name, node in nodes.items()} == {
        "batches": "data",
        "synthesize": "data",
        "ingest": "data",
        "aggregate": "data",
        "pseudo_label": "data",
        "drift": "data",
        "train_detector": "models",
        "tune_postprocess": "models",
        "train_box_detector": "models",
        "train_landmarker": "models",
        "finetune": "models",
        "refine": "models",
        "synthesize_alignment": "alignment",
        "ingest_alignment": "alignment",
        "dfa_stage": "alignment",
        "train_gle": "alignment",
        "register_alignment": "alignment",
        "promote_alignment": "alignment",
        "evaluate": "evaluation",
        "register": "registry",
        "promote": "registry",
    }
    assert {name for name, node in nodes.items() if node.is_partitioned} == set(PARTITIONED)
    assert {name for name, node in nodes.items() if node.code_version is None} == {
        *REGISTRY,
        "batches",
    }
    assert {(key.asset_key.to_user_string(), key.name) for key in graph.asset_check_keys} == {
        ("batches", "nothing_rejected"),
        ("ingest", "catalog_adds_up"),
        ("ingest", "quarantine_share"),
        ("ingest", "splits_do_not_leak"),
        ("drift", "newest_batch_is_alike"),
        ("evaluate", "every_category_trained"),
        ("evaluate", "beats_mean_shape"),
        ("register", "registered_model_predicts_the_same"),
    }
    assert {("evaluate", "register"), ("register", "promote")} <= edges(graph)
    chain = {("dfa_stage", "register_alignment"), ("train_gle", "register_alignment")}
    assert chain | {("register_alignment", "promote_alignment")} <= edges(graph)


def test_loading_imports_nothing_heavy(tmp_path: Path) -> None:
    heavy = "[m for m in ('torch', 'ray', 'mlflow') if m in sys.modules]"
    code = f"import sys, pipelines.definitions; print({heavy})"
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == "[]", done.stderr  # and from any working directory


def test_one_place_for_paths() -> None:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    ws = Workspace()
    outs = {name: (stage.get("do") or stage)["outs"] for name, stage in stages.items()}
    key = "${key}"
    assert outs == {
        "synthesize": [str(ws.raw)],
        "ingest": [str(ws.catalog)],
        "aggregate": [str(ws.grouped)],
        "pseudo_label": [str(ws.pseudo_labels)],
        "drift": [str(ws.drift)],
        "train_detector": [str(ws.detector)],
        "tune_postprocess": [str(ws.postprocess)],
        "train_box_detector": [str(ws.box_detector)],
        "train_landmarker": [str(ws.landmarker)],
        "finetune": [str(ws.finetuned(key))],
        "refine": [str(ws.refined(key))],
        "synthesize_alignment": [str(ws.alignment_raw)],
        "ingest_alignment": [str(ws.alignment_catalog)],
        "dfa_stage": [str(ws.dfa(key))],
        "train_gle": [str(ws.gle)],
        "evaluate": [str(ws.evaluation)],
    }
    assert tuple(outs) == tuple(step for step in STEPS if step not in REGISTRY)


def test_stages_call_their_step_and_watch_its_section() -> None:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    for step, stage in stages.items():
        body = stage.get("do") or stage
        option = " --category ${key}" if PARTITIONS.get(step) == CATEGORY_NAMES else ""
        option = " --stage ${key}" if step == "dfa_stage" else option
        assert body["cmd"] == f"fashion-ops {step}{option}"
        assert step in body["params"]
        assert "distributed" not in body["params"]


def test_stages_watch_just_the_code_that_they_import() -> None:
    graph = grimp.build_graph("fashion_ops")
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    for step, stage in stages.items():
        deps = (stage.get("do") or stage)["deps"]
        watched = [Path(dep) for dep in deps if dep.startswith("fashion_ops/")]
        name = f"fashion_ops.steps.{step}"
        modules = {name, *graph.find_upstream_modules(name)}
        files = {Path(*module.split(".")).with_suffix(".py") for module in modules}
        files = {f for f in files if (ROOT / f).is_file() and not {f, *f.parents} & NO_RESULT}
        unwatched = {f for f in files if f not in watched and not set(f.parents) & set(watched)}
        assert not unwatched, f"{step} imports these, dvc.yaml must name them: {unwatched}"
        unused = {w for w in watched if w not in files and not any(w in f.parents for f in files)}
        assert not unused, f"dvc.yaml names these for {step}, which imports none of them: {unused}"


def test_parameters_are_complete() -> None:
    """Every key stands in params.yaml: a reader sees all of them, and DVC sees each change."""
    path = ROOT / "params.yaml"
    written = yaml.safe_load(path.read_text())
    assert load_params(path).model_dump(by_alias=True, mode="json") == written
