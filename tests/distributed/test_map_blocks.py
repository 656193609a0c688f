"""Blocks mapped by a pool of actors on a real local Ray: once each, few at a time, whatever dies."""

import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bulk_photos
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray
from bulk_photos import MeanPredictor, write_photos

from fashion_ops.commands import bulk
from fashion_ops.distributed import cluster
from fashion_ops.distributed.driver import WorkerLost
from fashion_ops.distributed.map_blocks import ModelsLost, map_blocks
from fashion_ops.inference.bulk.blocks import KILLED, Block, BlockPredictor, spare
from fashion_ops.inference.bulk.listing import Listed
from fashion_ops.inference.bulk.reading import PhotoReader
from fashion_ops.methods.centernet.deploy.photo import Photo
from fashion_ops.params import Distributed
from fashion_ops.services import ServiceError


@pytest.fixture(scope="module", autouse=True)
def local_ray() -> Iterator[None]:
    """Ray on this machine, its files in a short path (Unix sockets allow 107 characters)."""
    folder = tempfile.mkdtemp(prefix="ray-")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_TMPDIR", folder)
        patch.delenv("RAY_ADDRESS", raising=False)
        for module in (sys.modules[__name__], bulk_photos):  # workers can't import tests
            ray.cloudpickle.register_pickle_by_value(module)
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

    with pytest.raises(ModelsLost, match=r"^the models: their process dies while it loads them; give"):
        for _ in map_blocks(
            [("one", 1)], load, Distributed(max_retries=1), step="predict", keep_lost=True
        ):
            pass  # no block is lost by them
    assert len(list(tmp_path.glob("death-*"))) == 2


def test_errors_of_model_and_block_arrive_as_they_were(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"^image 7: no image$"):
        run([("good", 2), ("bad", "image 7: no image")], make(tmp_path))

    def broken() -> Callable[[Any], Any]:
        raise FileNotFoundError("models/landmarker: no model")

    with pytest.raises(FileNotFoundError, match=r"^models/landmarker: no model$"):
        run([("good", 2)], broken)


class DeadlyPredictor(MeanPredictor):
    """Kills its process at a photo of grey 8."""

    def _garments(self, photo: Photo, min_score: float) -> list[Any]:
        if photo.pixels.mean() == 8:
            os.kill(os.getpid(), signal.SIGKILL)
        return super()._garments(photo, min_score)


def test_a_photo_that_always_kills_is_a_row(tmp_path: Path) -> None:
    photos = [Listed(str(path)) for path in write_photos(tmp_path, 12)]
    blocks = [(str(at // 4), Block(at + 1, photos[at : at + 4])) for at in (0, 4, 8)]
    settings = Distributed(max_retries=0)

    def load() -> BlockPredictor:
        return BlockPredictor(DeadlyPredictor(), PhotoReader(), 0.0, 8)

    def pool(given: Any) -> Iterator[tuple[str, Any]]:
        return map_blocks(given, load, settings, step="predict", keep_lost=True)

    parts = dict(spare(iter(blocks), pool))
    here = BlockPredictor(MeanPredictor(), PhotoReader(), 0.0, 8)
    rows = [pq.read_table(pa.BufferReader(parts[name])).to_pylist() for name, _ in blocks]
    good = [pq.read_table(pa.BufferReader(here(block))).to_pylist() for _, block in blocks]
    killed = rows[1].pop(3)
    assert (killed["image_id"], killed["reason"]) == (8, KILLED)
    assert killed["error"].startswith(photos[7].uri) and good[1].pop(3)["reason"] == ""
    assert rows == good


def test_what_the_store_of_photos_raises_arrives_as_it_was(tmp_path: Path) -> None:
    store: Any = ray.remote(bulk.PhotoStore).options(num_cpus=0).remote()
    photo = write_photos(tmp_path, 1)[0]
    read = bulk.RemotePhotos(store)
    assert read([Listed(str(photo))]) == [photo.read_bytes()]
    with pytest.raises(FileNotFoundError, match=r"^\S*none.parquet: is missing") as caught:
        read([Listed("x", str(tmp_path / "none.parquet"), 0)])
    assert type(caught.value) is FileNotFoundError and "\n" not in str(caught.value)
    ray.kill(store)


def test_blocks_that_have_lost_all_nodes_say_so_and_give_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second block never ends, as if its node were gone; after the first there is no slot."""
    slots = [1]
    monkeypatch.setattr(cluster, "slots_now", lambda cpus, gpus: slots[0])
    monkeypatch.setattr(cluster, "NODE_MINUTES", 0.01)

    def wait() -> Callable[[Any], Any]:
        return lambda seconds: time.sleep(seconds) or seconds

    results = map_blocks([("a", 0), ("b", 600)], wait, Distributed(), step="evaluate")
    assert next(results) == ("a", 0)
    slots[0] = 0
    with (
        pytest.warns(
            UserWarning, match="no node has 1 CPUs and 0 GPUs for a task; waiting for one, 0.01"
        ),
        pytest.raises(
            ServiceError, match=r"for 0.01 minutes; add one .* goes on from the finished blocks"
        ),
    ):
        next(results)


def test_no_blocks_start_nothing() -> None:
    assert run([], make(Path())) == {}
