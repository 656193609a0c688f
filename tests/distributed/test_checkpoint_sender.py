"""Checkpoints travel beside the training: the latest only, one at a time, none after a success."""

import threading
from pathlib import Path

import pytest

from fashion_ops.distributed.sender import CheckpointSender
from fashion_ops.workspace import write_whole

PATIENCE = 30  # seconds after which a wait counts as endless


class Store:
    """Keeps what arrives; ``slow`` makes it wait for ``open``."""

    def __init__(self, slow: bool = False) -> None:
        self.arrived: list[bytes] = []
        self.busy, self.open = threading.Event(), threading.Event()
        if not slow:
            self.open.set()

    def save(self, data: bytes) -> None:
        self.busy.set()
        assert self.open.wait(PATIENCE)
        self.arrived.append(data)


def in_time(function: object, *args: object) -> None:
    """Call a function that must not wait for the store."""
    thread = threading.Thread(target=function, args=args, daemon=True)  # type: ignore[arg-type]
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive(), "it waits for the store"


def epochs(sender: CheckpointSender, path: Path, numbers: range) -> None:
    """Finish epochs: each replaces the checkpoint and offers it."""
    for number in numbers:
        write_whole(path, b"epoch %d" % number)
        sender.offer()


def test_a_slow_store_does_not_delay_epochs_and_gets_the_latest_only(tmp_path: Path) -> None:
    store, path = Store(slow=True), tmp_path / "checkpoint"
    with (
        pytest.raises(RuntimeError, match="the node goes"),
        CheckpointSender(path, store.save) as sender,
    ):
        epochs(sender, path, range(1, 2))
        assert store.busy.wait(PATIENCE)
        in_time(epochs, sender, path, range(2, 7))
        assert store.arrived == []
        store.open.set()
        raise RuntimeError("the node goes")
    assert store.arrived == [b"epoch 1", b"epoch 6"]


def test_after_a_success_what_waits_is_dropped_and_what_travels_arrives_first(tmp_path: Path) -> None:
    """Whoever removes the checkpoint of a completed job finds no later one."""
    store, path = Store(slow=True), tmp_path / "checkpoint"
    with CheckpointSender(path, store.save) as sender:
        epochs(sender, path, range(1, 2))
        assert store.busy.wait(PATIENCE)
        epochs(sender, path, range(2, 4))
        threading.Timer(0.1, store.open.set).start()
    assert store.arrived == [b"epoch 1"]


@pytest.mark.parametrize("in_background", [True, False])
def test_each_new_file_travels_once_and_the_one_resumed_from_not(
    tmp_path: Path, in_background: bool
) -> None:
    store, path = Store(), tmp_path / "checkpoint"
    path.write_bytes(b"epoch 0")
    with pytest.raises(RuntimeError), CheckpointSender(path, store.save, in_background) as sender:
        sender.offer()
        epochs(sender, path, range(1, 2))
        sender.offer()
        raise RuntimeError
    assert store.arrived == [b"epoch 1"]


def test_a_store_that_is_gone_ends_the_training(tmp_path: Path) -> None:
    def gone(data: bytes) -> None:
        failed.set()
        raise ConnectionError("the driver is gone")

    path, failed = tmp_path / "checkpoint", threading.Event()
    gone_too = pytest.raises(ConnectionError, match="the driver is gone")
    with gone_too, CheckpointSender(path, gone) as sender:
        epochs(sender, path, range(1, 2))
        assert failed.wait(PATIENCE)
