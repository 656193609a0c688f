"""Promotion, refusal and rollback of versions, and their history.

MLflow moves one alias at a time and a promotion moves two. They move in such an order that
``champion`` always points to a version that was meant to serve, even if the process dies in between.
The event is written before the aliases move, so that the next process can finish or undo what is left.
Events are tags of the registered model, which ``mlflow gc`` leaves alone; each has the number of the
lock under which it happened.

Somebody may have deleted versions or aliases, or edited a tag, in MLflow's pages. A missing alias is
put back from the history, a version that is gone is skipped, and an event that can't be read is shown
as such.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from fashion_ops.registry.client import CHAMPION, PREVIOUS, is_missing, with_alias
from fashion_ops.registry.lock import EVENT_TAG, LAST_EVENT_TAG, PromotionLock, promotion_lock

ROLLED_BACK = "rolled_back"  # tag of a version: when and why it was taken out of service
UNREADABLE = "unreadable event"  # what an event is whose tag somebody edited
Change = tuple[str | None, str | None]  # version of an alias before and after


@dataclass(frozen=True)
class Event:
    """One promotion, refusal or rollback; a tag of the registered model keeps it as JSON."""

    number: int  # of the lock under which it happened
    time: str  # ISO 8601, UTC
    what: str  # promotion | refusal | rollback
    version: str  # that was promoted, refused or rolled back
    champion: Change  # of the alias ``champion``
    previous: Change  # of the alias ``previous``
    why: str  # the reason in words
    done: bool = False  # False until all aliases have moved


@dataclass(frozen=True)
class Transition:
    """Moves the aliases of one model while it holds the lock."""

    lock: PromotionLock

    def promote(self, version: str, why: str) -> Event:
        """Make a version champion, and the present champion previous; returns the recorded event.

        Raises:
            LockHeld: another process has taken the lock over.
        """
        champion, previous = self._version(CHAMPION), self._version(PREVIOUS)
        event = self._event("promotion", version, (champion, version), (previous, champion), why)
        self._write(event)
        if champion is not None:
            self._move(PREVIOUS, champion)
        self._move(CHAMPION, version)
        return self._finish(event)

    def refuse(self, version: str, why: str) -> Event:
        """Record that a version may not become champion; no alias moves."""
        champion, previous = self._version(CHAMPION), self._version(PREVIOUS)
        return self._finish(
            self._event("refusal", version, (champion, champion), (previous, previous), why)
        )

    def roll_back(self, why: str) -> Event:
        """Make the previous version champion again; returns the recorded event.

        The champion before that one becomes previous, so that a second rollback goes one further back.

        Raises:
            ValueError: there is no previous version.
            LockHeld: another process has taken the lock over.
        """
        champion, previous = self._version(CHAMPION), self._version(PREVIOUS)
        if champion is None or previous is None:
            raise ValueError(
                f"{self.lock.name}: champion {champion}, no previous version to go back to"
            )
        line = self._line()
        before = line[-3] if len(line) > 2 and line[-2:] == [previous, champion] else None
        event = self._event("rollback", champion, (champion, previous), (previous, before), why)
        self._write(event)
        self._move(CHAMPION, previous)
        return self._finish(event)

    def repair(self) -> Event | None:
        """Finish or undo the last event if a process left it incomplete; put missing aliases back.

        The event is finished if the champion has moved already, otherwise undone. The aliases
        ``champion`` and ``previous`` can only be missing if somebody deleted them, or the version that
        they pointed to; they then point to the last such versions of the history that still exist.

        Returns:
            The repaired event; None if the last event was complete.
        """
        events = history(self.lock.client, self.lock.name)
        repaired = None
        if events and not events[-1].done:
            event = events[-1]
            if self._version(CHAMPION) == event.champion[1]:
                repaired = self._finish(event)
            else:
                self._move(PREVIOUS, event.previous[0])
                repaired = replace(event, what=f"{event.what}, stopped half-way and undone", done=True)
                self._write(repaired)
        self._put_aliases_back()
        return repaired

    def _put_aliases_back(self) -> None:
        """Point the aliases that are missing to the versions that the history names."""
        line, champion = self._line(), self._version(CHAMPION)
        if champion is None and line:
            champion = line[-1]
            self._move(CHAMPION, champion)
        before = line[-2] if len(line) > 1 and line[-1] == champion else None
        if self._version(PREVIOUS) in (None, champion):
            self._move(PREVIOUS, before)

    def _line(self) -> list[str]:
        """``line_of_champions`` of the versions that exist."""
        client, name = self.lock.client, self.lock.name
        line = line_of_champions(history(client, name))
        existing = {str(v.version) for v in client.search_model_versions(f"name='{name}'")}
        kept = [version for version in line if version in existing]
        return [v for i, v in enumerate(kept) if i == 0 or v != kept[i - 1]]

    def _finish(self, event: Event) -> Event:
        """Do what follows once the champion has moved, and record that the event is done.

        It may be called again for the same event.
        """
        client, name = self.lock.client, self.lock.name
        self._move(PREVIOUS, event.previous[1])
        if self._exists(event.version):
            if event.what == "rollback":
                text = f"{event.time}: {event.why}"
                client.set_model_version_tag(name, event.version, ROLLED_BACK, text)
            elif event.what == "promotion":
                client.delete_model_version_tag(name, event.version, ROLLED_BACK)
        done = replace(event, done=True)
        self._write(done)
        return done

    def _event(self, what: str, version: str, champion: Change, previous: Change, why: str) -> Event:
        """An event of now, under the number of the lock; a long reason is cut off."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        return Event(self.lock.number, now, what, version, champion, previous, why[:1500])

    def _write(self, event: Event) -> None:
        """Keep an event as a tag of the model; it replaces the one with the same number."""
        client, name, number = self.lock.client, self.lock.name, f"{event.number:06d}"
        client.set_registered_model_tag(name, LAST_EVENT_TAG, number)
        client.set_registered_model_tag(name, f"{EVENT_TAG}{number}", json.dumps(asdict(event)))

    def _version(self, alias: str) -> str | None:
        """Number of the version that an alias points to; None if there is no such alias."""
        version = with_alias(self.lock.client, self.lock.name, alias)
        return None if version is None else str(version.version)

    def _exists(self, version: str) -> bool:
        """Whether the model still has this version."""
        try:
            self.lock.client.get_model_version(self.lock.name, version)
        except MlflowException as error:
            if not is_missing(error):
                raise
            return False
        return True

    def _move(self, alias: str, version: str | None) -> None:
        """Point an alias to a version; None, or a version that was deleted, deletes the alias.

        Raises:
            LockHeld: another process has taken the lock over.
        """
        self.lock.check()
        if version is not None and self._exists(version):
            self.lock.client.set_registered_model_alias(self.lock.name, alias, version)
        elif self._version(alias) is not None:
            self.lock.client.delete_registered_model_alias(self.lock.name, alias)


