"""``make ui``: a taken port is named, and whatever ends it leaves no process behind."""

import os
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from pipelines import ui

MARK = "FASHION_OPS_UI_TEST"  # environment variable that tells our processes from others
LONG = bool(os.environ.get("FASHION_OPS_LONG"))
SERVER = "sleep 1000 & sleep 1000 & wait"  # with children, as the real ones have
STUBBORN = "trap '' INT TERM; (trap '' INT TERM; while :; do sleep 0.1; done) & wait; wait"
ELSEWHERE = "setsid sleep 1000 & sleep 1000"  # a child in a session of its own


def marked(value: str) -> list[psutil.Process]:
    """The running processes that were started with this mark, without this one."""
    found = []
    for process in psutil.process_iter(["status"]):
        try:
            ours = process.environ().get(MARK) == value and process.pid != os.getpid()
        except (psutil.Error, OSError):
            continue
        if ours and process.info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found


@pytest.fixture
def mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv(MARK, str(tmp_path))
    monkeypatch.setattr(ui, "GRACE", 0.6)  # what a shell starts by `&` ignores SIGINT
    yield str(tmp_path)
    for process in marked(str(tmp_path)):
        process.kill()


def supervise(*scripts: str) -> int:
    return ui.supervise({f"server {n}": ["sh", "-c", script] for n, script in enumerate(scripts)})


@pytest.mark.parametrize(("script", "status"), [("exit 3", 3), ("exit 0", 0), ("kill -9 $$", 137)])
def test_when_one_server_ends_the_other_ends_too(
    script: str, status: int, mark: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert supervise(SERVER, f"sleep 1000 & sleep 0.3; {script}") == status
    assert marked(mark) == []
    assert "server 1 ended with status" in capsys.readouterr().err


@pytest.mark.parametrize("number", ui.STOP_SIGNALS)
@pytest.mark.parametrize("script", [SERVER, STUBBORN, ELSEWHERE])
def test_a_signal_ends_both_and_leaves_nothing(script: str, number: signal.Signals, mark: str) -> None:
    before = signal.getsignal(number)
    again = (0.5, 0.6)  # who presses Ctrl-C twice must not leave anything behind either
    for delay in again:
        threading.Timer(delay, os.kill, (os.getpid(), number)).start()
    assert supervise(SERVER, script) == 128 + number
    assert marked(mark) == [] and signal.getsignal(number) == before


def test_what_cannot_be_started_ends_what_was_started(
    mark: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ui.supervise({"one": ["sh", "-c", SERVER], "two": ["/nowhere/dagster"]}) == 127
    assert marked(mark) == [] and "/nowhere/dagster" in capsys.readouterr().err


def test_a_taken_port_is_named_before_anything_starts(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ui, "supervise", lambda _: pytest.fail("something was started"))
    with socket.socket() as one, socket.socket() as two:
        for taken in (one, two):
            taken.bind(("127.0.0.1", 0))
            taken.listen()
        ports = [taken.getsockname()[1] for taken in (one, two)]
        assert ui.main(["--dagster-port", str(ports[0]), "--mlflow-port", str(ports[1])]) == 2
        lines = capsys.readouterr().err.splitlines()
    for port, line in zip(ports, lines, strict=True):
        assert line.startswith(f"port {port} of 127.0.0.1: Address already in use")
    assert "make ui DAGSTER_PORT=..." in lines[0] and "--mlflow-port" in lines[1]


@pytest.mark.parametrize(
    ("ports", "why"),
    [
        (["--dagster-port", "4999", "--mlflow-port", "4999"], "are the same port"),
        (["--mlflow-port", "0"], "must be a number from 1 to 65535"),
        (["--dagster-port", "99999"], "must be a number from 1 to 65535"),
    ],
)
def test_ports_that_cannot_be_are_refused(
    ports: list[str],
    why: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(ui, "supervise", lambda _: pytest.fail("something was started"))
    try:
        status = ui.main(ports)
    except SystemExit as ended:  # argparse
        status = ended.code
    assert status == 2 and why in capsys.readouterr().err


def test_the_makefile_passes_its_ports_on() -> None:
    root = Path(__file__).parents[2]
    done = subprocess.run(
        ["make", "--dry-run", "ui", "DAGSTER_PORT=1", "MLFLOW_PORT=2"],
        cwd=root,
        env={name: value for name, value in os.environ.items() if not name.startswith("MAKE")},
        capture_output=True,
        text=True,
    )
    assert "pipelines.ui --dagster-port 1 --mlflow-port 2" in done.stdout


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=5) as answer:
            return answer.status == 200
    except OSError:
        return False


@pytest.mark.skipif(not LONG, reason="starts Dagster and MLflow; FASHION_OPS_LONG=1 runs it")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_real_servers_answer_and_end(number: signal.Signals, mark: str, tmp_path: Path) -> None:
    from clone import clone_into

    clone = clone_into(tmp_path / "fashion-ops")
    ports = {name: free_port() for name in ("--dagster-port", "--mlflow-port")}
    command = [sys.executable, "-m", "pipelines.ui"]
    command += [word for option, port in ports.items() for word in (option, str(port))]
    process = subprocess.Popen(command, cwd=clone.root, env={**clone.env, MARK: mark})
    deadline = time.monotonic() + 300
    while not all(map(answers, ports.values())):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.5)
    process.send_signal(number)
    assert process.wait(60) == 128 + number
    assert marked(mark) == []
