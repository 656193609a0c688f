"""Failures and overdue runs are told: to the log, and to a webhook that listens on this machine."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.freshness import FreshnessState, FreshnessStateChange

from fashion_ops.params import Notify
from pipelines import notify
from pipelines.definitions import build
from pipelines.home import House
from pipelines.run import run


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[dict[str, Any]]]:
    """What a webhook on this machine was sent."""
    bodies: list[dict[str, Any]] = []

    class Listener(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200 if self.path == "/hook" else 500)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Listener)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv(notify.WEBHOOK, f"http://127.0.0.1:{server.server_port}/hook")
    yield bodies
    server.shutdown()
    server.server_close()


def test_a_failed_run_is_told_with_its_cause_and_the_champion(
    house: Any, stages: Any, heard: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    stages.failing["aggregate"] = ValueError("no such grouping")
    [result] = run(house.root, house.instance, ("synthesize", "ingest", "aggregate"))
    context = dg.build_run_status_sensor_context(
        sensor_name="failed_runs",
        dagster_event=result.get_run_failure_event(),
        dagster_instance=house.instance,
        dagster_run=result.dagster_run,
    ).for_run_failure()
    notify.failed_runs(context, house=House(root=str(house.root)))
    [body] = heard
    assert body["event"] == "run_failed" and body["run"] == result.run_id
    assert body["steps"] == ["aggregate: ValueError: no such grouping"]
    assert body["champion"] == "the champion is still version 3"
    assert body["text"] in caplog.text and "The champion is still version 3." in body["text"]


def test_what_is_overdue_is_told_once(house: Any, heard: list[dict[str, Any]]) -> None:
    cursor, before = None, FreshnessState.UNKNOWN
    for state in (FreshnessState.PASS, FreshnessState.FAIL, FreshnessState.FAIL, FreshnessState.PASS):
        house.instance.report_runless_asset_event(
            FreshnessStateChange(
                key=notify.OVERDUE, new_state=state, previous_state=before, state_change_timestamp=1.0
            )
        )
        context = dg.build_sensor_context(
            instance=house.instance, cursor=cursor, resources={"house": House(root=str(house.root))}
        )
        cursor = notify.overdue.evaluate_tick(context).cursor
        assert cursor == state.value
        before = state
    assert [body["event"] for body in heard] == ["overdue"]
    policy = build(house.root).resolve_asset_graph().get(notify.OVERDUE).freshness_policy
    assert policy.fail_window.to_timedelta().days == 8


def test_nothing_fails_because_nobody_listens(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv(notify.WEBHOOK, raising=False)
    assert not notify.tell(Notify(), "run_failed", "a run failed")
    secret = "http://127.0.0.1:9/secret"
    assert not notify.tell(Notify(webhook=secret), "run_failed", "a run failed")
    assert "could not be told" in caplog.text and "secret" not in caplog.text
