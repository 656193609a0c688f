"""Blocks mapped by a pool of actors on a real local Ray: once each, few at a time, whatever dies."""

import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray

from fashion_ops.distributed.driver import WorkerLost
from fashion_ops.distributed.map_blocks import map_blocks
from fashion_ops.params import Distributed


@pytest.fixture(scope="module", autouse=True)
def local_ray() -> Iterator[None]:
    """Ray on this machine, its files in a short path (Unix sockets allow 107 characters)."""
    folder = tempfile.mkdtemp(prefix="ray-")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_TMPDIR", folder)
        patch.delenv("RAY_ADDRESS", raising=False)
        ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers can't import tests
        yield
        ray.shutdown()
    shutil.rmtree(folder, ignore_errors=True)


def make(folder: Path, deaths: int = 0) -> Callable[[], Callable[[Any], Any]]:
    """A model that squares; it notes each load in ``folder``.

    A negative number kills the process the first ``deaths`` times, and a text raises it.
    """

    def load() -> Callable[[Any], Any]:
        (folder / f"load-{os.getpid()}").touch()

        def square(value: Any) -> Any:
            if isinstance(value, str):
                raise ValueError(value)
            died = len(list(folder.glob("death-*")))
            if value < 0 and died < deaths:
                (folder / f"death-{os.getpid()}").touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return value * value, os.getpid()

        return square

    return load


def run(blocks: Any, model: Callable[[], Any], **settings: Any) -> dict[str, Any]:
    """Results by name; fails where one comes twice."""
    results: dict[str, Any] = {}
    for name, result in map_blocks(blocks, model, Distributed(**settings), step="evaluate"):
        assert name not in results
        results[name] = result
    return results


def test_every_block_once_by_models_that_are_loaded_once_though_an_actor_dies(tmp_path: Path) -> None:
    ahead: list[int] = []
    done = 0

    def blocks() -> Iterator[tuple[str, int]]:
        for n in range(60):
            ahead.append(n - done)
            yield f"block {n}", -n if n == 20 else n

    results: dict[str, Any] = {}
    model = make(tmp_path, deaths=1)
    for name, result in map_blocks(blocks(), model, Distributed(), step="evaluate"):
        assert name not in results
        results[name] = result
        done += 1
    assert {name: square for name, (square, _) in results.items()} == {
        f"block {n}": n * n for n in range(60)
    }
    assert len(list(tmp_path.glob("death-*"))) == 1
    assert len(list(tmp_path.glob("load-*"))) <= (os.cpu_count() or 1) + 1
    assert max(ahead) <= 3 * (os.cpu_count() or 1)  # the source waits for results


def test_a_block_that_always_kills_is_named(tmp_path: Path) -> None:
    with pytest.raises(WorkerLost, match=r"deadly: its worker died 2 times"):
        run([("good", 2), ("deadly", -3)], make(tmp_path, deaths=99), max_retries=1)


def test_models_that_kill_the_process_which_loads_them_are_an_error(tmp_path: Path) -> None:
    def load() -> Callable[[Any], Any]:
        (tmp_path / f"death-{os.getpid()}").touch()
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError

    with pytest.raises(WorkerLost, match=r"^the models: their process dies while it loads them; give"):
        run([("one", 1)], load, max_retries=1)
    assert len(list(tmp_path.glob("death-*"))) == 2


def test_errors_of_model_and_block_arrive_as_they_were(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^image 7: no image$"):
        run([("good", 2), ("bad", "image 7: no image")], make(tmp_path))

    def broken() -> Callable[[Any], Any]:
        raise FileNotFoundError("models/landmarker: no model")

    with pytest.raises(FileNotFoundError, match=r"^models/landmarker: no model$"):
        run([("good", 2)], broken)


def test_no_blocks_start_nothing() -> None:
    assert run([], make(Path())) == {}
