"""Runs blocks of prediction where the settings say: in this process, or on the cluster at RAY_ADDRESS.

On a cluster this process loads no model: the model files travel as values, each actor of a pool loads
them once, and what an actor predicts is kept in the workspace's ``.checkpoints`` until the step has
ended. So a step whose driver was killed goes on with the blocks that are left. The name of a result is
a hash of all it depends on: models, settings, code, images and boxes.
"""

import atexit
import hashlib
import os
import pickle
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, fields, is_dataclass
from functools import cached_property, partial
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import BaseModel

from fashion_ops.distributed.job_store import scratch
from fashion_ops.distributed.payload import Files, code_digest, pack_folder, unpack_folder
from fashion_ops.methods.parts.blocks import (
    Block,
    Blocks,
    Bundle,
    Load,
    LocalRunner,
    OpenRunner,
)
from fashion_ops.methods.parts.device import select_device
from fashion_ops.methods.parts.hardware import Hardware
from fashion_ops.params import Distributed
from fashion_ops.progress import track
from fashion_ops.workspace import write_whole


@contextmanager
def block_runners(settings: Distributed, checkpoints: Path, step: str) -> Iterator[OpenRunner]:
    """Yield what makes the runners of a step's blocks.

    Within the block the step also writes its output: where it ends without an exception, the results
    of its blocks are deleted, those of an earlier run on a cluster too.

    Args:
        settings: device, CPUs and GPUs of an actor, retries.
        checkpoints: folder for the results of blocks.
        step: name of the step.
    """
    if os.environ.get("RAY_ADDRESS"):
        yield partial(RayRunner, settings=settings, checkpoints=checkpoints, step=step)
    else:
        yield partial(LocalRunner, device=settings.device)
    for folder in checkpoints.glob(f"{step}-blocks-*"):
        shutil.rmtree(folder, ignore_errors=True)


class RayRunner:
    """Predicts blocks on the Ray cluster at ``RAY_ADDRESS``; see ``methods.parts.blocks``.

    Args:
        load: loads the models; runs in each actor.
        bundles: the models.
        settings: see ``block_runners``.
        checkpoints: see ``block_runners``.
        step: see ``block_runners``.
    """

    def __init__(
        self,
        load: Load,
        bundles: Sequence[Bundle],
        *,
        settings: Distributed,
        checkpoints: Path,
        step: str,
    ) -> None:
        self.hardware: set[Hardware] = set()
        self._load, self._bundles, self._settings = load, bundles, settings
        self._checkpoints, self._step = checkpoints, step

    def run(self, blocks: Blocks, label: str, total: int) -> dict[str, Any]:
        """See ``BlockRunner``."""
        from fashion_ops.distributed.map_blocks import map_blocks  # Ray takes a second to import

        results: dict[str, Any] = {}
        paths: dict[str, Path] = {}

        def missing() -> Iterator[tuple[str, Block]]:
            """The blocks without a result; those with one are read."""
            for name, block in blocks:
                path = self._folder / digest((name, block))
                done = _read(path)
                if done is None:
                    paths[name] = path
                    yield name, block
                else:
                    results[name] = self._take(done)

        def arriving() -> Iterator[None]:
            """One item for each result that is stored, of this run or of an earlier one."""
            shown = 0
            for name, done in map_blocks(missing(), self._make, self._settings, step=self._step):
                _write(paths[name], done)
                results[name] = self._take(done)
                yield from repeat(None, len(results) - shown)
                shown = len(results)
            yield from repeat(None, len(results) - shown)

        for _ in track(arriving(), label, total):
            pass
        return results

    def _take(self, done: tuple[Hardware, Any]) -> Any:
        """The result of a block, whose hardware is noted."""
        hardware, result = done
        self.hardware.add(hardware)
        return result

    @cached_property
    def _make(self) -> "MakePredict":
        """What each actor calls once, with the bytes of the models."""
        files = [_pack(bundle) for bundle in self._bundles]
        device, threads = self._settings.device, self._settings.cpus_per_task
        return MakePredict(self._load, tuple(files), device, threads)

    @cached_property
    def _folder(self) -> Path:
        """Where the results of blocks are kept; its name is a hash of models, settings and code."""
        key = digest((self._make, code_digest(), torch.__version__))
        return self._checkpoints / f"{self._step}-blocks-{key[:16]}"


@dataclass(frozen=True)
class MakePredict:
    """Loads models from their bytes, and returns the function from a block to its result.

    Attributes:
        load: loads the models from folders.
        files: the files of each folder.
        device: setting of the device.
        threads: CPU threads of the process.
    """

    load: Load
    files: tuple[Files, ...]
    device: str
    threads: int

    def __call__(self) -> Callable[[Block], tuple[Hardware, Any]]:
        """Load the models; their files stay on this machine as long as the process lives."""
        torch.set_num_threads(self.threads)
        stack = ExitStack()
        atexit.register(stack.close)
        root = stack.enter_context(scratch())
        folders = [root / str(index) / "models" for index in range(len(self.files))]
        for folder, files in zip(folders, self.files, strict=True):
            unpack_folder(files, folder)
        device = select_device(self.device)
        models, hardware = self.load(folders, device), Hardware.of(device)

        def predict(block: Block) -> tuple[Hardware, Any]:
            return hardware, block.predict(models)

        return predict


def _pack(bundle: Bundle) -> Files:
    """The files of a bundle that travel.

    Raises:
        FileNotFoundError: a part is missing.
    """
    if not bundle.parts:
        return pack_folder(bundle.folder)
    return {
        f"{part}/{name}": data
        for part in bundle.parts
        for name, data in pack_folder(bundle.folder / part).items()
    }


def digest(value: Any) -> str:
    """sha256 of a value in hexadecimal digits, the same in every process.

    Args:
        value: bytes, text, number, array, function, or dataclass, parameters, sequence or mapping of
            such values. (A pickle will not do: that of a pydantic model changes from run to run.)

    Raises:
        TypeError: there is something else in it.
    """
    sha256 = hashlib.sha256()
    _update(sha256.update, value)
    return sha256.hexdigest()


def _update(update: Callable[[bytes], None], value: Any) -> None:
    """Pass kind, size and content of a value to ``update``."""
    parts: list[Any] = []
    if isinstance(value, bytes):
        content = value
    elif value is None or isinstance(value, str | int | float | np.generic | Path):
        content = str(value).encode()
    elif isinstance(value, np.ndarray):
        content = f"{value.dtype} {value.shape} ".encode() + value.tobytes()
    elif isinstance(value, BaseModel):
        content = value.model_dump_json().encode()
    elif is_dataclass(value) and not isinstance(value, type):
        content, parts = b"", [getattr(value, field.name) for field in fields(value)]
    elif isinstance(value, Mapping):
        content, parts = b"", [part for item in value.items() for part in item]
    elif isinstance(value, list | tuple):
        content, parts = b"", list(value)
    elif callable(value):
        content = f"{value.__module__}.{value.__qualname__}".encode()
    else:
        raise TypeError(f"{type(value).__name__}: has no digest")
    update(f"{type(value).__name__} {len(content)} {len(parts)} ".encode() + content)
    for part in parts:
        _update(update, part)


def _read(path: Path) -> tuple[Hardware, Any] | None:
    """The stored result of a block; None if there is none, or it can't be read."""
    try:
        return pickle.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except Exception:  # a damaged file is no reason to stop: the block is predicted again
        return None


def _write(path: Path, done: tuple[Hardware, Any]) -> None:
    """Store the result of a block, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, pickle.dumps(done, protocol=pickle.HIGHEST_PROTOCOL))
