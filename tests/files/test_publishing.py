"""Outputs appear whole, whoever dies or writes at the same time."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fashion_ops.errors.failures import failure_line
from fashion_ops.files.outputs import OutputRefused
from fashion_ops.files.processes import start_of
from fashion_ops.files.publishing import machine, partials, publish, recover, temporary, write_whole
from fashion_ops.workspace import Workspace

ROOT = Path(__file__).parents[2]
# Publishes folders of five equal files, again and again.
RACER = """
import sys
from pathlib import Path
from fashion_ops.files.publishing import publish, write_whole
sys.stdin.read(1)
for turn in range(40):
    with publish(Path(sys.argv[1])) as folder:
        for name in "abcde":
            (folder / name).write_text(sys.argv[2])
    write_whole(Path(sys.argv[1] + ".txt"), sys.argv[2].encode() * 1000)
"""
# Publishes, and is killed before a rename or a deletion.
MORTAL = """
import os, shutil, signal, sys
from pathlib import Path
from fashion_ops.files.publishing import publish
target, moment = Path(sys.argv[1]), sys.argv[2]
rename, count = Path.rename, [0]
def mortal(self, to):
    if str(count[0]) == moment:
        os.kill(os.getpid(), signal.SIGKILL)
    count[0] += 1
    return rename(self, to)
def torn(folder, ignore_errors=False):
    next(Path(folder).iterdir()).unlink()
    os.kill(os.getpid(), signal.SIGKILL)
Path.rename = mortal
if moment == "deletion":
    shutil.rmtree = torn
with publish(target) as folder:
    for name in "abc":
        (folder / name).write_text("new")
    if moment == "writing":
        os.kill(os.getpid(), signal.SIGKILL)
