"""Dagster's and MLflow's pages with the history of all runs: ``make ui``, ``python -m pipelines.ui``.

Starts ``dagster dev`` and ``mlflow server`` on this host, each with all that it starts as one session
of processes. When one ends, or on Ctrl-C, SIGTERM or a closed terminal, both sessions end and nothing
stays behind. The exit status is that of the server that ended first, 2 if a port is taken, or 128 and
the signal's number.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from fashion_ops.services import ServiceError
from fashion_ops.workspace import find_root
from pipelines.home import await_history, prepare_home

HOST = "127.0.0.1"
GRACE = 20.0  # seconds that a server has to stop by itself
POLL = 0.2  # seconds
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def taken_ports(ports: Mapping[str, int]) -> list[str]:
    """One line for each port that can't be had, with how to choose another.

    Args:
        ports: option of ``python -m pipelines.ui`` -> port.
    """
    lines = []
    if len({*ports.values()}) < len(ports):
        lines.append(f"{' and '.join(ports)} are the same port: each server needs its own")
    for option, port in ports.items():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do
            try:
                probe.bind((HOST, port))
            except OSError as error:
                variable = option.removeprefix("--").replace("-", "_").upper()
                lines.append(
                    f"port {port} of {HOST}: {error.strerror}. Stop what uses it, or choose another by "
                    f"`make ui {variable}=...` (`python -m pipelines.ui {option} ...`)"
                )
    return lines


def supervise(commands: Mapping[str, Sequence[str]]) -> int:
    """Run servers until one ends or a signal comes, then end all of them.

    Args:
        commands: name of a server -> its command line.

    Returns:
        The exit status: of the server that ended first, or 128 and the number of the signal.
    """
    received: list[int] = []  # a handler that raises could lose a process that has just been started
    before = {n: signal.signal(n, lambda number, _: received.append(number)) for n in STOP_SIGNALS}
    running: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for name, command in commands.items():
            running[name] = subprocess.Popen(command, start_new_session=True)
        while not received:
            for name, process in running.items():
                if (status := process.poll()) is not None:
                    print(f"{name} ended with status {status}", file=sys.stderr, flush=True)
                    return 128 - status if status < 0 else status
            time.sleep(POLL)
        return 128 + received[0]
    except OSError as error:
        print(f"can't start: {error}", file=sys.stderr)
        return 127
    finally:
        _end([process.pid for process in running.values()])
        for process in running.values():
            process.wait()
        for number, handler in before.items():
            signal.signal(number, handler)


def _end(leaders: Sequence[int]) -> None:
    """End sessions of processes: by SIGINT, then SIGTERM, and what is left after ``GRACE`` by SIGKILL.

    Args:
        leaders: pids of the processes that started each of them, which may have ended.
    """
    steps = ((signal.SIGINT, GRACE / 2), (signal.SIGTERM, GRACE / 2), (signal.SIGKILL, 5.0))
    known = _alive(leaders)  # a process that leaves its session on the way out is still known
    for number, seconds in steps:
        for process in {*known, *_alive(leaders)}:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(number)
        if _holds_within(lambda: not _alive(leaders) and not any(map(_runs, known)), seconds):
            return


def _alive(leaders: Sequence[int]) -> list[psutil.Process]:
    """The processes that run in the sessions of these leaders, and all that descend from them."""
    found = []
    for process in psutil.process_iter():
        with suppress(OSError, psutil.NoSuchProcess):
            if os.getsid(process.pid) in leaders and _runs(process):
                found.append(process)
                found += [child for child in process.children(recursive=True) if _runs(child)]
    return found


def _runs(process: psutil.Process) -> bool:
    """Whether a process runs; one that has ended and waits to be reaped does not."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _holds_within(condition: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(POLL / 4)
    return True


def server_commands(root: Path, dagster_port: int, mlflow_port: int) -> dict[str, list[str]]:
    """The command lines of both servers for the repository at ``root``."""
    store = f"sqlite:///{root}/.mlflow/mlflow.db"
    tools = Path(sys.executable).parent
    return {
        "MLflow": [
            *(str(tools / "mlflow"), "server", "--host", HOST, "--port", str(mlflow_port)),
            *("--backend-store-uri", store),
        ],
        "Dagster": [str(tools / "dagster"), "dev", "--host", HOST, "--port", str(dagster_port)],
    }


def _port(text: str) -> int:
    if not (text.isdecimal() and 0 < int(text) < 65536):
        raise argparse.ArgumentTypeError(f"{text!r}: must be a number from 1 to 65535")
    return int(text)


def main(arguments: list[str] | None = None) -> int:
    """Start both servers and wait; returns the exit status."""
    parser = argparse.ArgumentParser("python -m pipelines.ui", description=__doc__)
    parser.add_argument("--dagster-port", type=_port, default=3000, metavar="PORT")
    parser.add_argument("--mlflow-port", type=_port, default=5000, metavar="PORT")
    options = parser.parse_args(arguments)
    ports = {"--dagster-port": options.dagster_port, "--mlflow-port": options.mlflow_port}
    if lines := taken_ports(ports):
        print("\n".join(lines), file=sys.stderr)
        return 2
    root = find_root()
    prepare_home(root)
    try:
        await_history()
    except (ServiceError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    (root / ".mlflow").mkdir(exist_ok=True)
    os.environ["FASHION_OPS_MLFLOW_PAGES"] = f"http://{HOST}:{options.mlflow_port}"
    os.chdir(root)
    return supervise(server_commands(root, options.dagster_port, options.mlflow_port))


if __name__ == "__main__":
    sys.exit(main())
