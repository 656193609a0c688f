"""The real services as plain processes, and retrainings that go through all of them.

PostgreSQL, S3, MLflow, Ray's head and worker, Dagster's code server, daemon and webserver; the real
steps at a tiny size. The tests run in order on one workspace, as a bad week would. What takes minutes,
a retraining, a tick, outages, only runs with FASHION_OPS_LONG=1.
"""

import os
import signal
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from mortal_runs import HELD_AT_REGISTRATION, HELD_AT_UPLOAD, Order
from movers import aliases, make, race
from stack import postgres_binaries, wait_for
from week import LOCATION, MODEL, SWITCH_ON, Week

from fashion_ops.ledger.lockfile import read_entries
from fashion_ops.registry import client as registry
from fashion_ops.registry import transitions
from fashion_ops.taxonomy import CATEGORY_NAMES
from pipelines.run_owner import OWNER_TAG

DAGSTER = ("dagster-code", "dagster-webserver", "dagster-daemon")
CHAMPION, CHALLENGER = f"models:/{MODEL}@champion", f"models:/{MODEL}@challenger"
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(postgres_binaries() is None, reason="PostgreSQL is not installed"),
]
LONG = "FASHION_OPS_LONG" in os.environ
long = pytest.mark.skipif(not LONG, reason="minutes; set FASHION_OPS_LONG=1")


def test_the_webserver_knows_the_schedules_through_the_code_server(week: Week) -> None:
    [node] = week.repositories()
    assert node["location"]["name"] == "fashion-ops"
    assert "retrain" in {schedule["name"] for schedule in node["schedules"]}


def test_services_listen_on_loopback_only(week: Week) -> None:
    for name, connections in week.of_processes(lambda p: p.net_connections()).items():
        heard = {c.laddr.ip for of_one in connections for c in of_one if c.status == "LISTEN"}
        if not name.startswith("ray"):  # it asks for a token; see docs/operations.md
            assert heard <= {"127.0.0.1", "::ffff:127.0.0.1", "::1"}, (name, heard)


@long
def test_a_retraining_goes_through_all_services(week: Week) -> None:
    """Webserver, queue, daemon, code server, run, Ray, S3, MLflow."""
    week.finish(week.launch())
    assert week.ledger.changes("evaluate") == {}
    assert week.versions() == [1] and week.alias("champion") == week.alias("challenger") == 1
    kept = week.objects()
    assert len([key for key in kept if key.startswith("dvc/")]) > 2 * len(CATEGORY_NAMES)
    assert len([key for key in kept if key.endswith("weights.safetensors")]) >= 2 * len(CATEGORY_NAMES)
    code = f"import fashion_ops; fashion_ops.load({CHAMPION!r})"
    week.stack.run("python", "-c", code)


def test_of_promotions_at_once_on_postgresql_one_wins(week: Week, tmp_path: Path) -> None:
    client = registry.connect(tmp_path)  # the server of the environment
    make(client, "race", 1)
    answers = race(week.stack.env["MLFLOW_TRACKING_URI"], tmp_path, "race", 4)
    whys = [answer["reasons"] for answer in answers]
    assert whys.count("the gate holds") == 1
    others = [why for why in whys if why != "the gate holds"]
    assert all(why == "champion already" or "came first" in why for why in others), others
    assert [event.what for event in transitions.history(client, "race")] == ["promotion"]
    assert aliases(client, "race") == ("1", None)


