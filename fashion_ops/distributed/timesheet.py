"""The timesheet of a fan-out: which worker had which job from when to when, kept as JSON.

Written anew each time that a job ends, so a driver that is killed leaves one too. It is a record of
what happened and no output of a step. ``schedule`` turns it into bars.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from fashion_ops.distributed.job_store import Event
from fashion_ops.distributed.schedule import Bar, Schedule

LANDED, FAILED = "landed", "failed"


@dataclass(frozen=True)
class Attempt:
    """One worker's stretch of a job; seconds from the start of the fan-out."""

    node: str
    start: float
    end: float  # of a worker that was lost: when it was last heard of
    resumed: bool  # from a resume point


@dataclass(frozen=True)
class Ran:
    """What became of one job; ``outcome`` is landed or failed, ``width`` how many slots it took."""

    name: str
    cost: float
    width: int
    outcome: str
    attempts: tuple[Attempt, ...]


@dataclass(frozen=True)
class Timesheet:
    """A fan-out as it went. ``slots``: the most tasks that could run at once; ``end``: in seconds."""

    what: str
    slots: int
    end: float
    jobs: tuple[Ran, ...]

    def write(self, path: Path) -> None:
        """As JSON, whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".partial")
        try:
            fresh.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")
            fresh.replace(path)
        finally:
            fresh.unlink(missing_ok=True)

    @classmethod
    def read(cls, path: Path) -> "Timesheet":
        """What ``write`` wrote.

        Raises:
            ValueError: the file is something else.
        """
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
            jobs = tuple(_ran(job) for job in data["jobs"])
            return cls(data["what"], data["slots"], data["end"], jobs)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(f"{path}: no timesheet of a fan-out ({error!r}); delete it") from error

    def schedule(self) -> Schedule:
        """The bars, several of a wide job; a slot is a lane of a node, and its lanes stand together."""
        rows = sorted(
            (attempt.node, attempt.start, attempt.end, job.name, attempt is not job.attempts[-1])
            for job in self.jobs
            for attempt in job.attempts
            for _ in range(job.width)
        )
        bars: list[Bar] = []
        lanes: list[tuple[str, float]] = []  # node, and until when it is taken
        for node, start, end, name, lost in rows:
            free = [i for i, (at, until) in enumerate(lanes) if at == node and until <= start]
            lane = free[0] if free else len(lanes)
            lanes[lane : lane + 1] = [(node, end)]
            bars.append(Bar(name, lane, start, end, lost))
        wide = {job.name: job.width for job in self.jobs if job.width > 1}
        return Schedule(self.slots, tuple(bars), self.end, wide)

    def measured(self) -> list[tuple[float, float]]:
        """Cost on each slot, and seconds, of each job that ran through undisturbed from its start."""
        return [
            (job.cost / job.width, job.attempts[0].end - job.attempts[0].start)
            for job in self.jobs
            if job.outcome == LANDED and len(job.attempts) == 1 and not job.attempts[0].resumed
        ]


def _ran(job: dict[str, Any]) -> Ran:
    attempts = tuple(Attempt(**attempt) for attempt in job["attempts"])
    return Ran(job["name"], job["cost"], job["width"], job["outcome"], attempts)


class Clerk:
    """Keeps the timesheet while a fan-out runs. ``start``: its ``time.monotonic``."""

    def __init__(self, what: str, start: float) -> None:
        self._what, self._start, self._slots = what, start, 1
        self._attempts: dict[str, list[Attempt]] = {}
        self._ran: list[Ran] = []

    def hear(self, events: Iterable[Event]) -> None:
        """Note what workers told."""
        for event in events:
            now = event.time - self._start
            attempts = self._attempts.setdefault(event.name, [])
            if event.kind == "begun":
                attempts.append(Attempt(event.node, now, now, event.resumed))
            elif attempts:
                attempts[-1] = replace(attempts[-1], end=now)

    def see_slots(self, slots: int) -> None:
        """So many tasks can run at once now."""
        self._slots = max(self._slots, slots)

    def close(self, name: str, cost: float, width: int, outcome: str) -> None:
        """A job landed or failed."""
        self._ran.append(Ran(name, cost, width, outcome, tuple(self._attempts.pop(name, ()))))

    def timesheet(self, now: float) -> Timesheet:
        """So far."""
        return Timesheet(self._what, self._slots, now - self._start, tuple(self._ran))