@contextmanager
def begin_transition(client: MlflowClient, name: str, purpose: str) -> Iterator[Transition]:
    """Hold the lock of a model while its aliases move; first repairs an event that is incomplete.

    Args:
        client: from ``client.connect``.
        name: name of the registered model.
        purpose: what the lock is for, shown to other processes.

    Raises:
        LockHeld: another process moves the aliases.
    """
    with promotion_lock(client, name, purpose) as lock:
        transition = Transition(lock)
        transition.repair()
        yield transition


def _read_event(number: int, text: str) -> Event:
    """The event that a tag holds as JSON; one that is ``UNREADABLE`` if somebody edited the tag.

    Args:
        number: of the event, from the name of the tag.
        text: the content of the tag.
    """
    try:
        fields = json.loads(text)
        changes = {key: _read_change(fields[key]) for key in ("champion", "previous")}
        event = Event(**fields | changes | {"number": number})
        texts = (event.time, event.what, event.version, event.why)
        if not all(isinstance(value, str) for value in texts) or not isinstance(event.done, bool):
            raise TypeError("a field has another type")
        return event
    except (ValueError, TypeError, KeyError, AttributeError):
        nothing: Change = (None, None)
        why = f"tag {EVENT_TAG}{number:06d} was edited: {text[:100]}"
        return Event(number, "", UNREADABLE, "?", nothing, nothing, why, done=True)


def _read_change(pair: object) -> Change:
    """Two version numbers, or None in place of one.

    Raises:
        TypeError: it is something else.
    """
    if not isinstance(pair, list) or len(pair) != 2 or not all(isinstance(v, str | None) for v in pair):
        raise TypeError(f"{pair!r}: not two version numbers")
    return pair[0], pair[1]


def history(client: MlflowClient, name: str) -> list[Event]:
    """All events of the model ``name``, oldest first; empty if it is not registered.

    They are kept with the model, so a deleted run or version, or ``mlflow gc``, takes none of them.
    """
    try:
        tags = client.get_registered_model(name).tags
    except MlflowException as error:
        if not is_missing(error):
            raise
        return []
    numbers = {key: key.removeprefix(EVENT_TAG) for key in tags if key.startswith(EVENT_TAG)}
    events = [_read_event(int(n), str(tags[key])) for key, n in numbers.items() if n.isdecimal()]
    return sorted(events, key=lambda event: event.number)


def line_of_champions(events: list[Event]) -> list[str]:
    """Version numbers of the champions that rollbacks would go back through, the present one last.

    Args:
        events: all events, oldest first.
    """
    line: list[str] = []
    for event in events:
        old, new = event.champion
        if event.what == "promotion" and event.done and new is not None:
            line += [v for v in (old, new) if v is not None and v not in line[-1:]]
        elif event.what == "rollback" and event.done and line and line[-1] == old:
            line.pop()
    return line
