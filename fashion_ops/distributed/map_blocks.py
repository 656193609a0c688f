"""Maps blocks of work by models that are loaded once: a pool of Ray Data's actors.

The driver hands out a bounded number of blocks at a time (see ``feed``), so that memory does not grow
with their number. Ray Data places the actors, on this machine or on the cluster at ``RAY_ADDRESS``,
starts them again where they died, lets the pool grow with the cluster, and streams the results back.
Nothing here assumes a shared disk, or knows what is computed.
"""

import itertools
import logging
import os
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from functools import partial
from typing import Any

import pyarrow as pa
import ray
from ray.cloudpickle import cloudpickle
from ray.data import ActorPoolStrategy, DataContext, Dataset, Datasource, ReadTask
from ray.data._internal.execution.execution_callback import ExecutionCallback
from ray.data.block import BlockMetadata
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from fashion_ops.distributed.cluster import (
    POLL_SECONDS,
    SlotWatch,
    connect,
    slots_now,
    usable_gpus,
)
from fashion_ops.distributed.driver import TRANSIENT, WorkerLost
from fashion_ops.distributed.feed import Feed
from fashion_ops.params import Distributed

_AHEAD = 2  # blocks that wait for each actor while it computes another
_RESULTS = pa.schema({"number": pa.int64(), "result": pa.large_binary(), "failed": pa.bool_()})

Make = Callable[[], Callable[[Any], Any]]


class ModelsLost(WorkerLost):
    """Loading the models has killed the process too often."""


def map_blocks(
    blocks: Iterable[tuple[str, Any]],
    make: Make,
    settings: Distributed,
    *,
    step: str,
    keep_lost: bool = False,
) -> Iterator[tuple[str, Any]]:
    """Compute each block by an actor of a pool, and yield the results as they arrive.

    Args:
        blocks: (name, value) of each block; read as far as the pool has room. Names are for messages.
        make: called once in each actor; it loads the models, which it carries as values
            (``payload.pack_folder``), and returns the function from a block's value to its result. It
            is put into the object store once; NumPy arrays in it (``payload.as_arrays``) are not copied
            from there.
        settings: CPUs and GPUs of an actor; ``max_retries`` of a block whose actor dies or that raises
            ConnectionError or TimeoutError.
        step: name of the step, for messages.
        keep_lost: whether the result of a block that is lost is its WorkerLost, and the others go on.

    Yields:
        (name, result) of every block once, in the order in which they are done.

    Raises:
        WorkerLost: a block has killed its actor more than ``max_retries`` times; names the block. Or
            Ray itself is lost, or loading the models has killed an actor as often (``ModelsLost``).
        ServiceError: the cluster does not answer, or has had no node for an actor for too long.
        ValueError: no node has as many CPUs and GPUs as an actor needs.
        Exception: what ``make`` or its function raised; no further block is computed.
    """
    source = iter(blocks)
    first = next(source, None)
    if first is None:
        return
    connect(settings)
    gpus = usable_gpus(settings)
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    feed: Any = ray.remote(Feed).options(num_cpus=0, scheduling_strategy=here).remote()
    try:
        pool = _Pool(feed, make, settings, gpus, keep_lost=keep_lost)
        yield from pool.map(itertools.chain([first], source))
    except RayError as error:
        raise WorkerLost(f"{step}: {str(error).splitlines()[0]}") from error
    finally:
        ray.kill(feed)