"""


def script(code: str, *arguments: object, **options) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True, **options)


def fill(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True)
    for name in "abc":
        (folder / name).write_text(text)
    return folder


def contents(folder: Path) -> set[str]:
    return {path.read_text() for path in folder.iterdir()}


def test_four_processes_publish_one_folder_and_one_file(tmp_path: Path) -> None:
    target = tmp_path / "out"
    racers = [script(RACER, target, i, stdin=subprocess.PIPE) for i in range(4)]
    for racer in racers:
        racer.communicate("go", timeout=120)
    assert [racer.returncode for racer in racers] == [0] * 4
    assert len(contents(target)) == 1 and len(list(target.iterdir())) == 5
    assert len({*(tmp_path / "out.txt").read_text()}) == 1
    assert sorted(p.name for p in tmp_path.iterdir()) == ["out", "out.txt"]


@pytest.mark.parametrize(
    ("moment", "left"),
    [("writing", {"old"}), ("0", {"old"}), ("1", {"old"}), ("2", {"new"}), ("deletion", {"new"})],
)
@pytest.mark.parametrize("again", ["run", "publish"])
def test_a_killed_process_loses_nothing(
    tmp_path: Path, moment: str, left: set[str], again: str
) -> None:
    """Killed before each rename; what was whole last is in its place when the next run begins."""
    target = fill(tmp_path / "models" / "detector", "old")
    assert script(MORTAL, target, moment).wait(60) == -signal.SIGKILL
    if again == "run":
        with Workspace(tmp_path).writing("test"):
            assert contents(target) == left and len(list(target.iterdir())) == 3
    else:
        with pytest.raises(RuntimeError), publish(target):
            raise RuntimeError("fails")  # the old one returns to its place all the same
        assert contents(target) == left and len(list(target.iterdir())) == 3
    assert [p.name for p in target.parent.iterdir()] == ["detector"]


def test_half_of_a_deleted_version_never_returns(tmp_path: Path) -> None:
    """As when `dvc repro` deletes an output whose last replacement was killed while it tidied up."""
    target = fill(tmp_path / "models" / "detector", "old")
    script(MORTAL, target, "deletion").wait(60)
    for path in (*target.iterdir(), target):
        path.unlink() if path.is_file() else path.rmdir()
    recover(target)
    assert not any(target.parent.iterdir())


def test_only_what_dead_processes_left_is_deleted(tmp_path: Path) -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    mine = temporary(tmp_path / "x")
    names = {
        "of a dead process": f".x.{machine()}-{dead.pid}-1-0a1b2c3d.partial",
        "of a pid that is another's now": f".x.{machine()}-{os.getpid()}-1-0a1b2c3d.partial",
        "of this process": mine.name,
        "of another machine": f".x.00000000-{dead.pid}-1-0a1b2c3d.partial",
        "of another output": f".y.{machine()}-{dead.pid}-1-0a1b2c3d.old",
        "of an editor": ".x.partial",
        "of a user": f".x.{machine()}.old",
    }
    for name in names.values():
        (tmp_path / name).mkdir()
    recover(tmp_path / "x")
    kept = {what for what, name in names.items() if (tmp_path / name).exists()}
    assert kept == {*names} - {"of a dead process", "of a pid that is another's now"}
    recover(tmp_path / "x", everyone=True)  # the only writer's right
    assert kept - {what for what, name in names.items() if (tmp_path / name).exists()} == {
        "of another machine"
    }
    assert partials(tmp_path / "x") == [mine]


def test_a_killed_write_is_tidied_up_and_the_old_file_stays(tmp_path: Path) -> None:
    target = tmp_path / "dvc.lock"
    target.write_text("old")
    code = (
        "import os, signal, sys\nfrom pathlib import Path\nfrom fashion_ops.files.publishing import *\n"
        "Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)\n"
        "write_whole(Path(sys.argv[1]), b'new')"
    )
    assert script(code, target).wait(60) == -signal.SIGKILL
    assert target.read_text() == "old" and len(list(tmp_path.iterdir())) == 2
    write_whole(target, b"newer")
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("dvc.lock", "newer")]


def test_a_name_as_long_as_the_disk_allows(tmp_path: Path) -> None:
    target = tmp_path / ("n" * 255)
    write_whole(target, b"1")
    with publish(tmp_path / ("f" * 255)) as folder:
        (folder / "x").touch()
    assert len(list(tmp_path.iterdir())) == 2
    assert len(temporary(target).name) < 255 and start_of(os.getpid()) in temporary(target).name


def test_a_link_or_a_file_in_place_of_an_output_is_not_replaced(tmp_path: Path) -> None:
    elsewhere = fill(tmp_path / "elsewhere", "mine")
    (tmp_path / "link").symlink_to(elsewhere)
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    (tmp_path / "file").write_text("mine")
    for name in ("link", "dangling", "file"):
        with pytest.raises(OutputRefused, match=f"{name}: is a"), publish(tmp_path / name):
            raise AssertionError("it began")
    assert contents(elsewhere) == {"mine"} and (tmp_path / "file").read_text() == "mine"
    assert len(list(tmp_path.iterdir())) == 4


def test_a_new_folder_takes_the_place_of_nothing_that_came_meanwhile(tmp_path: Path) -> None:
    target = tmp_path / "new"
    target.mkdir()
    with publish(target, new=True) as fresh:
        (fresh / "mine").write_text("mine")
    assert contents(target) == {"mine"}
    for late in ("folder", "file"):
        with (
            pytest.raises(OutputRefused, match="made by another process meanwhile"),
            publish(tmp_path / late, new=True) as fresh,
        ):
            (fresh / "second").write_text("second")
            if late == "folder":
                fill(tmp_path / late, "first")
            else:
                (tmp_path / late).write_text("first")
    assert contents(tmp_path / "folder") == {"first"} and (tmp_path / "file").read_text() == "first"
    assert len(list(tmp_path.iterdir())) == 3


def test_a_file_that_is_replaced_stays_as_private_as_it_was(tmp_path: Path) -> None:
    secret, fixed = tmp_path / "params.yaml", tmp_path / "fixed"
    for path, mode in ((secret, 0o600), (fixed, 0o444)):
        path.write_text("old")
        path.chmod(mode)
        write_whole(path, b"new")
        assert path.read_text() == "new" and path.stat().st_mode & 0o777 == mode


def test_a_full_disk_names_what_was_to_be_written(tmp_path: Path, monkeypatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / f".other.{machine()}-999999-0-0123abcd.partial").mkdir()  # of a killed process
    with pytest.raises(OSError) as caught, publish(tmp_path / "folder", new=True):
        full()
    assert failure_line(caught.value).startswith(f"{tmp_path / 'folder'}: no space left on device; ")
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError) as caught:
        write_whole(tmp_path / "file", b"x")
    assert failure_line(caught.value).startswith(f"{tmp_path / 'file'}: no space left on device; ")
    assert list(tmp_path.iterdir()) == []
