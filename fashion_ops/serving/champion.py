"""The models in use, and the thread that follows the registry's champion.

A new version is copied into the state folder, loaded beside the old one, and checked: the networks that
will serve must find in the photos of ``inference.example`` what the version finds in torch. Then it is
in use from the next batch on. A version that fails stays out and is named in ``/ready``; it is tried
again after a restart, or when the alias has named another one meanwhile. The state folder survives a
restart, so a dead registry stops nothing.
"""

import json
import logging
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout

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
from fashion_ops.serving.exporting import export_apart

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
        rejected: number of the version that failed; 0 for none.
        switches: how often other models came into use.
    """

    served: Served | None = None
    failure: str = ""
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
            OSError: a file is missing.
        """
        device = select_device("cpu" if self.engine == "openvino" else self.device)
        predictor = load_bundle(bundle, device)
        example = Example.of(predictor)
        if self.engine == "openvino":
            with _alone(networks):
                if not networks.is_dir():
                    export_apart(bundle, networks)
            if isinstance(predictor, AlignmentPredictor):
                predictor = load_networks(predictor, networks, self.threads)
            else:
                predictor = load_pipeline(predictor, networks, self.threads)
        example.check(predictor)
        return predictor


@contextmanager
def _alone(folder: Path, minutes: float = 30) -> Iterator[None]:
    """Of the services with the same state folder, be the only one that makes ``folder``.

    Raises:
        TimeoutError: another one has not made it in this time.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder.with_name(f".{folder.name}.lock"))
    try:
        lock.acquire(timeout=0.1)
    except Timeout:
        log.info("%s: another service makes it; waiting for %g minutes at most", folder, minutes)
        try:
            lock.acquire(timeout=60 * minutes)
        except Timeout as error:
            raise TimeoutError(
                f"{folder}: another service has not made it in {minutes:g} minutes; restart that one, "
                "or name another state folder"
            ) from error
    try:
        yield
    finally:
        lock.release()


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
            self.champion = replace(self.champion, failure=failure)
            log.warning("%s", failure, exc_info=not isinstance(error, ValueError | OSError))

    def _restore(self) -> None:
        """Load the version that was in use before a restart, if it is still in the state folder."""
        record = self.state / CURRENT
        if record.is_file():
            last = json.loads(record.read_text(encoding="utf-8"))
            if last["name"] == self.model.name:
                self._use(int(last["version"]))

    def _use_fallback(self, folder: Path) -> None:
        """Serve a folder of models."""
        self.champion = Champion(serve_folder(folder, self.state, self.loader))
        log.info("%s serves until the registry has a version", folder)

    def follow_once(self) -> None:
        """Ask the registry which version is champion, and switch to it if it is another.

        Raises:
            Exception: the registry does not answer, or the version fails.
        """
        try:
            number = self.model.number(self.root)
        except ValueError:  # it answers: there is none
            served = self.champion.served
            if self.fallback is None or (served is not None and served.version != NO_VERSION):
                raise
            if served is None:
                self._use_fallback(self.fallback)
            return
        champion = self.champion
        if champion.served is not None and champion.served.version == number:
            self.champion = replace(champion, failure="", rejected=0)
            return
        if champion.rejected == number:
            return
        folder = self._folder(number)
        with _alone(folder):
            if not folder.is_dir():
                self._fetch(number, folder)
        try:
            self._use(number)
        except Exception as error:
            shutil.rmtree(folder, ignore_errors=True)
            refused = ValueError(f"{self.model.name} version {number} stays out: {error}")
            self.champion = replace(champion, failure=failure_line(refused), rejected=number)
            raise refused from error

    def _fetch(self, number: int, folder: Path) -> None:
        """Copy a version into the state folder."""
        with publish(folder) as fresh:
            bundle = fetch_version(self.model.name, number, fresh)
            (fresh / BUNDLE).write_text(json.dumps({"bundle": bundle.as_posix()}), encoding="utf-8")

    def _folder(self, number: int) -> Path:
        return self.state / f"{self.model.name}-{number}"

    def _use(self, number: int) -> None:
        """Load a version of the state folder, and use it from the next batch on."""
        start, folder = time.monotonic(), self._folder(number)
        relative = json.loads((folder / BUNDLE).read_text(encoding="utf-8"))["bundle"]
        predictor = self.loader.load(folder / relative, folder / NETWORKS)
        cards = read_cards(folder / relative)
        served = Served(self.model.name, number, predictor, self.loader.engine, cards)
        self.champion = Champion(served, switches=self.champion.switches + 1)
        record = json.dumps({"name": self.model.name, "version": number})
        write_whole(self.state / CURRENT, record.encode())
        seconds = time.monotonic() - start
        log.info("%s version %d is in use, loaded in %.1f s", self.model.name, number, seconds)
        self._forget(number)

    def _forget(self, number: int) -> None:
        """Delete the local copies of all versions but the newest two that were in use."""
        prefix = f"{self.model.name}-"
        others = [
            path
            for path in self.state.glob(f"{prefix}*")
            if path.name.removeprefix(prefix).isdecimal() and path != self._folder(number)
        ]
        for path in sorted(others, key=lambda p: p.stat().st_mtime)[:-1]:
            shutil.rmtree(path, ignore_errors=True)


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
