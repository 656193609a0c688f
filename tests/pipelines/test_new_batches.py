"""New data in Dagster: the sensor waits, then asks once; the run takes them and goes on."""

from typing import Any

import dagster as dg

from fashion_ops.params import Batches
from pipelines.batches import make_sensor
from pipelines.home import RepositoryResource
from pipelines.run import failures, run


def drop(house: Any, name: str, images: int) -> None:
    folder = house.ws.inbox / name / "train" / "image"
    folder.mkdir(parents=True)
    for i in range(images):
        (folder / f"{i:06d}.jpg").write_bytes(b"")


def tick(house: Any) -> dg._core.definitions.sensor_definition.SensorExecutionData:
    context = dg.build_sensor_context(
        instance=house.instance, resources={"house": RepositoryResource(root=str(house.root))}
    )
    return make_sensor(Batches()).evaluate_tick(context)


def test_the_sensor_waits_for_enough_and_asks_once(house: Any, stages: Any) -> None:
    assert make_sensor(Batches()).default_status == dg.DefaultSensorStatus.STOPPED
    assert make_sensor(Batches(enabled=True)).default_status == dg.DefaultSensorStatus.RUNNING
    assert tick(house).skip_message == "nothing there"
    drop(house, "monday", 100)
    assert tick(house).skip_message == "no batch is ready; not marked as .ready: monday"
    drop(house, "tuesday", 99)
    (house.ws.inbox / "tuesday.ready").touch()
    assert tick(house).skip_message == "99 images are ready, batches.min_images is 100"
    (house.ws.inbox / "monday.ready").touch()
    [first], [second] = tick(house).run_requests or [], tick(house).run_requests or []
    assert first.run_key == second.run_key  # Dagster asks for a key once
    assert first.tags["fashion_ops/skip_current"] == "true"
    (house.ws.inbox / "tuesday.ready").unlink()
    [third] = tick(house).run_requests or []
    assert third.run_key != first.run_key


def test_new_data_make_ingest_stale_and_bad_ones_warn(house: Any, stages: Any) -> None:
    assert failures(run(house.root, house.instance, ("synthesize", "ingest"))) == []
    stages.calls.clear()
    (house.ws.batches / "0001-monday").mkdir()
    (house.ws.batches / "0001-monday" / "labels.json").write_text("{}")
    drop(house, "bad", 100)
    (house.ws.inbox / "bad.ready").touch()
    results = run(house.root, house.instance, ("synthesize", "ingest"))
    assert failures(results) == []  # a refused batch is no failure
    assert stages.calls == ["ingest"]
    assert (house.ws.batches / "0001-monday.dvc").is_file()
    assert (house.ws.rejected / "bad.reason.txt").is_file()
    checks = {c.check_name: c for r in results for c in r.get_asset_check_evaluations()}
    refused = checks["nothing_rejected"]
    assert not refused.passed and refused.severity == dg.AssetCheckSeverity.WARN
    assert refused.metadata["data/rejected"].value == "bad.reason.txt"
