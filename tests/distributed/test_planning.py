"""The plan: phases by hand, bounds that change hands, known networks, and the command."""

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import yaml
from typer.testing import CliRunner

from fashion_ops.cli import app
from fashion_ops.distributed.job_store import Event
from fashion_ops.distributed.planning.assumptions import Assumptions, apply
from fashion_ops.distributed.planning.data import catalog_size, deepfashion2
from fashion_ops.distributed.planning.devices import Device, devices, find_device
from fashion_ops.distributed.planning.estimate import BOUNDS, estimate, job_seconds, phase_seconds
from fashion_ops.distributed.planning.measured import read_rates
from fashion_ops.distributed.planning.networks import Network, box_detector
from fashion_ops.distributed.planning.report import Plan, as_csv, as_json, as_table
from fashion_ops.distributed.planning.work import Job, Phase, StepWork, pipeline_work
from fashion_ops.distributed.timesheet import COMPLETED, Recorder
from fashion_ops.methods.costs import count_launches
from fashion_ops.params import Distributed, Params, TrainBoxDetector, load_params
from fashion_ops.steps import STEPS
from fashion_ops.taxonomy import CATEGORY_NAMES
from fashion_ops.workspace import Workspace

ROOT = Path(__file__).parents[2]
GPU = Device("test", "bf16", 100.0, 0.5, 80, 2000, 100.0, "by hand")
A = Assumptions(
    launch_us=10, cores_per_gpu=10, gpus_per_node=4, network_gbit=80,
    decode_mpx=100, warp_mpx=50, image_mpx=1, image_kb=100, start_s=7,
)  # fmt: skip
TRAINING = Phase(
    trains=True,
    samples=1000,
    macs=1e12,
    launches=1000,
    parameters=10_000_000,
    batch=10,
    decoded=1,
    loaders=4,
)
PREDICTION = replace(TRAINING, trains=False, parameters=0, fetched_kb=100)


def test_compute_is_two_operations_a_mac_over_the_share_of_the_devices_speed() -> None:
    """1000 x 2e12 operations at 50e12 a second."""
    assert phase_seconds(TRAINING, 1, GPU, A) == (pytest.approx(40), "compute")
    assert phase_seconds(TRAINING, 2, GPU, A) == (pytest.approx(20), "compute")


def test_an_operation_that_is_started_takes_its_time_on_any_number_of_devices() -> None:
    """100 batches of 1000 operations at 10 us, whether one device computes 10 inputs or 10 one each."""
    light = replace(TRAINING, macs=1e9, decoded=0)
    assert (
        phase_seconds(light, 1, GPU, A)
        == phase_seconds(light, 10, GPU, A)
        == (pytest.approx(1), "launch")
    )
    predicts = replace(PREDICTION, macs=1e9, decoded=0, fetched_kb=0)
    assert phase_seconds(predicts, 10, GPU, A) == (pytest.approx(0.1), "launch")  # batches in parallel


def test_loaders_prepare_in_parallel_and_a_process_that_loads_itself_waits() -> None:
    """1000 photos at 10 ms each, and 2 megapixels to cut at 20 ms: 50 ms an input."""
    slow = replace(TRAINING, macs=1e9, cut_mpx=2)
    assert phase_seconds(slow, 1, GPU, A) == (pytest.approx(50 / 4), "data")
    assert phase_seconds(replace(slow, loaders=64), 1, GPU, A) == (pytest.approx(50 / 10), "data")
    seconds, bound = phase_seconds(replace(slow, loaders=0), 1, GPU, A)
    assert (seconds, bound) == (pytest.approx(50 + 1), "data")  # 1 s of launches


def test_gradients_go_round_a_ring_and_over_the_nodes_link_beyond_one_node() -> None:
    """40 MB of gradients, 2 (n - 1) / n of them: 100 GB/s within a node, 10 GB/s between nodes."""
    light = replace(TRAINING, macs=1.0, launches=0, decoded=0)
    assert phase_seconds(light, 4, GPU, A) == (pytest.approx(100 * 1.5 * 40e6 / 100e9), "network")
    assert phase_seconds(light, 5, GPU, A) == (pytest.approx(100 * 1.6 * 40e6 / 10e9), "network")


