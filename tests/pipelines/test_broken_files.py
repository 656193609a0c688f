"""The code location lives while its files are broken: sensors and alarms work, runs fail plainly."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.freshness import FreshnessState, FreshnessStateChange

from pipelines import sensors
from pipelines.definitions import build
from pipelines.resources import RepositoryResource, last_valid_params
from pipelines.run import failures, run


def conflict(path: Path) -> None:
    text = path.read_text() if path.is_file() else ""
    path.write_text(f"<<<<<<< HEAD\n{text}=======\n>>>>>>> other\n")


def edit(name: str, old: str, new: str) -> Callable[[Path], None]:
    def break_it(root: Path) -> None:
        text = (root / name).read_text()
        assert old in text
        (root / name).write_text(text.replace(old, new, 1))

    return break_it


BREAKS: dict[str, tuple[Callable[[Path], None], str]] = {
    "no YAML": (edit("params.yaml", "\nsynthesize:", "\nsynthesize: {"), "params.yaml"),
    "unknown key": (edit("params.yaml", "\nsynthesize:", "\nsynthesise:"), "params.yaml"),
    "missing": (lambda root: (root / "params.yaml").unlink(), "params.yaml"),
    "pipeline": (edit("dvc.yaml", "\nstages:", "\nstages: {"), "dvc.yaml"),
    "lock": (lambda root: conflict(root / "dvc.lock"), "dvc.lock"),
}


@pytest.fixture
def alerts(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str | None, str, str]]:
    """Webhook of the settings, kind and text of each alert."""
    sent: list[tuple[str | None, str, str]] = []

    def send(_: Any, notify: Any, event: str, about: str, text: str, **__: Any) -> None:
        sent.append((notify.webhook and notify.webhook.get_secret_value(), event, text))

    monkeypatch.setattr(sensors, "raise_alarm", send)
    return sent


def tick(repository: Any, sensor: dg.SensorDefinition) -> Any:
    with dg.build_sensor_context(
        instance=repository.instance,
        resources={"repository": RepositoryResource(root=str(repository.root))},
    ) as context:
        return sensor.evaluate_tick(context)


@pytest.mark.parametrize("broken", BREAKS)
def test_definitions_load_sensors_live_and_the_failed_run_is_told(
    repository: Any, stages: Any, alerts: list[tuple[str | None, str, str]], broken: str
) -> None:
    webhook = "https://example.org/hook"
    edit("params.yaml", "webhook: null", f"webhook: {webhook}")(repository.root)
    edit("params.yaml", 'cron: "0 3 * * 1"', 'cron: "30 4 * * *"')(repository.root)
    build(repository.root)  # the last time that all was well
    breaks, named = BREAKS[broken]
    breaks(repository.root)

    definitions = build(repository.root)
    assert definitions.get_schedule_def("retrain").cron_schedule == "30 4 * * *"
    names = {sensor.name for sensor in definitions.sensors or []}
    assert names == {"dvc_lock", "new_data", "failed_runs", "overdue", "alarms"}

    if broken != "unknown key":  # which DVC does not mind
        said = str(tick(repository, sensors.dvc_lock).skip_message)
        assert named in said and "until this is repaired" in said and "\n" not in said
    folder = repository.ws.inbox / "monday" / "train" / "image"
    folder.mkdir(parents=True)
    for number in range(100):
        (folder / f"{number}.jpg").touch()
    (repository.ws.inbox / "monday.ready").touch()
    data = tick(repository, definitions.get_sensor_def("new_data"))
    if named == "params.yaml":
        assert named in str(data.skip_message) and not data.run_requests
    else:
        assert data.run_requests  # and that run fails, which is told

    [result] = run(repository.root, repository.instance, ("synthesize",))
    [line] = failures([result])
    assert line.startswith("synthesize: ") and named in line and stages.calls == []
    repository.report_failure(result)
    repository.instance.report_runless_asset_event(
        FreshnessStateChange(
            key=sensors.OVERDUE,
            new_state=FreshnessState.FAIL,
            previous_state=FreshnessState.PASS,
            state_change_timestamp=1.0,
        )
    )
    tick(repository, sensors.overdue)
    assert [(hook, event) for hook, event, _ in alerts] == [
        (webhook, "run_failed"),
        (webhook, "overdue"),
    ]
    assert named in alerts[0][2]


def test_after_the_repair_everything_goes_on(repository: Any, stages: Any) -> None:
    valid = repository.ws.params.read_bytes()
    repository.ws.params.write_text("seed: [")
    resource = RepositoryResource(root=str(repository.root))
    [result] = run(repository.root, repository.instance, ("synthesize",))
    assert not result.success
    repository.ws.params.write_bytes(valid)
    assert failures(run(repository.root, repository.instance, ("synthesize",))) == []
    assert stages.calls == ["synthesize"]
    assert resource.settings() == resource.params()


def test_without_a_last_valid_file_the_settings_are_the_defaults(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("retrain: {enabled: true, overdue_days: 3}")
    assert last_valid_params(tmp_path).retrain.overdue_days == 3
    (tmp_path / "params.yaml").write_text("retrain: {")
    assert last_valid_params(tmp_path).retrain.enabled
    (tmp_path / ".dagster" / "params.yaml").write_text("broken: too")
    assert last_valid_params(tmp_path).retrain.overdue_days == 8
