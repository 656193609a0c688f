"""Alarms of failed and overdue runs, to the log and to a webhook that listens on this machine."""

import errno
import sys
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.freshness import FreshnessState, FreshnessStateChange
from dagster._core.definitions.run_status_sensor_definition import RunStatusSensorCursor
from hooks import Hook
from pydantic import SecretStr

import fashion_ops.registry
from fashion_ops.params import Notify, Retrain
from fashion_ops.registry import client as registry
from fashion_ops.workspace import Workspace
from pipelines import notify, sensors, webhook_client
from pipelines.definitions import build
from pipelines.resources import RepositoryResource
from pipelines.run import run
from pipelines.schedules import make_schedule


@pytest.fixture
def posts(hook: Hook, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What a webhook on this machine accepted."""
    monkeypatch.setenv(notify.WEBHOOK, hook.url)
    return hook.accepted


def test_a_failed_run_is_reported_with_its_cause_and_the_champion(
    repository: Any, stages: Any, posts: list[dict[str, Any]], caplog: pytest.LogCaptureFixture
) -> None:
    stages.failing["aggregate"] = ValueError("no such grouping")
    [result] = run(repository.root, repository.instance, ("synthesize", "ingest", "aggregate"))
    repository.report_failure(result)
    [body] = posts
    assert body["event"] == "run_failed" and body["run"] == result.run_id
    assert body["steps"] == ["aggregate: no such grouping"]
    assert body["champion"] == "the champion is still version 3"
    assert body["text"] in caplog.text and "The champion is still version 3." in body["text"]


def test_a_failed_tick_leaves_the_champion_and_says_so(
    repository: Any, stages: Any, posts: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a real registry, where version 2 serves and 3 is the challenger."""
    monkeypatch.setitem(sys.modules, "fashion_ops.registry.client", registry)  # the stand-in's place
    monkeypatch.setattr(fashion_ops.registry, "client", registry)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    client, name = registry.connect(repository.root), "garment-landmarks"
    client.create_registered_model(name)
    for _ in range(3):
        client.create_model_version(name, f"file://{repository.root}/models")
    serving = {"previous": "1", "champion": "2", "challenger": "3"}
    for alias, version in serving.items():
        client.set_registered_model_alias(name, alias, version)

    definitions = build(repository.root)
    for failing in ("evaluate", "register"):
        stages.failing = {failing: ValueError(f"{failing} broke")}
        with dg.build_schedule_context(instance=repository.instance) as context:
            [request] = make_schedule("pipeline", Retrain()).evaluate_tick(context).run_requests or []
        result = definitions.resolve_job_def("pipeline").execute_in_process(
            instance=repository.instance, tags=dict(request.tags), raise_on_error=False
        )
        assert not result.success and "promote" not in stages.calls
        aliases = client.get_registered_model(name).aliases
        assert {alias: str(version) for alias, version in aliases.items()} == serving
        repository.report_failure(result)
        assert posts[-1]["steps"] == [f"{failing}: {failing} broke"]
        assert posts[-1]["text"].endswith("The champion is still version 2.")
    assert stages.calls.count("evaluate") == 2 and stages.calls.count("synthesize") == 1


class Overdue:
    """The sensors ``overdue`` and ``alarms`` of a repository, tick by tick."""

    def __init__(self, repository: Any) -> None:
        self.instance, self.cursor, self.before = repository.instance, None, FreshnessState.UNKNOWN
        self.resources = {"repository": RepositoryResource(root=str(repository.root))}

    def tick(self, state: FreshnessState) -> None:
        if state != self.before:
            self.instance.report_runless_asset_event(
                FreshnessStateChange(
                    key=sensors.OVERDUE,
                    new_state=state,
                    previous_state=self.before,
                    state_change_timestamp=1.0,
                )
            )
        self.before = state
        with dg.build_sensor_context(
            instance=self.instance, cursor=self.cursor, resources=self.resources
        ) as context:
            self.cursor = sensors.overdue.evaluate_tick(context).cursor
        assert self.cursor == state.value

    def deliver(self) -> str:
        with dg.build_sensor_context(instance=self.instance, resources=self.resources) as context:
            return str(sensors.alarms.evaluate_tick(context).skip_message)


@pytest.fixture
def overdue(repository: Any) -> Overdue:
    return Overdue(repository)


def test_what_is_overdue_is_reported_once(
    repository: Any, overdue: Overdue, posts: list[dict[str, Any]]
) -> None:
    for state in (FreshnessState.PASS, FreshnessState.FAIL, FreshnessState.FAIL, FreshnessState.PASS):
        overdue.tick(state)
    assert [body["event"] for body in posts] == ["overdue"]
    policy = build(repository.root).resolve_asset_graph().get(sensors.OVERDUE).freshness_policy
    assert policy.fail_window.to_timedelta().days == 8


def test_what_is_overdue_is_told_again_until_it_is_delivered_and_then_no_more(
    overdue: Overdue, hook: Hook, posts: list[dict[str, Any]]
) -> None:
    hook.replies = [404, 302, b"garbage\r\n\r\n"]
    overdue.tick(FreshnessState.FAIL)
    assert not posts
    for why in ("302 Found; redirects are not followed", "is not HTTP"):
        said = overdue.deliver()
        assert ": 1; " in said and why in said and "/hook" not in said
    assert overdue.deliver() == "none waits"
    overdue.tick(FreshnessState.FAIL)
    assert overdue.deliver() == "none waits"
    assert [body["event"] for body in posts] == ["overdue"]


def test_a_failed_run_is_told_after_a_wrong_address_was_mended(
    overdue: Overdue,
    repository: Any,
    stages: Any,
    hook: Hook,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The address holds a space; the alarm waits, and neither log nor Dagster's page has the secret."""
    monkeypatch.setenv(notify.WEBHOOK, f"{hook.url}/the secret")
    stages.failing["synthesize"] = ValueError("broke")
    [result] = run(repository.root, repository.instance, ("synthesize",))
    for _ in range(2):  # the daemon may ask twice about one run
        repository.report_failure(result)
    assert "FASHION_OPS_WEBHOOK (host 127.0.0.1): a space" in overdue.deliver()
    assert "secret" not in caplog.text and "/hook" not in caplog.text
    monkeypatch.setenv(notify.WEBHOOK, hook.url)
    assert overdue.deliver() == "none waits"
    assert [body["run"] for body in hook.accepted] == [result.run_id]


def full_disk(*_: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def test_an_overdue_run_is_told_later_if_the_disk_is_full_and_nobody_listens(
    overdue: Overdue, hook: Hook, posts: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(notify, "write_whole", full_disk)
        hook.replies = [503]
        with pytest.raises(notify.AlarmLost, match=r"No space left on device\) nor .* 503 Service"):
            overdue.tick(FreshnessState.FAIL)
    overdue.tick(FreshnessState.FAIL)
    assert [body["event"] for body in posts] == ["overdue"]


def test_a_failed_run_is_told_later_if_the_disk_is_full_and_nobody_listens(
    repository: Any,
    stages: Any,
    hook: Hook,
    posts: list[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Dagster moves the cursor past a run whose sensor raised any other error."""
    stages.failing["synthesize"] = ValueError("broke")
    [result] = run(repository.root, repository.instance, ("synthesize",))

    def tick() -> None:
        with dg.build_sensor_context(
            instance=repository.instance,
            cursor=RunStatusSensorCursor(record_id=0).to_json(),
            resources={"repository": RepositoryResource(root=str(repository.root))},
        ) as context:
            [reaction] = sensors.failed_runs.evaluate_tick(context).dagster_run_reactions
        assert reaction.error is None

    with monkeypatch.context() as patch:
        patch.setattr(notify, "write_whole", full_disk)
        hook.replies = [503]
        with pytest.raises(notify.AlarmLost):
            tick()
    tick()
    assert [body["run"] for body in posts] == [result.run_id]


def test_nothing_fails_because_nobody_listens(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delenv(notify.WEBHOOK, raising=False)
    monkeypatch.setattr(webhook_client, "PAUSES", (0.01, 0.01))
    ws, alarm = Workspace(tmp_path), ("run_failed", "1", "a run failed")
    assert notify.raise_alarm(ws, Notify(), *alarm) is None and not ws.alarms.exists()
    dead = Notify(webhook=SecretStr("http://127.0.0.1:9/secret"))
    assert "undelivered alarms" in str(notify.raise_alarm(ws, dead, *alarm))
    assert "cannot be reached" in caplog.text and "secret" not in caplog.text
