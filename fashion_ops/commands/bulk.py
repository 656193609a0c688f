"""``fashion-ops predict ... --table``: a bulk run in this process, or by actors where more fits.

Actors run on the Ray cluster at ``RAY_ADDRESS`` or, without it, on this machine where it has cores for
two; up to ``FEW`` photos run in this process. They get the models as values. Photos on this machine's
disk reach the workers of a cluster through an actor beside the driver; objects of a bucket are read by
the workers themselves, with the driver's keys if they have none.
"""

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from fashion_ops.catalog.sources.archive import named_after
from fashion_ops.commands.shared import print_status
from fashion_ops.distributed.job_store import scratch
from fashion_ops.distributed.payload import Files, as_arrays, code_digest, pack_folder, unpack_folder
from fashion_ops.files.uris import absolute, adopt_keys, is_uri, scheme_of, store_keys
from fashion_ops.inference.bulk.blocks import Block, BlockPredictor, PhotoPredictor, spare
from fashion_ops.inference.bulk.listing import Listed
from fashion_ops.inference.bulk.manifest import Identity
from fashion_ops.inference.bulk.reading import Fetch, Fetched, PhotoReader
from fashion_ops.inference.bulk.run import PHOTOS, Blocks, BulkRun, bulk_run
from fashion_ops.measurement.references import Scaling
from fashion_ops.params import Distributed
from fashion_ops.progress import meter
from fashion_ops.workspace import current_workspace

if TYPE_CHECKING:
    from fashion_ops.inference.alignment_predictor import AlignmentFolder

BATCH = 8  # photos that go through the network at once
GPUS = 0.5  # of a GPU for an actor by default: one decodes and crops while the other computes
FEW = 64  # photos for which starting actors takes longer than it saves
_BUNDLE = ("detector", "postprocess", "landmarker", "finetuned", "refined", "box_detector")
_BOXES = ("detector", "postprocess", "box_detector")

Runtime = Literal["torch", "onnx", "openvino"]


@dataclass(frozen=True)
class Model:
    """The model of a bulk run, and how it predicts.

    Attributes:
        name: as given.
        folder: where its files are.
        runtime: torch, onnx or openvino.
        min_score: lowest score of a garment, 0..1.
        scaling: how sizes get their scale; None measures nothing.
    """

    name: str
    folder: Path
    runtime: Runtime
    min_score: float
    scaling: Scaling | None = None

    def files(self) -> Files:
        """All files that the predictor reads, by relative path.

        Raises:
            FileNotFoundError: there are no models in the folder.
        """
        from fashion_ops.methods.artifact import SPEC  # the rest of the driver needs no torch
        from fashion_ops.methods.centernet.deploy.graph import GRAPH

        if alignment := self.alignment:
            parts = {part: alignment.boxes / part for part in _BOXES}
            parts[alignment.method] = alignment.model
        elif (self.folder / SPEC).is_file() or (self.folder / GRAPH).is_file():
            # a detector by itself, with what was tuned for it beside it
            parts = {
                "detector": self.folder,
                "postprocess": self.folder.resolve().parent / "postprocess",
            }
        else:
            parts = {part: self.folder / part for part in _BUNDLE}
            if not parts["landmarker"].is_dir():
                raise FileNotFoundError(
                    f"{self.folder}: holds no models (no landmarker, and is no detector); name another "
                    "by --model"
                )
        return {
            f"{part}/{name}": data
            for part, folder in parts.items()
            if folder.is_dir()
            for name, data in pack_folder(folder).items()
        }

    @cached_property
    def alignment(self) -> "AlignmentFolder | None":
        """The alignment model, if it is one, with its detector."""
        if (self.folder / "landmarker").is_dir():
            return None
        from fashion_ops.inference.alignment_predictor import AlignmentFolder

        found = AlignmentFolder.find(self.folder)
        return found and found.with_detector_of(current_workspace().detector.parent)