def test_photos_come_over_one_link_of_the_driver_or_one_of_each_node() -> None:
    far = replace(PREDICTION, macs=1.0, launches=0, decoded=0, fetched_kb=1e6)  # 1 TB at 10 GB/s
    assert phase_seconds(far, 8, GPU, A) == (pytest.approx(100), "network")
    assert phase_seconds(replace(far, from_store=True), 8, GPU, A) == (pytest.approx(50), "network")


def test_more_devices_than_are_of_use_are_not_used() -> None:
    """360 MB of gradients take 62 ms between 7 nodes' devices; on 8, that is longer than computing."""
    work = StepWork(
        "train_landmarker", (Job("all", (replace(TRAINING, samples=10_000, parameters=90_000_000),)),)
    )
    alone = [estimate(work, n, GPU, A, Distributed(), {}) for n in (1, 4, 64)]
    assert [(e.gpus_used, e.bound) for e in alone] == [(1, "compute"), (4, "compute"), (7, "network")]
    assert alone[0].seconds == pytest.approx(407) and alone[0].gpu_seconds == pytest.approx(407)
    assert alone[2].seconds == pytest.approx(7 + 1000 * 2 * 6 / 7 * 360e6 / 10e9)
    assert alone[2].gpu_seconds == pytest.approx(7 * alone[2].seconds)
    heavy = StepWork("train_landmarker", (Job("all", (replace(TRAINING, macs=1e13, decoded=0),)),))
    assert estimate(heavy, 64, GPU, A, Distributed(), {}).gpus_used == 10  # one input of the batch each


def test_the_longest_category_bounds_a_fan_out_and_widths_shorten_it() -> None:
    def work(width: float) -> StepWork:
        long = Job("long", (replace(TRAINING, samples=8000, decoded=0),), width)
        short = [Job(str(i), (replace(TRAINING, decoded=0),), 1.0) for i in range(4)]
        return StepWork("finetune", (long, *short))

    settings = Distributed(gpus_per_task=1)
    found = estimate(work(1), 8, GPU, A, settings, {})
    assert found.bound == "longest job" and found.seconds == pytest.approx(7 + 320)
    assert found.gpu_seconds == pytest.approx(7 + 320 + 4 * 47) and found.gpus_used == 5
    wide = estimate(work(4), 8, GPU, A, settings, {})
    assert wide.seconds == pytest.approx(7 + 80) and wide.schedule is not None
    one = estimate(work(1), 1, GPU, A, settings, {})
    assert one.bound == "compute" and one.seconds == pytest.approx(7 + 320 + 4 * 47)
    halves = estimate(
        work(1), 1, GPU, A, Distributed(gpus_per_task=0.5), {}
    )  # two share the GPU's time
    assert halves.seconds == pytest.approx(2 * (7 + 320))
    with pytest.raises(ValueError, match=r"1 GPUs: distributed\.gpus_per_task is 2"):
        estimate(work(1), 1, GPU, A, Distributed(gpus_per_task=2), {})


def test_a_measured_rate_replaces_computing_and_loading_and_nothing_else(tmp_path: Path) -> None:
    job = Job("all", (PREDICTION, TRAINING))
    assert sum(job_seconds(job, 1, GPU, A, 20.0).values()) == pytest.approx(7 + 1000 / 20)
    table = tmp_path / "rates.csv"
    table.write_text("step,samples_per_second,note\ntrain_landmarker,20,H200\n")
    rates = read_rates(table, STEPS)
    found = estimate(StepWork("train_landmarker", (job,)), 1, GPU, A, Distributed(), rates)
    assert found.measured and found.seconds == pytest.approx(57)
    recorder = Recorder("finetune", 0.0)
    for name, start, end in (("vest", 0.0, 15.0), ("skirt", 0.0, 25.0)):
        recorder.update([Event("started", name, start, "a"), Event("ended", name, end)])
        recorder.finish(name, 10 * (end - 5), 1, COMPLETED)
    recorder.timesheet(25.0).write(tmp_path / "finetune.json")
    assert read_rates(tmp_path / "finetune.json", STEPS) == {"finetune": pytest.approx(10)}
    table.write_bytes(b"\xef\xbb\xbfstep,samples_per_second\r\ntrain_landmarker,20\r\n")  # Excel's
    assert read_rates(table, STEPS) == {"train_landmarker": 20}
    sheet = tmp_path / "finetune.json"
    for old, new in (('"width": 1', '"width": 0'), ('"cost": 100.0', '"cost": "x"')):
        broken = tmp_path / "broken.json"
        broken.write_text(sheet.read_text().replace(old, new))
        assert broken.read_text() != sheet.read_text()
        with pytest.raises(ValueError, match=r"broken\.json: no timesheet of a fan-out"):
            read_rates(broken, STEPS)
    table.write_text("step,samples_per_second\nfly,20\n")
    with pytest.raises(ValueError, match=r"rates\.csv: line 2: unknown step 'fly'"):
        read_rates(table, STEPS)