@long
def test_a_tick_survives_its_daemon_its_run_and_the_clock(week: Week) -> None:
    stack, instance = week.stack, week.instance
    week.change("skirt")
    before, versions = len(instance.get_runs()), week.versions()
    said = week.graphql(SWITCH_ON, selector={**LOCATION, "scheduleName": "retrain"})
    assert said["startSchedule"]["__typename"] == "ScheduleStateResult", said
    [state] = [s for s in instance.all_instigator_state() if s.instigator_name == "retrain"]

    def ticks() -> list[Any]:
        return list(instance.get_ticks(state.instigator_origin_id, state.selector_id))

    def ticked() -> bool:
        if stack.processes["dagster-daemon"].poll() is not None:  # it finds its own heartbeat old
            stack.start("dagster-daemon")
        return bool(ticks())

    # The clock jumps to just before Monday at three; the daemon dies in the tick.
    monday = (7 - datetime.now(UTC).weekday()) % 7 or 7
    wanted = datetime.now(UTC).replace(hour=3, minute=0, second=0).timestamp() + monday * 86400
    jump = wanted - 2 - time.time()
    wait_for("first look of the scheduler", lambda: "SchedulerDaemon" in stack.log("dagster-daemon"))
    stack.clock.write_text(f"{jump:.0f}")
    wait_for("tick", ticked)
    stack.stop("dagster-daemon")
    stack.start("dagster-daemon")
    wait_for("run of the tick", lambda: len(instance.get_runs()) > before)
    run = week.last_run()
    assert run.tags["dagster/schedule_name"] == "retrain"

    # The run is killed once a category landed; the code server tells Dagster.
    wanted_lr = week.clone.params["categories"]["skirt"]["finetune"]["lr"]

    def landed() -> bool:
        entry = read_entries(week.clone.root / "dvc.lock")["finetune@skirt"]
        return entry.params["categories.skirt.finetune"]["lr"] == wanted_lr

    wait_for("finetune@skirt", landed)
    driver = instance.get_run_by_id(run.run_id).tags[OWNER_TAG]  # type: ignore[union-attr]
    os.kill(int(driver.split(":")[1]), signal.SIGKILL)
    wait_for("end of the run", lambda: week.status(run.run_id).value == "FAILURE")

    # An hour back and on again over the same Monday: no second tick, no second run. A daemon that saw
    # the clock go back would do nothing for an hour; docs/operations.md says to restart it.
    stack.stop("dagster-daemon")
    stack.clock.write_text(f"{jump - 3600:.0f}")
    stack.start("dagster-daemon")
    again = week.launch_again(run.run_id)
    week.finish(again)
    stack.clock.write_text(f"{jump + 60:.0f}")
    time.sleep(10)  # the scheduler looks every five seconds
    assert len(instance.get_runs()) == before + 2
    assert [(t.status.value, len(t.run_ids)) for t in ticks()] == [("SUCCESS", 1)]
    executed = {s.step_key for s in instance.get_run_step_stats(again)}
    assert "synthesize" not in executed and "register" in executed
    assert week.ledger.changes("evaluate") == {} and week.alias("champion") in week.versions()
    assert week.versions() == [*versions, versions[-1] + 1]
    assert not week.overlap()


@long
def test_services_that_are_down_cost_a_retry_and_nothing_else(week: Week) -> None:
    stack = week.stack
    for name in DAGSTER[::-1]:
        stack.stop(name)
    before, champion = week.versions(), week.alias("champion")
    week.change("vest")
    with week.nursery() as nursery:
        # MLflow is down from the start: training goes on without it, registration says so.
        stack.stop("mlflow")
        assert nursery.run(Order()) == 1
        assert week.failed_steps() == ["register"]
        assert week.ledger.changes("evaluate") == {}
        failed = week.last_run().run_id
        stack.start("mlflow")
        stack.ready("mlflow")

        # S3 is down at the start of registration; falls while the models travel.
        stack.stop_s3()
        assert nursery.run(Order(failed)) == 1 and week.failed_steps() == ["register"]
        stack.start_s3()
        order = Order(week.last_run().run_id, HELD_AT_UPLOAD)
        failed = week.held(nursery, order, stack.stop_s3)
        stack.start_s3()
        assert week.versions() == before and week.alias("champion") == champion

        # MLflow falls when all is uploaded and the version is about to be made.
        order = Order(failed, HELD_AT_REGISTRATION)
        failed = week.held(nursery, order, lambda: stack.stop("mlflow"))
        stack.start("mlflow")
        stack.ready("mlflow")
        assert week.versions() == before and week.alias("champion") == champion
        assert nursery.run(Order(failed)) == 0
        assert week.versions() == [*before, before[-1] + 1]
        assert week.alias("challenger") == before[-1] + 1
        assert nursery.run(Order(load=CHAMPION)) == nursery.run(Order(load=CHALLENGER)) == 0
    assert not week.overlap()


def test_no_secret_is_written_anywhere(week: Week) -> None:
    """Files, logs, databases, objects, and the command lines that ``ps`` shows everybody."""
    told = week.told()
    parts = ("mlflow.log", "database dagster", "database mlflow", "command lines")
    for part in (*parts, *(("dvc.lock", "s3:mlflow", "s3:dvc") if LONG else ())):
        assert any(part in name and content for name, content in told.items()), part
    secrets = [value.encode() for value in week.stack.secrets.values()]
    assert [name for name, data in told.items() if any(secret in data for secret in secrets)] == []