@dataclass(frozen=True)
class LoadModels:
    """Loads the models of a bulk run in an actor; ``map_blocks`` calls it once in each.

    Attributes:
        files: those of ``Model.files``, as arrays.
        origin: folder that they were in, for errors.
        runtime: torch, onnx or openvino.
        min_score: lowest score of a garment.
        device: of torch, see ``select_device``.
        threads: CPU threads of the other runtimes; 0 uses all cores.
        store: the actor that reads photos on the driver's disk; None where every process can.
        keys: the driver's of S3 stores, for workers that have none.
        scaling: how sizes get their scale; None measures nothing.
    """

    files: dict[str, np.ndarray]
    origin: str
    runtime: Runtime
    min_score: float
    device: str
    threads: int = 0
    store: Any = None
    keys: Mapping[str, str] = field(default_factory=dict, repr=False)
    scaling: Scaling | None = None

    def __call__(self) -> BlockPredictor:
        """Load them; raises as ``open_models``."""
        adopt_keys(self.keys)
        with scratch() as folder:
            unpack_folder(self.files, folder)
            whole = any((folder / part).is_dir() for part in ("landmarker", "dfa", "gle"))
            place = folder if whole else folder / "detector"
            with named_after(self.origin, place):
                predictor = open_models(place, self.runtime, self.device, self.threads)
        fetch: Fetch = PhotoReader() if self.store is None else RemotePhotos(self.store)
        return BlockPredictor(predictor, fetch, self.min_score, BATCH, self.scaling)


def open_models(folder: Path, runtime: Runtime, device: str, threads: int = 0) -> PhotoPredictor:
    """Load a bundle in torch, or one detector in any runtime; raises as these do."""
    from fashion_ops.inference.alignment_predictor import AlignmentFolder, load_bundle
    from fashion_ops.inference.edge import EdgePredictor
    from fashion_ops.methods.parts.device import CPU, select_device

    where = select_device(device) if runtime == "torch" else CPU
    whole = (folder / "landmarker").is_dir() or AlignmentFolder.find(folder) is not None
    if runtime == "torch" and whole:
        return load_bundle(folder, where)
    return EdgePredictor.load(folder, runtime, where, threads)


class PhotoStore:
    """Reads photos on the driver's disk for the workers of a cluster; a Ray actor beside the driver."""

    def __init__(self) -> None:
        self._readers: dict[str, PhotoReader] = {}  # each worker goes through a table by itself

    def fetch(self, worker: str, photos: list[Listed]) -> list[Fetched]:
        """The bytes of photos for a worker, which has a name of its own."""
        return self._readers.setdefault(worker, PhotoReader())(photos)


class RemotePhotos:
    """The worker's side of a ``PhotoStore``; objects of a bucket it reads itself."""

    def __init__(self, store: Any) -> None:
        import ray

        self._store, self._worker = store, ray.get_runtime_context().get_worker_id()
        self._read = PhotoReader()

    def __call__(self, photos: Sequence[Listed]) -> list[Fetched]:
        """The bytes of photos; raises as ``PhotoReader``."""
        import ray
        from ray.exceptions import RayTaskError

        there = [p for p in photos if not is_uri(p.table or p.uri)]
        try:
            fetched = iter(ray.get(self._store.fetch.remote(self._worker, there)) if there else ())
        except RayTaskError as error:  # its text is a traceback
            raise error.cause or error from None
        here = iter(self._read([p for p in photos if is_uri(p.table or p.uri)]))
        return [next(here if is_uri(p.table or p.uri) else fetched) for p in photos]


