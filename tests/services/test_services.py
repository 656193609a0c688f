"""The real services as plain processes: they come up, answer, keep to loopback, and tell no secret.

PostgreSQL, S3, MLflow, Ray's head and worker, Dagster's code server, daemon and webserver.
"""

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from clone import clone_into
from stack import Stack, postgres_binaries, wait_for

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(postgres_binaries() is None, reason="PostgreSQL is not installed"),
]
DAGSTER = ("dagster-code", "dagster-webserver", "dagster-daemon")
SCHEDULES = """{ repositoriesOrError { ... on RepositoryConnection { nodes {
  location { name } schedules { name } } } } }"""


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    clone = clone_into(tmp_path_factory.mktemp("services") / "fashion-ops")
    with Stack(clone.root) as started:
        for name in DAGSTER:
            started.start(name)
        started.ready("dagster-code", "dagster-webserver")
        wait_for("the webserver's look at the code", lambda: bool(repositories(started)))
        yield started


def repositories(stack: Stack) -> list[dict[str, Any]]:
    """What the webserver has from the code server."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{stack.ports['webserver']}/graphql",
        json.dumps({"query": SCHEDULES}).encode(),
        {"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.loads(answer.read())["data"]["repositoriesOrError"].get("nodes", [])


def processes(stack: Stack) -> dict[str, list[psutil.Process]]:
    """Each service's process and all that it started."""
    first = {name: psutil.Process(process.pid) for name, process in stack.processes.items()}
    return {name: [process, *process.children(recursive=True)] for name, process in first.items()}


def test_the_webserver_knows_the_schedules_through_the_code_server(stack: Stack) -> None:
    [node] = repositories(stack)
    assert node["location"]["name"] == "fashion-ops"
    assert "retrain" in {schedule["name"] for schedule in node["schedules"]}


def test_services_listen_on_loopback_only(stack: Stack) -> None:
    for name, family in processes(stack).items():
        heard = {c.laddr.ip for p in family for c in p.net_connections() if c.status == "LISTEN"}
        if not name.startswith("ray"):  # it asks for a token; see docs/operations.md
            assert heard <= {"127.0.0.1", "::ffff:127.0.0.1", "::1"}, (name, heard)


def test_no_secret_is_in_files_logs_or_command_lines(stack: Stack) -> None:
    told = {
        f"command lines of {name}": repr([process.cmdline() for process in family]).encode()
        for name, family in processes(stack).items()
    }
    for where in (stack.root, stack.folder):
        for path in where.rglob("*"):
            if path.is_file() and not path.is_symlink():
                told[str(Path(path))] = path.read_bytes()
    secrets = [value.encode() for value in stack.secrets.values()]
    assert any(name.endswith("mlflow.log") for name in told)
    assert [name for name, data in told.items() if any(s in data for s in secrets)] == []
