"""Promotion and rollback: the moves of the aliases, one mover at a time, and their history.

An alias moves in one step, a promotion takes two. The order is such that ``champion`` always points to
a version that was meant to serve, also if the mover dies in between; the event that it wrote before
lets the next mover finish or undo the rest. Events are tags of the registered model, numbered by turn.

A turn is an experiment of the registry with a number in its name, because creating one is the only
thing that MLflow does for just one of two callers, on any server. Ending a turn deletes it; the name
stays taken, so the next turn has the next number. A turn whose process is gone is over.
"""

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import psutil
from mlflow import MlflowClient
from mlflow.entities import Experiment, ViewType
from mlflow.exceptions import MlflowException

from fashion_ops.registry.client import CHAMPION, EXPERIMENT, PREVIOUS, is_missing, with_alias

ROLLED_BACK = "rolled_back"  # tag of a version: when and why it was taken out of service
FORGOTTEN = timedelta(hours=6)  # a turn of another host is over by then
_EVENT = "event."


class Busy(RuntimeError):
    """Somebody else is promoting or rolling back; the message says who, since when and what."""


@dataclass(frozen=True)
class Event:
    """One promotion, refusal or rollback. Versions are numbers, None where no alias was or will be.

    ``champion`` and ``previous``: before and after. ``done``: all of it happened.
    """

    number: int
    time: str
    what: str
    version: str
    champion: tuple[str | None, str | None]
    previous: tuple[str | None, str | None]
    why: str
    done: bool = False


@dataclass(frozen=True)
class Turn:
    """The right to move aliases of one model."""

    client: MlflowClient
    name: str
    number: int

    def promote(self, version: str, why: str) -> Event:
        """Make a version champion, and the champion previous."""
        champion, previous = self._alias(CHAMPION), self._alias(PREVIOUS)
        event = self._event("promotion", version, (champion, version), (previous, champion), why)
        self._write(event)
        if champion is not None:
            self._set(PREVIOUS, champion)
        self._set(CHAMPION, version)
        return self._finish(event)

    def refuse(self, version: str, why: str) -> Event:
        """Note that a version may not become champion."""
        champion, previous = self._alias(CHAMPION), self._alias(PREVIOUS)
        event = self._event("refusal", version, (champion,) * 2, (previous,) * 2, why)
        return self._finish(event)

    def roll_back(self, why: str) -> Event:
        """Make the previous version champion again; previous is then the champion before that one.

        Raises:
            ValueError: there is nothing to go back to.
        """
        champion, previous = self._alias(CHAMPION), self._alias(PREVIOUS)
        if champion is None or previous is None:
            raise ValueError(f"{self.name}: champion {champion}, no previous version to go back to")
        line = line_of_champions(history(self.client, self.name))
        before = line[-3] if len(line) > 2 and line[-2:] == [previous, champion] else None
        event = self._event("rollback", champion, (champion, previous), (previous, before), why)
        self._write(event)
        self._set(CHAMPION, previous)
        return self._finish(event)

    def repair(self) -> Event | None:
        """Finish or undo what the last mover left half done."""
        events = history(self.client, self.name)
        if not events or events[-1].done:
            return None
        event = events[-1]
        if self._alias(CHAMPION) == event.champion[1]:
            return self._finish(event)
        self._set(PREVIOUS, event.previous[0])
        undone = replace(event, what=f"{event.what}, stopped half-way and undone", done=True)
        self._write(undone)
        return undone

    def _finish(self, event: Event) -> Event:
        """What comes after the champion has moved; may be done twice."""
        self._set(PREVIOUS, event.previous[1])
        if event.what == "rollback":
            text = f"{event.time}: {event.why}"
            self.client.set_model_version_tag(self.name, event.version, ROLLED_BACK, text)
        elif event.what == "promotion":
            self.client.delete_model_version_tag(self.name, event.version, ROLLED_BACK)
        done = replace(event, done=True)
        self._write(done)
        return done

    def _event(self, what: str, version: str, champion: Any, previous: Any, why: str) -> Event:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return Event(self.number, now, what, version, champion, previous, why[:1500])

    def _write(self, event: Event) -> None:
        key = f"{_EVENT}{event.number:06d}"
        self.client.set_registered_model_tag(self.name, key, json.dumps(asdict(event)))

    def _alias(self, alias: str) -> str | None:
        version = with_alias(self.client, self.name, alias)
        return None if version is None else str(version.version)

    def _set(self, alias: str, version: str | None) -> None:
        """Move an alias, unless the turn has passed to another; None takes it away."""
        newest = _newest_turn(self.client, self.name)
        if newest is None or _number(newest) != self.number:
            raise Busy(f"{self.name}: turn {self.number} was taken for dead, another one moves aliases")
        if version is not None:
            self.client.set_registered_model_alias(self.name, alias, version)
        elif self._alias(alias) is not None:
            self.client.delete_registered_model_alias(self.name, alias)