class _Pool:
    """The driver's side of one ``map_blocks``: hands out blocks, takes results."""

    def __init__(
        self, feed: Any, make: Make, settings: Distributed, gpus: float, *, keep_lost: bool
    ) -> None:
        self._feed, self._settings, self._gpus, self._keep_lost = feed, settings, gpus, keep_lost
        self._make = ray.put(make)
        self._running: dict[int, str] = {}  # name of each unfinished block by its number

    def map(self, blocks: Iterator[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
        """Yield the results of the blocks."""
        numbered = enumerate(blocks)
        self._hand_out(numbered)
        batches: Any = self._dataset().iter_batches(
            batch_size=None,
            batch_format="pyarrow",
            prefetch_batches=0,  # else a result waits here for the next one
        )
        with closing(iter(batches)) as results:  # ends the actors, wherever the caller stops
            for row in itertools.chain.from_iterable(batch.to_pylist() for batch in results):
                name = self._running.pop(row["number"], None)
                if name is None:  # an empty turn, or the second result of a block
                    continue
                self._feed.done.remote(row["number"])
                result = cloudpickle.loads(row["result"])
                lost = isinstance(result, WorkerLost) and not isinstance(result, ModelsLost)
                if row["failed"] and not (self._keep_lost and lost):
                    raise result
                self._hand_out(numbered)
                yield name, result
                if not self._running:
                    return

    def _hand_out(self, numbered: Iterator[tuple[int, tuple[str, Any]]]) -> None:
        """Give the feed as many blocks as the pool has room for."""
        slots = slots_now(self._settings.cpus_per_task, self._gpus)
        room = (1 + _AHEAD) * max(slots, 1) - len(self._running)
        for number, (name, value) in itertools.islice(numbered, max(room, 0)):
            self._running[number] = name
            ray.get(self._feed.add.remote(number, name, [ray.put(value)]))

    def _dataset(self) -> Dataset:
        """The dataset of results, which is not computed yet."""
        context = DataContext.get_current().copy()
        context.enable_progress_bars = False
        context.target_max_block_size = 1  # each turn is a block of Ray Data
        watch = partial(_Watch, self._settings, self._gpus)  # Ray Data calls it without arguments
        context.custom_execution_callback_classes = [watch]  # pyright: ignore[reportAttributeAccessIssue]
        logging.getLogger("ray.data").setLevel(logging.ERROR)
        slots = max(slots_now(self._settings.cpus_per_task, self._gpus), 1)
        if os.environ.get("RAY_ADDRESS"):  # grows with the cluster
            pool = ActorPoolStrategy(min_size=1, initial_size=slots, max_tasks_in_flight_per_actor=2)
        else:
            size = min(slots, len(self._running))
            pool = ActorPoolStrategy(size=size, max_tasks_in_flight_per_actor=2)
        here = {"ray.io/node-id": ray.get_runtime_context().get_node_id()}
        with DataContext.current(context):
            turns = ray.data.read_datasource(
                _Turns(self._feed), override_num_blocks=1, num_cpus=0, label_selector=here
            )
            return turns.map_batches(
                _Actor,  # pyright: ignore[reportArgumentType]
                fn_constructor_args=([self._make], self._feed, self._settings.max_retries),
                batch_size=None,
                batch_format="pyarrow",
                compute=pool,
                num_cpus=self._settings.cpus_per_task,
                num_gpus=self._gpus,
            )


class _Watch(ExecutionCallback):
    """Ends a dataset's execution if the cluster has had no node for an actor for too long."""

    def __init__(self, settings: Distributed, gpus: float) -> None:
        self._slots = SlotWatch(settings, gpus, warnings.warn, "the finished blocks")
        self._next = 0.0  # when nodes are looked at again

    def on_execution_step(self, executor: Any) -> None:
        """Look at the nodes; Ray Data takes some hundred steps a second."""
        if time.monotonic() >= self._next:
            self._slots.count()
            self._slots.check()
            self._next = time.monotonic() + POLL_SECONDS


class _Turns(Datasource):
    """The turns of a feed as a dataset of one column, read by one task beside the driver."""

    def __init__(self, feed: Any) -> None:
        super().__init__()
        self._feed = feed

    def get_read_tasks(self, parallelism: int, *_: Any, **__: Any) -> list[ReadTask]:
        """One task, which ends with the feed."""
        unknown = BlockMetadata(num_rows=None, size_bytes=None, input_files=None, exec_stats=None)
        return [ReadTask(partial(_read_turns, self._feed), unknown)]

    def estimate_inmemory_data_size(self) -> int | None:
        """Unknown."""
        return None


def _read_turns(feed: Any) -> Iterator[pa.Table]:
    """Yield each turn when it may begin."""
    for turn in itertools.count():
        ray.get(feed.turn.remote(turn))
        yield pa.table({"turn": [turn]})


class _Actor:
    """One actor of the pool."""

    def __init__(self, make: list[Any], feed: Any, max_retries: int) -> None:
        self._feed, self._max_retries = feed, max_retries
        self._node = ray.get_runtime_context().get_node_id()
        self._work: Callable[[Any], Any] | None = None
        self._error: Exception | None = None
        actor = ray.get_runtime_context().get_actor_id()
        deaths: int = ray.get(feed.load.remote(actor))
        if deaths > max_retries:  # Ray would start it again for ever
            self._error = ModelsLost(
                "the models: their process dies while it loads them; give it more memory, see Ray's log"
            )
            return
        try:
            load: Make = ray.get(make[0])
            self._work = load()
        except Exception as error:  # for the driver; Ray would make other actors and try again
            self._error = error
        ray.get(feed.loaded.remote(actor))

    def __call__(self, turns: pa.Table) -> pa.Table:
        """Compute the blocks of these turns: a table of number, pickled result or error."""
        rows = [self._compute(turn) for turn in turns["turn"].to_pylist()]
        return pa.Table.from_pylist(rows, _RESULTS)

    def _compute(self, turn: int) -> dict[str, Any]:
        """Compute the block of a turn."""
        taken = ray.get(self._feed.take.remote(turn, self._node))
        if taken is None:
            return {"number": -1, "result": b"", "failed": False}
        number, block = taken
        error: Exception | None = self._error
        if error is None and block.starts > self._max_retries + 1:
            times = f"{block.starts - 1} times" if block.starts > 2 else "once"
            error = WorkerLost(f"{block.name}: its worker died {times}; see Ray's log of the worker")
        if error is None:
            try:
                result = self._try(ray.get(block.value[0]))
                return {"number": number, "result": cloudpickle.dumps(result), "failed": False}
            except Exception as raised:
                error = raised
        return {"number": number, "result": _pickled(error), "failed": True}

    def _try(self, value: Any) -> Any:
        """The result of a block, with retries where a service does not answer."""
        assert self._work is not None
        for _ in range(self._max_retries):
            with suppress(*TRANSIENT):
                return self._work(value)
        return self._work(value)


def _pickled(error: Exception) -> bytes:
    """An error as bytes; its text, if the error itself does not pickle."""
    try:
        cloudpickle.loads(data := cloudpickle.dumps(error))
        return data
    except Exception:
        return cloudpickle.dumps(RuntimeError(f"{type(error).__name__}: {error}"))
