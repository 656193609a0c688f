"""New data in Dagster: the sensor waits, then asks once; the run takes them and goes on."""

import os
from typing import Any

import dagster as dg

from fashion_ops.params import Batches
from pipelines.resources import RepositoryResource
from pipelines.run import failures, run
from pipelines.sensors import make_new_data_sensor


def drop(repository: Any, name: str, images: int) -> None:
    folder = repository.ws.inbox / name / "train" / "image"
    folder.mkdir(parents=True)
    for i in range(images):
        (folder / f"{i:06d}.jpg").write_bytes(b"")


def tick(repository: Any) -> dg._core.definitions.sensor_definition.SensorExecutionData:
    with dg.build_sensor_context(
        instance=repository.instance,
        resources={"repository": RepositoryResource(root=str(repository.root))},
    ) as context:
        return make_new_data_sensor(Batches()).evaluate_tick(context)


def test_the_sensor_waits_for_enough_and_asks_once(repository: Any, stages: Any) -> None:
    assert make_new_data_sensor(Batches()).default_status == dg.DefaultSensorStatus.STOPPED
    assert make_new_data_sensor(Batches(enabled=True)).default_status == dg.DefaultSensorStatus.RUNNING
    assert tick(repository).skip_message == "nothing there"
    drop(repository, "monday", 100)
    assert tick(repository).skip_message == "no batch is ready; without a NAME.ready beside it: monday"
    drop(repository, "tuesday", 99)
    (repository.ws.inbox / "tuesday.ready").touch()
    assert tick(repository).skip_message == "99 images are ready, batches.min_images is 100"
    (repository.ws.inbox / "monday.ready").touch()
    [first], [second] = tick(repository).run_requests or [], tick(repository).run_requests or []
    assert first.run_key == second.run_key  # Dagster asks for a key once
    assert first.tags["fashion_ops/skip_current"] == "true"
    (repository.ws.inbox / "tuesday.ready").unlink()
    [third] = tick(repository).run_requests or []
    assert third.run_key != first.run_key


def test_new_data_make_ingest_stale_and_bad_ones_warn(repository: Any, stages: Any) -> None:
    assert failures(run(repository.root, repository.instance, ("synthesize", "ingest"))) == []
    stages.calls.clear()
    (repository.ws.batches / "0001-monday").mkdir()
    (repository.ws.batches / "0001-monday" / "labels.json").write_text("{}")
    drop(repository, "bad", 100)
    (repository.ws.inbox / "bad.ready").touch()
    results = run(repository.root, repository.instance, ("synthesize", "ingest"))
    assert failures(results) == []  # a refused batch is no failure
    assert stages.calls == ["ingest"]
    assert (repository.ws.batches / "0001-monday.dvc").is_file()
    assert (repository.ws.rejected / "bad.reason.txt").is_file()
    checks = {c.check_name: c for r in results for c in r.get_asset_check_evaluations()}
    refused = checks["nothing_rejected"]
    assert not refused.passed and refused.severity == dg.AssetCheckSeverity.WARN
    assert refused.metadata["data/rejected"].value == "bad.reason.txt"


def test_uploads_of_any_name_and_kind_neither_stop_the_sensor_nor_the_run(
    repository: Any, stages: Any
) -> None:
    names = ("caf\udce9", "two\nlines", "x" * 246)
    repository.ws.inbox.mkdir(parents=True)
    for name in names:
        os.mkfifo(repository.ws.inbox / name)
    assert tick(repository).skip_message.startswith(
        "no batch is ready; without a NAME.ready beside it: caf\\xe9"
    )
    for name in names:
        (repository.ws.inbox / f"{name}.ready").touch()
    (repository.ws.inbox / "gone.ready").symlink_to("nowhere")
    drop(repository, "gone", 1)
    [first], [second] = tick(repository).run_requests or [], tick(repository).run_requests or []
    assert first.run_key == second.run_key
    results = run(repository.root, repository.instance, ("synthesize", "ingest"))
    assert failures(results) == []
    assert stages.calls == ["synthesize", "ingest"]
    rejected = {"caf\\xe9", "two lines", "x" * 200}
    assert {p.name for p in repository.ws.rejected.iterdir() if not p.is_file()} == rejected
    event = repository.instance.get_latest_materialization_event(dg.AssetKey("batches"))
    facts = event.dagster_event.step_materialization_data.materialization.metadata
    assert "caf\\xe9 is a pipe" in facts["rejected"].value and facts["stuck"].value == "none"
