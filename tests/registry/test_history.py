"""Events, their numbers and the aliases outlive `mlflow gc` and what people do in MLflow's pages."""

import json
import socket
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from mlflow import MlflowClient
from mlflow.cli import gc
from mlflow.entities import Experiment, ExperimentTag, ViewType
from movers import aliases, make, measured

from fashion_ops.params import Params
from fashion_ops.registry import client as registry
from fashion_ops.registry import lock, transitions
from fashion_ops.steps import promote
from fashion_ops.workspace import Workspace


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("history")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setattr(promote, "measure", measured)
        registry.connect(root)
        yield root


def collect_garbage(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an operator runs at night."""
    uri = f"sqlite:///{root}/.mlflow/mlflow.db"
    with monkeypatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", uri)
        done = CliRunner().invoke(gc, ["--backend-store-uri", uri])
        assert done.exit_code == 0, done.output


def do(client: MlflowClient, name: str, act: Callable[[Any], object]) -> None:
    with transitions.begin_transition(client, name, "test") as transition:
        act(transition)


def promoted(root: Path, name: str, versions: int) -> MlflowClient:
    """A model whose versions were all promoted, one after the other."""
    client = make(registry.connect(root), name, versions)
    for version in range(1, versions + 1):
        do(client, name, lambda t, v=version: t.promote(str(v), ""))
    return client


def numbers(client: MlflowClient, name: str) -> list[tuple[int, str]]:
    return [(event.number, event.what) for event in transitions.history(client, name)]


def test_numbers_grow_and_nothing_is_overwritten_after_gc(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = promoted(root, "collected", 3)
    before = transitions.history(client, "collected")
    collect_garbage(root, monkeypatch)
    assert client.search_experiments(ViewType.ALL, filter_string="name LIKE 'collected, turn %'") == []
    do(client, "collected", lambda t: t.roll_back("bad"))
    assert transitions.history(client, "collected")[:3] == before
    assert numbers(client, "collected")[3:] == [(4, "rollback")]
    assert aliases(client, "collected") == ("2", "1")  # previous is not lost
    collect_garbage(root, monkeypatch)
    client.delete_registered_model_tag("collected", f"{lock.EVENT_TAG}000004")  # by hand
    do(client, "collected", lambda t: t.promote("3", "again"))
    assert numbers(client, "collected")[3:] == [(5, "promotion")]  # a number is never used again


def test_gc_of_deleted_runs_and_of_the_whole_experiment_takes_no_event(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = promoted(root, "runs", 2)
    before = transitions.history(client, "runs")
    client.delete_run(str(client.get_model_version("runs", "1").run_id))
    experiment = client.get_experiment_by_name(registry.EXPERIMENT)
    assert experiment is not None
    client.delete_experiment(experiment.experiment_id)
    assert (
        registry.connect(root).get_experiment_by_name(registry.EXPERIMENT).lifecycle_stage == "active"
    )
    collect_garbage(root, monkeypatch)  # the run that was deleted for itself goes, the others stay
    assert client.get_run(str(client.get_model_version("runs", "2").run_id))
    client.delete_experiment(experiment.experiment_id)
    collect_garbage(root, monkeypatch)
    client = registry.connect(root)
    assert transitions.history(client, "runs") == before
    do(client, "runs", lambda t: t.roll_back("bad"))
    assert aliases(client, "runs") == ("1", None)
    assert numbers(client, "runs")[-1] == (3, "rollback")


def test_a_deleted_run_of_the_challenger_is_taken_back_before_gc_can_take_it(root: Path) -> None:
    client = make(registry.connect(root), "undeleted", 1)
    run = str(client.get_model_version("undeleted", "1").run_id)
    client.delete_run(run)
    params = Params.model_validate({"register": {"model": "undeleted"}})
    assert promote.run(params, Workspace(root))["promoted"]
    assert client.get_run(run).info.lifecycle_stage == "active"


@pytest.mark.parametrize("alias", ["champion", "previous", "both"])
def test_a_deleted_alias_is_put_back_from_the_history(root: Path, alias: str) -> None:
    name = f"alias-{alias}"
    client = promoted(root, name, 3)
    for one in ("champion", "previous") if alias == "both" else (alias,):
        client.delete_registered_model_alias(name, one)
    do(client, name, lambda t: t.roll_back("bad"))
    assert aliases(client, name) == ("2", "1")


def test_a_challenger_is_compared_with_the_champion_whose_alias_somebody_deleted(root: Path) -> None:
    client = promoted(root, "compared", 2)
    client.set_registered_model_alias("compared", "challenger", "1")
    client.delete_registered_model_alias("compared", "champion")
    result = promote.run(Params.model_validate({"register": {"model": "compared"}}), Workspace(root))
    assert not result["promoted"] and result["champion"] == 2
    assert result["reasons"] == "version 1 could not be compared with the champion"  # the stand-in


@pytest.mark.parametrize(("deleted", "expected"), [("3", ("2", "1")), ("2", ("3", "1"))])
def test_a_deleted_version_is_skipped(root: Path, deleted: str, expected: Any) -> None:
    name = f"version-{deleted}"
    client = promoted(root, name, 3)
    client.delete_model_version(name, deleted)
    do(client, name, lambda t: None)
    assert aliases(client, name) == expected
    do(client, name, lambda t: t.roll_back("bad"))
    assert aliases(client, name) == ("1", None)
    with pytest.raises(ValueError, match="no previous version to go back to"):
        do(client, name, lambda t: t.roll_back("too far"))


def test_an_event_left_half_way_whose_version_is_gone_is_finished(root: Path) -> None:
    client = promoted(root, "half", 2)
    event = transitions.history(client, "half")[-1]
    fields = {**event.__dict__, "done": False}
    client.set_registered_model_tag("half", f"{lock.EVENT_TAG}{event.number:06d}", json.dumps(fields))
    client.delete_model_version("half", "2")
    do(client, "half", lambda t: None)
    assert aliases(client, "half") == ("1", None)
    assert all(event.done for event in transitions.history(client, "half"))


EDITED = ("", "{", "[]", "null", '{"number": 2}', '{"a": 1}', '"text"')


def test_an_event_that_somebody_edited_is_shown_and_stops_nothing(root: Path) -> None:
    client = promoted(root, "edited", 3)
    client.set_registered_model_tag("edited", f"{lock.EVENT_TAG}x", "{}")  # somebody's own
    client.set_registered_model_tag("edited", lock.LAST_EVENT_TAG, "many")
    for text in EDITED:
        client.set_registered_model_tag("edited", f"{lock.EVENT_TAG}000002", text)
        shown = transitions.history(client, "edited")[1]
        assert (shown.what, shown.number) == (transitions.UNREADABLE, 2) and "was edited" in shown.why
    do(client, "edited", lambda t: t.roll_back("bad"))
    assert aliases(client, "edited") == ("2", "1")
    assert numbers(client, "edited")[-1] == (4, "rollback")


def test_edited_fields_of_an_event_are_checked() -> None:
    valid = {
        "number": 1,
        "time": "t",
        "what": "promotion",
        "version": "1",
        "why": "",
        "done": True,
        "champion": [None, "1"],
        "previous": [None, None],
    }
    assert transitions._read_event(1, json.dumps(valid)).champion == (None, "1")
    edits = ({"champion": "12"}, {"champion": [1, 2]}, {"done": "yes"}, {"version": 1}, {"extra": 1})
    for edit in edits:
        event = transitions._read_event(1, json.dumps(valid | edit))
        assert event.what == transitions.UNREADABLE and event.done


def test_a_lock_whose_tags_somebody_edited_expires() -> None:
    now = datetime.now(UTC).timestamp()
    for edited in ({}, {"host": socket.gethostname(), "pid": "x", "started": "1"}, {"host": "h"}):
        tags = [ExperimentTag(key, value) for key, value in edited.items()]
        alive = [
            lock._is_alive(Experiment("1", "lock", "", "active", tags, creation_time=int(1000 * then)))
            for then in (now, now - 7 * 3600)
        ]
        assert alive == [True, False]
