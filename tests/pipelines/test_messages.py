"""A step that fails in Dagster shows one line, the same as on the command line."""

from typing import Any

import pytest

from pipelines.run import failures, run, status_of


@pytest.mark.parametrize(
    ("error", "line", "status"),
    [
        (
            ValueError("data/raw: no labels\n  here; copy them"),
            "data/raw: no labels; here; copy them",
            2,
        ),
        (FileNotFoundError(2, "No such file", "data/catalog/x"), "`fashion-ops ingest` makes it", 2),
        (TypeError("x"), "unexpected TypeError", 1),
    ],
    ids=["own words", "a missing file", "a fault"],
)
def test_the_event_of_a_failed_step_is_one_line(
    repository: Any, stages: Any, error: Exception, line: str, status: int
) -> None:
    stages.failing["synthesize"] = error
    results = run(repository.root, repository.instance, ("synthesize",))
    [event] = [e for result in results for e in result.all_events if e.is_step_failure]
    described = event.step_failure_data.user_failure_data.description
    assert line in described and "\n" not in described
    assert failures(results) == [f"synthesize: {described}"]
    assert status_of(results) == status
    assert type(error).__name__ in str(event.step_failure_data.error)  # Dagster keeps the traceback
