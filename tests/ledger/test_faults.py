"""What goes wrong on one machine, really done: locks held, signals, full disks, rotten bytes.

A throw-away repository with two stages that write as the real ones do. Faults of runs and services
are in tests/services.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_repository import DVC, clean, environment, make, make_repository, set_params, sh
from typer.testing import CliRunner

from fashion_ops.cli import app
from fashion_ops.ledger import Ledger, LedgerError, damaged_outputs, push, repair_cache
from fashion_ops.workspace import publish


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_repository(tmp_path_factory.mktemp("faults") / "template")


@pytest.fixture
def root(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "repo"))


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGKILL])
def test_a_held_lock_is_waited_for_and_dies_with_its_holder(root: Path, end: signal.Signals) -> None:
    code = (
        "from dvc.repo import Repo\nwith Repo('.').lock:\n"
        " print('held', flush=True)\n import time; time.sleep(600)"
    )
    make(root, "load")
    ledger = Ledger(root)
    snapshot = ledger.snapshot("train")
    sh("sh", "-c", snapshot.cmd, cwd=root)
    holder = subprocess.Popen([sys.executable, "-c", code], cwd=root, stdout=subprocess.PIPE)
    try:
        assert holder.stdout is not None and holder.stdout.readline() == b"held\n"
        waiting = threading.Thread(target=ledger.commit, args=("train", snapshot))
        waiting.start()
        waiting.join(0.5)
        assert waiting.is_alive() and "train" not in ledger.entries()
        holder.send_signal(end)
        waiting.join(60)
        assert not waiting.is_alive() and "train" in ledger.entries()
    finally:
        holder.kill()
        holder.wait()
    assert ledger.stale() == {}


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_repro_keeps_what_is_done_and_goes_on(root: Path, end: signal.Signals) -> None:
    (root / "hold-train").touch()
    repro = subprocess.Popen(
        [*DVC, "repro"],
        cwd=root,
        env=environment(),
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 120
    while not (root / "held").exists():
        assert repro.poll() is None and time.monotonic() < deadline
        time.sleep(0.05)
    os.killpg(repro.pid, end)  # as Ctrl-C and the kernel do: all processes of it
    repro.wait(60)
    assert repro.returncode != 0
    ledger = Ledger(root)
    assert set(ledger.entries()) == {"load"} and ledger.is_current("load")
    # Half of the output is written, and nobody takes it for one.
    assert not (root / "model").exists() and not ledger.is_current("train")
    assert set(ledger.stale()) == {"train"}
    (root / "hold-train").unlink()
    done = sh(*DVC, "repro", cwd=root)
    assert "'load' didn't change" in done.stdout
    assert clean(root) and sorted(p.name for p in (root / "model").iterdir()) == ["one", "two"]
    assert not list(root.glob(".*.partial"))


@pytest.mark.parametrize("renames", [0, 1])
def test_a_death_while_an_output_takes_its_place_leaves_no_half(root: Path, renames: int) -> None:
    """Before the old output steps aside, and between that and the new one's arrival."""
    make(root, "load", "train")
    script = f"""
import os, signal
from pathlib import Path
from fashion_ops.workspace import publish
rename, count = Path.rename, [0]
def mortal(self, target):
    if count[0] == {renames}:
        os.kill(os.getpid(), signal.SIGKILL)
    count[0] += 1
    return rename(self, target)
Path.rename = mortal
with publish(Path("model")) as folder:
    (folder / "one").write_text("new")
"""
    assert sh(sys.executable, "-c", script, cwd=root, check=False).returncode == -signal.SIGKILL
    ledger = Ledger(root)
    if renames == 0:
        assert ledger.is_current("train")  # the old one, whole
    else:
        assert not (root / "model").exists() and not ledger.is_current("train")
        sh(*DVC, "checkout", "model", cwd=root)  # nothing is lost: the cache has it
        assert ledger.is_current("train")
    set_params(root, word="b")
    make(root, "load", "train")
    assert clean(root) and not [*root.glob(".model.*")]


