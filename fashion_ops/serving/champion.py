"""The models in use, and the thread that follows the registry's champion.

A new version is copied into the state folder, loaded beside the old one, and checked: the networks that
will serve must find in the photos of ``inference.example`` what the version finds in torch. Then it is
in use from the next batch on. A version that fails stays out and is named in ``/ready``; it is tried
again after a restart, or when the alias has named another one meanwhile. What fails by the fault of the
machine or of a service is tried again at the next look. The state folder survives a restart, so a dead
registry stops nothing.
"""

import json
import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from fashion_ops.errors.failures import failure_line
from fashion_ops.files.digests import folder_digest
from fashion_ops.files.publishing import publish, write_whole
from fashion_ops.inference.alignment_predictor import (
    AlignmentPredictor,
    AnyPredictor,
    load_bundle,
)
from fashion_ops.inference.alignment_runtimes import load_networks
from fashion_ops.inference.example import Example
from fashion_ops.inference.openvino_pipeline import LAYOUT, load_pipeline
from fashion_ops.methods.parts.device import select_device
from fashion_ops.registry.followed import FollowedModel, fetch_version
from fashion_ops.reports.cards import DATA_CARD, MODEL_CARD
from fashion_ops.services import ServiceError
from fashion_ops.serving.exporting import export_apart, may_pass
from fashion_ops.serving.sharing import alone, delete

log = logging.getLogger(__name__)

Engine = Literal["openvino", "torch"]
CURRENT, BUNDLE = "current.json", "bundle.json"
NETWORKS = f"openvino-{LAYOUT}"
NO_VERSION = 0  # of a folder, which is in no registry


@dataclass(frozen=True)
class Served:
    """Models that are loaded and checked; a folder has ``NO_VERSION``."""

    name: str
    version: int
    predictor: AnyPredictor
    engine: Engine
    cards: tuple[str, ...] = ()  # Markdown: model card, data card


@dataclass(frozen=True)
class Champion:
    """The models in use, and why the newest version is not among them.

    Requests read it from other threads, so it changes as a whole: another takes its place.

    Attributes:
        served: None until a version is loaded.
        failure: of the newest version or of the registry, in one line; empty if all is well.
        registry_answers: whether it, and its store of artifacts, answered the last time.
        rejected: number of the version that failed; 0 for none.
        switches: how often other models came into use.
    """

    served: Served | None = None
    failure: str = ""
    registry_answers: bool = True
    rejected: int = 0
    switches: int = 0


@dataclass(frozen=True)
class Loader:
    """Loads a bundle, of landmarkers or of an alignment model, for one engine.

    Attributes:
        engine: ``openvino`` for CPUs, or ``torch``.
        device: of torch, see ``select_device``.
        threads: CPU threads of OpenVINO; 0 uses all cores.
    """

    engine: Engine = "openvino"
    device: str = "auto"
    threads: int = 0

    def load(self, bundle: Path, networks: Path) -> AnyPredictor:
        """Load a bundle and check it on the example.

        Args:
            bundle: folder of the models.
            networks: folder for the exported networks, which are made once.

        Raises:
            ValueError: a model is invalid, or the example is predicted otherwise.
            OSError: a file is missing, or the machine hinders it, see ``may_pass``.
        """
        device = select_device("cpu" if self.engine == "openvino" else self.device)
        predictor = load_bundle(bundle, device)
        example = Example.of(predictor)
        if self.engine == "openvino":
            with alone(networks):
                if not networks.is_dir():
                    export_apart(bundle, networks)
            if isinstance(predictor, AlignmentPredictor):
                predictor = load_networks(predictor, networks, self.threads)
            else:
                predictor = load_pipeline(predictor, networks, self.threads)
        example.check(predictor)
        return predictor


def read_cards(bundle: Path) -> tuple[str, ...]:
    """The cards in a folder of models as Markdown; older versions and plain folders have none."""
    files = [bundle / name for name in (MODEL_CARD, DATA_CARD)]
    return tuple(f.read_text(encoding="utf-8", errors="replace") for f in files if f.is_file())