def test_the_catalogue_has_dense_figures_and_t4_has_no_bf16() -> None:
    assert find_device("h200").tflops == find_device("H100").tflops == 989
    assert (find_device("A100").precision, find_device("T4").precision) == ("bf16", "fp16")
    assert {d.name for d in devices().values()} == {"H200", "H100", "A100", "L4", "T4", "cpu"}
    assert all(d.source and d.memory_gb and d.link_gb_s for d in devices().values())
    device, assumed = apply(["tflops=10.6", "decode_mpx=12"], find_device("T4"), Assumptions())
    assert (device.tflops, assumed.decode_mpx, assumed.warp_mpx) == (10.6, 12, Assumptions().warp_mpx)


@pytest.fixture(scope="module")
def paper_size() -> Params:
    return load_params(ROOT / "configs" / "deepfashion2.yaml")


@pytest.fixture(scope="module")
def work(paper_size: Params) -> dict[str, StepWork]:
    return {w.step: w for w in pipeline_work(paper_size, deepfashion2(), Assumptions())}


def test_deepfashion2_has_the_sizes_of_its_paper() -> None:
    size = deepfashion2()
    assert (size.train_photos, size.total, size.photos, size.garments) == (
        191_961,
        312_186,
        32_153,
        52_490,
    )


def test_every_step_is_planned_with_what_it_computes(work: dict[str, StepWork]) -> None:
    assert set(STEPS) - set(work) == {
        *("synthesize", "synthesize_alignment", "ingest_alignment"),
        *("dfa_stage", "train_gle"),  # not for these data
        *("register_alignment", "promote_alignment"),  # seconds
    }
    [landmarker] = work["train_landmarker"].jobs[0].phases
    assert (
        landmarker.samples == 312_186 * 12 and landmarker.parameters > 60e6 and landmarker.decoded == 1
    )
    # HRNet-W48: 14.6 x 2^30 at 192 x 256 by its own table, here on four times the pixels
    assert landmarker.macs == pytest.approx(3 * 4 * 14.6 * 2**30, rel=0.02)
    tops = work["finetune"].jobs[0]
    assert (tops.name, tops.width, tops.phases[0].samples) == ("short_sleeve_top", 4, 71_645 * 12)
    assert [job.name for job in work["refine"].jobs] == list(CATEGORY_NAMES)
    own, training = work["refine"].jobs[2].phases  # short sleeve outwear
    assert (own.trains, own.samples, training.samples) == (False, 543, 543 * 140)
    detect, landmarks = work["predict"].jobs[0].phases
    assert detect.samples == 1e7 and landmarks.samples == pytest.approx(1e7 * 312_186 / 191_961)
    assert detect.from_store and detect.fetched_kb == Assumptions().image_kb and not landmarks.decoded


def test_a_cascade_costs_what_its_paper_says() -> None:
    """Cascade R-CNN with ResNet-50 and FPN: 69.2 M parameters, 234.5 G at 1280 x 800 (mmdetection)."""
    config = TrainBoxDetector(kind="cascade_rcnn", backbone="resnet50", short_side=800, samples=512)
    found = box_detector(config)
    assert found.macs / 1e9 == pytest.approx(234.5, rel=0.15)
    assert found.parameters / 1e6 == pytest.approx(69.2, rel=0.05)
    hybrid = box_detector(config.model_copy(update={"kind": "htc"}))
    assert hybrid.training_macs > found.training_macs and isinstance(hybrid, Network)