def test_a_rotten_cache_object_is_found_named_and_made_again(root: Path) -> None:
    sh(*DVC, "remote", "add", "--default", "store", str(root.parent / "store"), cwd=root)
    make(root, "load", "train")
    ledger = Ledger(root)
    assert damaged_outputs(ledger) == {}
    entry = ledger.entry("train")
    assert entry is not None
    cache = root / ".dvc" / "cache" / "files" / "md5"
    listing = entry.outs["model"]
    one = json.loads((cache / listing[:2] / listing[2:]).read_text())[0]
    assert one["relpath"] == "one"
    rotten = cache / one["md5"][:2] / one["md5"][2:]

    def rot() -> None:
        rotten.chmod(0o644)
        rotten.write_bytes(rotten.read_bytes().replace(b"t", b"T", 1))
        rotten.chmod(0o444)

    rot()
    assert damaged_outputs(ledger) == {"train": ["model/one"]}
    with pytest.raises(LedgerError, match=r"train: model/one.*check-cache"):
        push(ledger)  # a rotten object does not spread
    assert not (root.parent / "store").exists()
    assert repair_cache(ledger) == {"train": ["model/one"]}  # from the workspace, where it is whole
    assert damaged_outputs(ledger) == {} and ledger.is_current("train")
    assert push(ledger) > 0
    # Where the workspace has it no more, it comes from the remote.
    rot()
    shutil.rmtree(root / "model")
    assert repair_cache(ledger) == {"train": ["model/one"]} and damaged_outputs(ledger) == {}
    sh(*DVC, "checkout", "model", cwd=root)
    assert ledger.is_current("train")
    # Where nobody has it, the stage is stale, and making it again gives the same bytes.
    shutil.rmtree(root.parent / "store")
    rot()
    shutil.rmtree(root / "model")
    done = CliRunner().invoke(app, ["check-cache", "--root", str(root)])
    assert done.exit_code == 1 and "train: model/one" in done.output and "dvc repro" in done.output
    assert set(Ledger(root).stale()) == {"train"}
    sh(*DVC, "repro", cwd=root)
    again = Ledger(root).entry("train")
    assert again == entry and damaged_outputs(Ledger(root)) == {}
    assert CliRunner().invoke(app, ["check-cache", "--root", str(root)]).exit_code == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A repository on a disk of 6 MB."""
    root = tmp_path / "small"
    root.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=6m", "tmpfs", str(root)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a tmpfs needs root")
    try:
        yield make_repository(root)
    finally:
        subprocess.run(["umount", "--lazy", str(root)], check=True)


def test_a_full_disk_loses_nothing_and_records_nothing(small_disk: Path) -> None:
    root = small_disk
    make(root, "load", "train")
    ledger = Ledger(root)
    lock, before = (root / "dvc.lock").read_bytes(), (root / "data" / "one").read_bytes()

    # The output does not fit: the old one stays whole, nothing is left of the new one.
    set_params(root, size=10_000_000)
    failed = sh("sh", "-c", "python make.py load data", cwd=root, check=False)
    assert failed.returncode and "No space left on device" in failed.stderr
    assert (root / "data" / "one").read_bytes() == before and not list(root.glob(".data.*"))

    # The output fits, its copy in the cache does not: it is not recorded.
    set_params(root, size=1_000_000, word="bb")
    snapshot = ledger.snapshot("load")
    sh("sh", "-c", snapshot.cmd, cwd=root)
    with pytest.raises(LedgerError, match=r"load: can't be recorded.*No space left"):
        ledger.commit("load", snapshot)
    assert (root / "dvc.lock").read_bytes() == lock
    assert damaged_outputs(ledger) == {} and not ledger.is_current("load")

    # Not even dvc.lock can be written.
    set_params(root, size=1000, word="c")
    snapshot = ledger.snapshot("load")
    sh("sh", "-c", snapshot.cmd, cwd=root)
    with (
        (root / "ballast").open("wb", buffering=0) as ballast,
        pytest.raises(OSError, match="No space left"),
    ):
        while True:
            ballast.write(b"0" * 4096)
    with pytest.raises(LedgerError, match="No space left"):
        ledger.commit("load", snapshot)
    assert (root / "dvc.lock").read_bytes() == lock

    # With room again everything goes on.
    (root / "ballast").unlink()
    ledger.commit("load", snapshot)
    make(root, "train")
    assert clean(root) and damaged_outputs(ledger) == {}


def test_a_failing_step_leaves_the_old_output(root: Path) -> None:
    make(root, "load")
    before = (root / "data" / "one").read_bytes()
    with pytest.raises(RuntimeError, match="in the middle"), publish(root / "data") as folder:
        (folder / "one").write_text("new")
        raise RuntimeError("in the middle")
    assert (root / "data" / "one").read_bytes() == before and Ledger(root).is_current("load")
