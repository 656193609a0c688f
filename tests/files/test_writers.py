"""One writer at a time in a workspace: other processes, children, `dvc repro`, other hosts, deaths."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from fashion_ops.files.writers import FOLDER, other_writer
from fashion_ops.workspace import Workspace, WorkspaceBusy

ROOT = Path(__file__).parents[2]
ENV = {**os.environ, "PYTHONPATH": str(ROOT)}
# Writes stages (none for any), says so, and waits for a line.
WRITER = """
import sys
from pathlib import Path
from fashion_ops.workspace import Workspace, WorkspaceBusy
try:
    with Workspace(Path(sys.argv[1])).writing("fashion-ops ingest", *sys.argv[2:]):
        print("in", flush=True)
        sys.stdin.readline()
except WorkspaceBusy as error:
    print(error, flush=True)
    sys.exit(2)
"""
# `dvc repro`: two steps, one after the other.
DVC = f"""
import os, subprocess, sys
for stage in ("ingest", "aggregate"):
    env = os.environ | {{"DVC_STAGE": stage}}
    subprocess.run([sys.executable, "-c", {WRITER!r}, os.getcwd()], input="", text=True, env=env)
    print("between", flush=True)
    sys.stdin.readline()
"""


def start(*command: object) -> subprocess.Popen[str]:
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    return subprocess.Popen([sys.executable, *map(str, command)], env=ENV, text=True, **pipes)


@contextmanager
def writer(root: Path, *stages: str) -> Iterator[subprocess.Popen[str]]:
    """Another process that is a writer within the block."""
    process = start("-c", WRITER, root, *stages)
    try:
        assert process.stdout is not None and process.stdout.readline() == "in\n"
        yield process
    finally:
        process.kill()
        process.communicate(timeout=60)


def test_of_three_writers_at_once_one_writes_and_two_name_it(tmp_path: Path) -> None:
    processes = [start("-c", WRITER, tmp_path) for _ in range(3)]
    said = {p.pid: p.stdout.readline() for p in processes if p.stdout}
    [first] = [pid for pid, line in said.items() if line == "in\n"]
    for process in processes:
        process.communicate("\n", timeout=60)
    assert sorted(p.returncode for p in processes) == [0, 2, 2]
    for pid, line in said.items():
        assert pid == first or (f"process {first} on" in line and "`fashion-ops ingest`" in line)
    with Workspace(tmp_path).writing("test"):
        assert len(list((tmp_path / FOLDER).glob("*.json"))) == 1


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_a_writer_that_dies_holds_nobody_up(tmp_path: Path, end: signal.Signals) -> None:
    with writer(tmp_path) as other:
        with pytest.raises(WorkspaceBusy) as caught, Workspace(tmp_path).writing("test"):
            raise AssertionError("it began")
        assert f"process {other.pid} on" in str(caught.value) and "\n" not in str(caught.value)
        assert other_writer(tmp_path) == str(caught.value)
        other.send_signal(end)
        other.wait(60)
        assert other_writer(tmp_path) is None
        with Workspace(tmp_path).writing("test"):
            pass
    assert [p.name for p in (tmp_path / FOLDER).iterdir()] == ["gate"]


def test_a_writer_may_write_again_and_start_others(tmp_path: Path) -> None:
    ws = Workspace(tmp_path)
    with ws.writing("one"), ws.writing("two"):
        child = start("-c", WRITER, tmp_path)
        assert child.communicate("\n", timeout=60)[0] == "in\n"
        assert other_writer(tmp_path) is None
    assert [p.name for p in (tmp_path / FOLDER).iterdir()] == ["gate"]


def test_a_failed_block_lets_the_next_one_in(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), Workspace(tmp_path).writing("test"):
        raise KeyboardInterrupt
    with writer(tmp_path):
        pass


def test_single_categories_go_side_by_side(tmp_path: Path) -> None:
    ws = Workspace(tmp_path)
    with writer(tmp_path, "finetune@skirt") as other:
        with ws.writing("test", "finetune@vest"):
            pass
        for stages in ((), ("finetune@vest", "finetune@skirt")):
            with pytest.raises(WorkspaceBusy, match=f"finetune@skirt.*{other.pid}"):
                ws.writing("test", *stages).__enter__()
    with writer(tmp_path), pytest.raises(WorkspaceBusy):
        ws.writing("test", "finetune@vest").__enter__()


def test_dvc_repro_keeps_others_out_between_its_steps(tmp_path: Path) -> None:
    (tmp_path / "dvc").write_text(DVC)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    command = [sys.executable, "dvc", "repro", "aggregate"]
    dvc = subprocess.Popen(command, cwd=tmp_path, env=ENV, text=True, **pipes)
    assert dvc.stdout is not None and dvc.stdin is not None
    for _ in range(2):
        assert [dvc.stdout.readline(), dvc.stdout.readline()] == ["in\n", "between\n"]
        with pytest.raises(WorkspaceBusy, match=f"`dvc repro aggregate`.*process {dvc.pid} on"):
            Workspace(tmp_path).writing("test").__enter__()
        dvc.stdin.write("\n")
        dvc.stdin.flush()
    assert dvc.wait(60) == 0
    with Workspace(tmp_path).writing("test"):
        pass
    assert [p.name for p in (tmp_path / FOLDER).iterdir()] == ["gate"]


def test_a_writer_on_another_host_counts_while_its_lock_is_held(tmp_path: Path) -> None:
    """The record of a living process, changed as if another machine had made it."""
    with writer(tmp_path) as other:
        [record] = (tmp_path / FOLDER).glob("*.json")
        fields = json.loads(record.read_text()) | {"machine": "00000000", "host": "far"}
        record.write_text(json.dumps(fields | {"pid": 4_000_000}))
        with pytest.raises(WorkspaceBusy, match="process 4000000 on far"):
            Workspace(tmp_path).writing("test").__enter__()
        other.kill()
        other.wait(60)
        with Workspace(tmp_path).writing("test"):
            pass


def test_a_record_that_nobody_can_read_is_nobodys(tmp_path: Path) -> None:
    (tmp_path / FOLDER).mkdir(parents=True)
    for name, text in (("a", ""), ("b", "[]"), ("c", '{"pid": 1}'), ("d", "{")):
        (tmp_path / FOLDER / f"{name}.json").write_text(text)
    with Workspace(tmp_path).writing("test"):
        pass


def test_a_workspace_that_cannot_be_written_to_says_so(tmp_path: Path) -> None:
    (tmp_path / ".checkpoints").write_text("a file")
    with pytest.raises(OSError, match=r"\.checkpoints"):
        Workspace(tmp_path).writing("test").__enter__()