def test_operations_are_counted_and_views_are_not() -> None:
    import torch

    x = torch.empty(2, 3, 4, 4)
    layer = torch.nn.Conv2d(3, 5, 1)
    assert count_launches(lambda: layer(x).relu().permute(0, 2, 3, 1)[..., 0] + 1) == 3


def test_tables_hold_the_same_numbers_and_the_total_leaves_out_the_prediction(
    work: dict[str, StepWork], paper_size: Params
) -> None:
    a, device = Assumptions(), find_device("H200")
    found = {
        n: [estimate(w, n, device, a, paper_size.distributed, {}) for w in work.values()]
        for n in (1, 8)
    }
    plan = Plan(found, deepfashion2(), device, a)
    rows = json.loads(as_json(plan))["steps"]
    lines = as_csv(plan).splitlines()
    assert len(lines) == len(rows) + 1 == 2 * (len(work) + 1) + 1
    own = [row for row in rows if row["gpus"] == 8 and row["step"] not in ("predict", "pipeline")]
    [total] = [row for row in rows if row["gpus"] == 8 and row["step"] == "pipeline"]
    assert total["hours"] == pytest.approx(sum(row["hours"] for row in own))
    table = as_table(plan)
    assert max(map(len, table.splitlines()[:20])) <= 140 and "all of these" in table
    said = "up to 8 GPUs share one training here; distributed.devices sets how many do, and is 1"
    assert table.endswith(said + "\n" + table.splitlines()[-1])
    assert "share one training" not in as_table(Plan(found, deepfashion2(), device, a, devices=8))
    assert {e.bound for e in found[8]} <= set(BOUNDS)
    assert all(fast.seconds <= slow.seconds for slow, fast in zip(*found.values(), strict=True))
    assert all(e.gpu_seconds <= e.gpus * e.seconds + 1e-6 for e in found[8])


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    ws = Workspace(tmp_path)
    ws.catalog.mkdir(parents=True)
    rows = [("train", 1)] * 6 + [("train", 9)] * 2 + [("validation", 9)] * 5
    pd.DataFrame(rows, columns=["split", "category_id"]).to_parquet(ws.catalog / "garments.parquet")
    photos = pd.DataFrame({"split": ["train"] * 4 + ["validation"] * 3})
    photos.to_parquet(ws.catalog / "images.parquet")
    ws.params.write_text(yaml.safe_dump(Params().model_dump(mode="json", by_alias=True)))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FASHION_OPS_ROOT", str(tmp_path))
    return ws


def test_the_command_plans_for_the_catalog_and_writes_what_it_draws(workspace: Workspace) -> None:
    size = catalog_size(workspace, Params())
    assert (size.train_photos, size.photos, size.total, size.garments) == (4, 3, 8, 5)
    assert (size.train_garments["short_sleeve_top"], size.train_garments["vest"]) == (6, 0)
    done = CliRunner().invoke(app, ["plan", "--gpus", "2,1", "--device", "cpu", "--out", "plans"])
    assert done.exit_code == 0, done.output
    assert "1 core " in done.output and "2 cores" in done.output and "decode_mpx" in done.output
    out = workspace.root / "plans"
    assert {path.name for path in out.iterdir()} == {"plan.csv", "plan.png"}
    table = pd.read_csv(out / "plan.csv")
    assert set(table["gpus"]) == {1, 2} and "finetune" in set(table["step"])
    again = CliRunner().invoke(app, ["plan", "--gpus", "2", "--json", "--out", "plans"])
    assert again.exit_code == 0 and json.loads(again.output)["device"]["name"] == "H200"
    (out / "plan.csv").write_text("mine")
    refused = CliRunner().invoke(app, ["plan", "--out", "plans"])
    assert refused.exit_code == 2 and "plan.csv" in refused.output
    assert (out / "plan.csv").read_text() == "mine"