@dataclass
class Follower:
    """Keeps ``champion`` equal to what an alias of the registry names.

    Attributes:
        model: what is followed.
        root: folder that the registry is found from.
        state: folder for local copies.
        loader: of the models.
        seconds: between two questions to the registry.
        fallback: folder of models that serve if the registry answers that it has no version, and no
            version is in use; None for none.
    """

    model: FollowedModel
    root: Path
    state: Path
    loader: Loader
    seconds: float = 10.0
    fallback: Path | None = None
    champion: Champion = field(default_factory=Champion)

    def __post_init__(self) -> None:
        self._wake, self._stopped = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="champion", daemon=True)
        self._refusal = ""  # why the rejected version stays out

    def start(self) -> None:
        """Load the last good version from the state folder, then follow in a thread."""
        self._thread.start()

    def wake(self) -> None:
        """Ask the registry now."""
        self._wake.set()

    def stop(self) -> None:
        """Stop following. The thread is a daemon: the process does not wait for a load that runs."""
        self._stopped.set()
        self._wake.set()

    def _run(self) -> None:
        self._guard(self._restore)
        while not self._stopped.is_set():
            self._guard(self.follow_once)
            self._wake.wait(self.seconds)
            self._wake.clear()

    def _guard(self, work: Callable[[], None]) -> None:
        """Do a part of the work; a failure is logged, and told in ``champion``, and stops nothing."""
        try:
            work()
        except Exception as error:
            failure = failure_line(error)
            self._tell(failure, registry_answers=not isinstance(error, ServiceError))
            log.warning("%s", failure, exc_info=not isinstance(error, ValueError | OSError))

    def _tell(self, failure: str, *, registry_answers: bool = True) -> None:
        """Say in ``champion`` what fails now; an empty line says that what failed is over."""
        self.champion = replace(self.champion, failure=failure, registry_answers=registry_answers)

    def _restore(self) -> None:
        """Load the version that was in use before a restart, if it is still in the state folder."""
        record = self.state / CURRENT
        if record.is_file():
            last = json.loads(record.read_text(encoding="utf-8"))
            if last["name"] == self.model.name:
                self._use(self._load(int(last["version"])))

    def _use_fallback(self, folder: Path) -> None:
        """Serve a folder of models."""
        self.champion = Champion(serve_folder(folder, self.state, self.loader))
        log.info("%s serves until the registry has a version", folder)

    def follow_once(self) -> None:
        """Ask the registry which version is champion, and switch to it if it is another.

        Raises:
            ServiceError: the registry or its store of artifacts does not answer.
            ValueError: the registry has no such version, or the version fails and stays out.
            OSError: the machine hinders it, as a full disk does; the next look tries it again.
        """
        try:
            number = self.model.number(self.root)
        except ValueError:  # it answers: there is none
            served = self.champion.served
            if self.fallback is None or (served is not None and served.version != NO_VERSION):
                raise
            if served is None:
                self._use_fallback(self.fallback)
            self._tell("")
            return
        if self.champion.rejected == number:
            self._tell(self._refusal)
            return
        self.champion = replace(self.champion, rejected=0)
        if self.champion.served is None or self.champion.served.version != number:
            self._use(self._obtain(number))
        self._tell("")

    def _obtain(self, number: int) -> Served:
        """Fetch a version, if it is not in the state folder, and load it.

        Raises:
            ServiceError, ValueError, OSError: as ``follow_once``.
        """
        folder, is_there = self._folder(number), False
        try:
            with alone(folder):
                if not folder.is_dir():
                    self._fetch(number, folder)
            is_there = True
            return self._load(number)
        except Exception as error:
            if may_pass(error) or (is_there and not folder.is_dir()):  # another service deleted it
                raise
            refused = ValueError(f"{self.model.name} version {number} stays out: {error}")
            self._refusal = failure_line(refused)
            self.champion = replace(
                self.champion, failure=self._refusal, registry_answers=True, rejected=number
            )
            delete(folder, folder / NETWORKS)
            raise refused from error

    def _fetch(self, number: int, folder: Path) -> None:
        """Copy a version into the state folder."""
        with publish(folder) as fresh:
            bundle = fetch_version(self.model.name, number, fresh)
            (fresh / BUNDLE).write_text(json.dumps({"bundle": bundle.as_posix()}), encoding="utf-8")

    def _folder(self, number: int) -> Path:
        return self.state / f"{self.model.name}-{number}"

    def _load(self, number: int) -> Served:
        """Load a version of the state folder."""
        start, folder = time.monotonic(), self._folder(number)
        relative = json.loads((folder / BUNDLE).read_text(encoding="utf-8"))["bundle"]
        predictor = self.loader.load(folder / relative, folder / NETWORKS)
        cards = read_cards(folder / relative)
        log.info("%s version %d: loaded in %.1f s", self.model.name, number, time.monotonic() - start)
        return Served(self.model.name, number, predictor, self.loader.engine, cards)

    def _use(self, served: Served) -> None:
        """Use a version from the next batch on, and note it for a restart.

        What fails after the switch is logged only: the version is good.
        """
        self.champion = Champion(served, switches=self.champion.switches + 1)
        log.info("%s version %d is in use", served.name, served.version)
        record = json.dumps({"name": served.name, "version": served.version})
        try:
            write_whole(self.state / CURRENT, record.encode())
            self._forget(served.version)
        except OSError as error:
            log.warning("%s version %d: %s", served.name, served.version, failure_line(error))

    def _forget(self, number: int) -> None:
        """Delete the local copies of all versions but the newest two that were in use."""
        prefix = f"{self.model.name}-"
        others = [
            path
            for path in self.state.glob(f"{prefix}*")
            if path.name.removeprefix(prefix).isdecimal() and path != self._folder(number)
        ]
        for path in sorted(others, key=lambda p: p.stat().st_mtime)[:-1]:
            delete(path, path / NETWORKS)


def serve_folder(folder: Path, state: Path, loader: Loader) -> Served:
    """Load a folder of models that is in no registry; its networks are exported into ``state`` once.

    Raises:
        OSError: a model is missing.
        ValueError: a model is invalid, or the engine does not give what torch gives.
    """
    networks = state / f"folder-{folder_digest(folder)[:16]}-{NETWORKS}"
    return Served(
        "folder", NO_VERSION, loader.load(folder, networks), loader.engine, read_cards(folder)
    )


@dataclass
class FixedFolder:
    """A folder of models in place of a registry: loaded once, never changed."""

    folder: Path
    state: Path
    loader: Loader
    champion: Champion = field(default_factory=Champion)

    def start(self) -> None:
        """Load the folder, unless that was done.

        Raises:
            OSError: a model is missing.
            ValueError: a model is invalid, or the engine does not give what torch gives.
        """
        if self.champion.served is None:
            self.champion = Champion(serve_folder(self.folder, self.state, self.loader))

    def wake(self) -> None:
        """Do nothing: a folder does not change."""

    def stop(self) -> None:
        """Do nothing."""