def history(client: MlflowClient, name: str) -> list[Event]:
    """All events of a model, oldest first."""
    try:
        tags = client.get_registered_model(name).tags
    except MlflowException as error:
        if not is_missing(error):
            raise
        return []
    found = [Event(**json.loads(v)) for k, v in tags.items() if k.startswith(_EVENT)]
    pairs = ("champion", "previous")
    found = [replace(e, **{p: tuple(getattr(e, p)) for p in pairs}) for e in found]
    return sorted(found, key=lambda e: e.number)


def line_of_champions(events: list[Event]) -> list[str]:
    """The champions one would roll back through, the present one last."""
    line: list[str] = []
    for event in events:
        old, new = event.champion
        if event.what == "promotion" and event.done and new is not None:
            line += [v for v in (old, new) if v is not None and v not in line[-1:]]
        elif event.what == "rollback" and event.done and line and line[-1] == old:
            line.pop()
    return line


@contextmanager
def turn(client: MlflowClient, name: str, what: str) -> Iterator[Turn]:
    """Take the turn to move aliases of a model; what a dead mover left is repaired first.

    Raises:
        Busy: somebody else has it.
    """
    last = _newest_turn(client, name)
    if last is not None and last.lifecycle_stage == "active" and _alive(last):
        raise Busy(_describe(last))
    number = 1 if last is None else _number(last) + 1
    main = client.get_experiment_by_name(EXPERIMENT)
    assert main is not None  # ``connect`` makes it
    try:
        own = client.create_experiment(
            f"{_prefix(name)}{number:06d}", artifact_location=main.artifact_location, tags=_tags(what)
        )
    except MlflowException as error:
        winner = client.get_experiment_by_name(f"{_prefix(name)}{number:06d}")
        if winner is None:
            raise
        raise Busy(_describe(winner)) from error
    try:
        if last is not None and last.lifecycle_stage == "active":
            _end(client, last.experiment_id)
        mine = Turn(client, name, number)
        mine.repair()
        yield mine
    finally:
        _end(client, own)


def _end(client: MlflowClient, turn_id: str) -> None:
    """End a turn, which somebody may have done already."""
    try:
        client.delete_experiment(turn_id)
    except MlflowException as error:
        if not is_missing(error):
            raise


def _prefix(name: str) -> str:
    return f"{name}, turn "


def _newest_turn(client: MlflowClient, name: str) -> Experiment | None:
    found = client.search_experiments(
        view_type=ViewType.ALL,
        filter_string=f"name LIKE '{_prefix(name)}%'",
        order_by=["name DESC"],
        max_results=100,
    )
    return next((e for e in found if e.name.startswith(_prefix(name))), None)  # "_" is a wildcard too


def _number(experiment: Experiment) -> int:
    return int(experiment.name.rpartition(" ")[2])


def _tags(what: str) -> dict[str, str]:
    now = datetime.now(UTC).isoformat(timespec="seconds")
    process = psutil.Process()
    return {
        "what": what,
        "since": now,
        "host": socket.gethostname(),
        "pid": str(os.getpid()),
        "started": f"{process.create_time():.2f}",
    }


def _alive(experiment: Experiment) -> bool:
    """Whether the process that has this turn is still there; of another host nobody can know."""
    tags = experiment.tags
    if tags["host"] != socket.gethostname():
        return datetime.now(UTC) - datetime.fromisoformat(tags["since"]) < FORGOTTEN
    try:
        return abs(psutil.Process(int(tags["pid"])).create_time() - float(tags["started"])) < 1
    except psutil.NoSuchProcess:
        return False


def _describe(experiment: Experiment) -> str:
    tags = experiment.tags
    over = " and has just ended" if experiment.lifecycle_stage == "deleted" else ""
    return (
        f"{experiment.name}: {tags['what']} by process {tags['pid']} on {tags['host']} since "
        f"{tags['since']} came first{over}; try again when it is done"
    )
