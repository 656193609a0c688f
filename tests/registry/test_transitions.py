"""Aliases in a real registry: processes that are killed between any two writes, and two at once."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from movers import FORK, aliases, child, make, race, run_promotion

from fashion_ops.registry import client as registry
from fashion_ops.registry import lock, transitions

WRITES = (
    "create_experiment",
    "delete_experiment",
    "set_registered_model_alias",
    "delete_registered_model_alias",
    "set_registered_model_tag",
    "set_model_version_tag",
    "delete_model_version_tag",
)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Any:
    root = tmp_path_factory.mktemp("moves")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        registry.connect(root)
        yield root


def another_engine(root: Path) -> str:
    """The registry's address, unlike the one that a fork has a connection to."""
    return f"sqlite:///{root}/./.mlflow/mlflow.db"


def die_after(client: MlflowClient, name: str, writes: int, what: str) -> None:
    """Promote version 3 or roll back, and be killed after so many writes to the registry."""
    left = writes

    def counted(method: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **options: Any) -> Any:
            nonlocal left
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1
            return method(*arguments, **options)

        return call

    for method in WRITES:
        setattr(client, method, counted(getattr(client, method)))
    with transitions.begin_transition(client, name, what) as transition:
        transition.promote("3", "better") if what == "promotion" else transition.roll_back("worse")
    os._exit(7)  # it got through


@pytest.mark.parametrize("what", ["promotion", "rollback"])
def test_killed_between_any_two_steps_there_is_a_champion_and_the_next_process_repairs(
    root: Path, what: str
) -> None:
    before, after = (("2", "1"), ("3", "2")) if what == "promotion" else (("3", "2"), ("2", "1"))
    outcomes = []
    for writes in range(20):
        name = f"{what}-{writes}"
        client = make(registry.connect(root), name, 3)
        for version in ("1", "2", *(("3",) if what == "rollback" else ())):
            with transitions.begin_transition(client, name, "setup") as transition:
                transition.promote(version, "")
        assert aliases(client, name) == before
        process = child(another_engine(root), root, die_after, name, writes, what)
        process.join()
        champion, previous = aliases(client, name)
        assert champion in (before[0], after[0]) and previous is not None
        with transitions.begin_transition(
            client, name, "next"
        ):  # the dead one's lock is free, without waiting
            pass
        repaired = aliases(client, name)
        assert repaired in (before, after)
        last = transitions.history(client, name)[-1]
        assert last.done and repaired == (after if (last.what, last.version) == (what, "3") else before)
        rolled = transitions.ROLLED_BACK in client.get_model_version(name, "3").tags
        assert rolled == (what == "rollback" and repaired == after)
        outcomes.append(repaired)
        if process.exitcode == 7:
            break
        assert process.exitcode == -signal.SIGKILL
    else:
        pytest.fail("never got through")
    assert before in outcomes and outcomes[-1] == after
    assert len(outcomes) > 5  # it was killed between all of its steps


def test_back_and_forth_leads_to_the_champion_before(root: Path) -> None:
    client = make(registry.connect(root), "line", 3)

    def do(act: Callable[[transitions.Transition], object]) -> tuple[str | None, str | None]:
        with transitions.begin_transition(client, "line", "test") as transition:
            act(transition)
        return aliases(client, "line")

    assert do(lambda t: t.promote("1", "")) == ("1", None)
    assert do(lambda t: t.promote("2", "")) == ("2", "1")
    assert do(lambda t: t.promote("3", "")) == ("3", "2")
    assert do(lambda t: t.roll_back("bad")) == ("2", "1")
    assert do(lambda t: t.promote("3", "repaired")) == ("3", "2")
    assert transitions.ROLLED_BACK not in client.get_model_version("line", "3").tags
    assert do(lambda t: t.roll_back("bad again")) == ("2", "1")
    assert do(lambda t: t.roll_back("bad too")) == ("1", None)
    with pytest.raises(ValueError, match="no previous version to go back to"):
        do(lambda t: t.roll_back("too far"))
    assert [e.what for e in transitions.history(client, "line")] == [
        *["promotion"] * 3,
        "rollback",
        "promotion",
        "rollback",
        "rollback",
    ]
    assert client.search_experiments(filter_string="name LIKE 'line, turn %'") == []  # nothing is left


def test_of_two_promotions_at_once_one_wins_and_the_other_says_why_not(root: Path) -> None:
    client = make(registry.connect(root), "two", 1)
    answers, inside, go = FORK.Queue(), FORK.Event(), FORK.Event()
    first = child(another_engine(root), root, run_promotion, root, "two", answers, (inside, go))
    assert inside.wait(60)
    second = child(another_engine(root), root, run_promotion, root, "two", answers, None)
    pid, lost = answers.get(timeout=60)
    go.set()
    winner, won = answers.get(timeout=60)
    for process in (first, second):
        process.join(60)
        assert process.exitcode == 0
    assert (pid, winner) == (second.pid, first.pid)
    assert won["promoted"] and won["champion"] == 1
    assert not lost["promoted"] and lost["champion"] == 0
    assert f"promotion of version 1 by process {first.pid}" in lost["reasons"]
    assert "came first" in lost["reasons"]
    assert aliases(client, "two") == ("1", None)


def test_four_that_race_make_one_promotion(root: Path) -> None:
    client = make(registry.connect(root), "race", 1)
    given = race(another_engine(root), root, "race", 4)
    assert [a["reasons"] for a in given].count("the gate holds") == 1
    others = [a["reasons"] for a in given if a["reasons"] != "the gate holds"]
    assert all(why == "champion already" or "came first" in why for why in others)
    assert [e.what for e in transitions.history(client, "race")] == ["promotion"]
    assert aliases(client, "race") == ("1", None)


def test_a_process_that_was_taken_for_dead_moves_nothing(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = make(registry.connect(root), "slow", 2)
    with (
        pytest.raises(lock.LockHeld, match="taken for dead"),
        transitions.begin_transition(client, "slow", "slow") as slow,
    ):
        monkeypatch.setattr(lock, "_is_alive", lambda _: False)
        with transitions.begin_transition(client, "slow", "hasty") as hasty:
            hasty.promote("2", "")
        slow.promote("1", "")
    assert aliases(client, "slow") == ("2", None)


def test_a_registry_that_does_not_answer_is_no_registry_without_a_champion(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Else a broken connection would let anything become champion."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    client = MlflowClient("http://127.0.0.1:9", "http://127.0.0.1:9")
    with pytest.raises(Exception, match=r"127\.0\.0\.1"):
        registry.with_alias(client, "garments", registry.CHAMPION)
    with pytest.raises(Exception, match=r"127\.0\.0\.1"):
        transitions.history(client, "garments")