def predict_table(
    sources: Sequence[str], table: Path, model: Model, settings: Distributed, *, coco: bool
) -> None:
    """Predict all photos of the sources into the folder ``table``; a killed run goes on where it was.

    Args:
        sources: photos, folders, globs, Parquet tables and URIs.
        table: the folder of the run.
        model: the model.
        settings: device, CPUs and GPUs of an actor, retries.
        coco: write COCO results too.

    Raises:
        OutputRefused: ``table`` is of other photos, another model or other settings, or no run's.
        ValueError: a source holds no photos, a model cannot be read, or ``coco`` or a scaling is
            given for an alignment model.
    """
    if coco and model.alignment:
        raise ValueError(
            f"predict: --coco writes the 294 landmarks of the 13 categories, {model.name} predicts "
            "FLD's; leave out --coco"
        )
    if model.scaling is not None and model.alignment:
        raise ValueError(
            f"predict: --reference measures between landmarks of the 13 categories, {model.name} "
            "predicts FLD's; leave out --reference"
        )
    files = model.files()
    digest = hashlib.sha256()
    for name, data in files.items():
        digest.update(f"{name} {len(data)}\n".encode())
        digest.update(data)
    identity = Identity(
        [source if is_uri(source) else absolute(source) for source in sources],
        model.name,
        digest.hexdigest(),
        {
            "--min-score": model.min_score,
            "--runtime": model.runtime,
            "photos at once": BATCH,
            "torch": version("torch"),
            "code of fashion_ops": code_digest()[:16],
            **({"--reference": model.scaling.kind} if model.scaling else {}),
        },
    )
    with bulk_run(table, identity) as run:
        if run.left:
            load = LoadModels(
                as_arrays(files),
                str(model.folder),
                model.runtime,
                model.min_score,
                settings.device,
                scaling=model.scaling,
            )
            compute = _computer(run, load, settings)
            with meter("predict", "photos", run.manifest.photos, run.done.photos) as advance:
                run.compute(compute, advance)
        run.finish(coco=coco)
        _report(run)


def _report(run: BulkRun) -> None:
    """Print what the table holds."""
    done = run.done
    failed = f", {done.reasons.total()} without a prediction" if done.reasons else ""
    print_status("predict", f"{done.photos} photos{failed}, {done.garments} garments")
    for reason, count in done.reasons.most_common():
        print_status("predict", f"  {count} x {reason}")
    print_status("predict", f"{run.folder / PHOTOS}: one row a photo")


def _computer(
    run: BulkRun, load: LoadModels, settings: Distributed
) -> Callable[[Blocks], Iterator[tuple[str, bytes]]]:
    """Where the blocks of a run are computed."""
    cluster = bool(os.environ.get("RAY_ADDRESS"))
    schemes = {scheme_of(source) for source in run.manifest.identity.sources}
    few = run.manifest.photos <= FEW and not cluster  # not those left: other threads, other bits
    if "memory" in schemes or few:
        return lambda blocks: _map_here(blocks, load)
    from fashion_ops.distributed.cluster import connect, usable_cpus  # they load Ray

    if not cluster and usable_cpus() // settings.cpus_per_task < 2:
        return lambda blocks: _map_here(blocks, load)
    from fashion_ops.distributed.map_blocks import map_blocks

    def compute(blocks: Blocks) -> Iterator[tuple[str, bytes]]:
        connect(settings)
        # The workers of a cluster cannot see this disk; a table of any place may name photos on it.
        store = _start_store() if cluster else None
        keys = store_keys() if cluster else {}
        make = replace(load, threads=settings.cpus_per_task, store=store, keys=keys)
        own = _with_gpus(settings, load.runtime)
        sized = load.scaling is not None
        return spare(
            blocks, lambda b: map_blocks(b, make, own, step="predict", keep_lost=True), sized=sized
        )

    return compute


def _with_gpus(settings: Distributed, runtime: Runtime) -> Distributed:
    """The settings with ``GPUS`` of a GPU for an actor, where Ray has GPUs and they name none.

    Runtimes other than torch run on the CPU and get none.
    """
    import ray

    if runtime != "torch":
        return settings.model_copy(update={"gpus_per_task": 0.0})
    if settings.gpus_per_task or settings.device == "cpu" or not ray.cluster_resources().get("GPU"):
        return settings
    return settings.model_copy(update={"gpus_per_task": GPUS})


def _map_here(blocks: Blocks, load: LoadModels) -> Iterator[tuple[str, bytes]]:
    """Compute blocks in this process."""
    predict: Callable[[Block], bytes] = load()
    for name, block in blocks:
        yield name, predict(block)


def _start_store() -> Any:
    """Start a ``PhotoStore`` on the driver's node."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    return ray.remote(PhotoStore).options(num_cpus=0, scheduling_strategy=here).remote()
