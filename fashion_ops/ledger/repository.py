"""The DVC repository behind the ledger: its lock, its stages, and what ``dvc.lock`` says.

``Repo`` is not DVC's documented API, so only this package touches it.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from dvc.dependency import ParamsDependency
from dvc.exceptions import DvcException, NotDvcRepoError
from dvc.repo import Repo
from dvc.stage import PipelineStage
from networkx import descendants

from fashion_ops.ledger import objects
from fashion_ops.ledger.lockfile import (
    LedgerError,
    LockEntry,
    Snapshot,
    check_merged,
    plain,
    read_entries,
)
from fashion_ops.ledger.site_cache import ERRORS, cause, make_private
from fashion_ops.services import (
    Service,
    await_answer,
    listens,
    speaks_http,
    split_host,
    without_credentials,
)
from fashion_ops.services.s3 import s3_service

SSH_PORT = 22


class Repository:
    """The DVC repository at ``root``, which may differ from the working directory.

    Attributes:
        dvc: DVC's ``Repo``; use it only within ``locked``.
        defined: the stages of ``dvc.yaml`` by name, as they were when the lock was last taken.
    """

    dvc: Repo

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        logging.getLogger("dvc").setLevel(logging.WARNING)  # else DVC prints a line for each commit
        self.open()
        self._definition: tuple[bytes, ...] = ()
        self.defined: dict[str, PipelineStage] = {}

    def open(self) -> None:
        """Open DVC's ``Repo``; called again, it reads changed settings.

        Raises:
            LedgerError: ``root`` is not a DVC repository, or cannot be written to.
        """
        try:
            if (self.root / Repo.DVC_DIR).is_dir():
                make_private(self.root)
            self.dvc = Repo(str(self.root), _wait_for_lock=True)
        except NotDvcRepoError as error:
            raise LedgerError(
                f"{self.root}: no DVC repository, so nothing made here can be recorded; "
                "work in a clone of this project, or make one with `git init` and `dvc init`"
            ) from error
        except (OSError, *ERRORS) as error:
            why = cause(error, self.root)
            raise LedgerError(f"{self.root}: DVC cannot keep its state: {why}") from error

    def explain(self, error: Exception) -> str:
        """Why DVC failed; its databases are closed first, as a write that failed would stay open."""
        if isinstance(error, ERRORS):
            self.dvc.state.close()
        return cause(error, self.root)

    @property
    def lock_file(self) -> Path:
        """Path of ``dvc.lock``, which may not exist yet."""
        return self.root / "dvc.lock"

    @property
    def has_remote(self) -> bool:
        """Whether DVC has a default remote."""
        return bool(self.dvc.config["core"].get("remote"))

    def await_remote(self) -> None:
        """Ask the default remote, if there is one, whether it answers; see ``services``.

        Remotes that are folders or of other clouds than S3 are not asked.

        Raises:
            ServiceError: it does not answer.
        """
        if not self.has_remote:
            return
        name = self.dvc.config["core"]["remote"]
        settings: dict[str, Any] = self.dvc.config["remote"].get(name, {})
        url = str(settings.get("url", ""))
        whose, scheme = f"DVC's remote {name!r}", url.partition(":")[0]
        if scheme == "s3":
            places = (settings.get(key) for key in ("endpointurl", "region", "profile"))
            await_answer(*s3_service(whose, *places))
        elif scheme in ("http", "https", "ssh"):
            remedy = "start it, or correct its address by `dvc remote modify`"
            service = Service(whose, without_credentials(url), remedy)
            probe = listens(*split_host(url, SSH_PORT)) if scheme == "ssh" else speaks_http(url)
            await_answer(service, probe)

    def entries(self) -> dict[str, LockEntry]:
        """All entries of ``dvc.lock`` by stage name, as the file is now."""
        return read_entries(self.lock_file)

    def recorded(self) -> dict[str, dict[str, str]]:
        """The md5 of each file and folder in the cache by path, for each stage and .dvc file."""
        outs = {name: dict(entry.outs) for name, entry in self.entries().items()}
        with self.locked(read_lock=True):
            for stage in self.dvc.index.stages:
                if not isinstance(stage, PipelineStage):
                    outs[os.path.relpath(stage.path, self.root)] = {
                        os.path.relpath(out.fs_path, self.root): str(out.hash_info.value)
                        for out in stage.outs
                        if out.hash_info
                    }
        return outs

    @property
    def store(self) -> Path:
        """The folder with the objects of the cache."""
        return Path(self.dvc.cache.local.path)

    def cached(self, md5: str) -> Path:
        """Path of an object in the cache, by its md5 (with ``.dir`` for a folder)."""
        return objects.path_of(self.store, md5)

    def load(self, stage: str) -> PipelineStage:
        """One stage, as it was when the lock was last taken.

        Raises:
            LedgerError: there is no stage of this name.
        """
        if stage not in self.defined:
            raise LedgerError(f"{self.root / 'dvc.yaml'}: no stage {stage!r}")
        return self.defined[stage]

    def with_upstream(self, target: str | None) -> set[str]:
        """Names of the stage ``target`` and of all stages that it depends on; of all stages if None."""
        if target is None:
            return set(self.defined)
        graph = self.dvc.index.graph  # edges point from a stage to what it depends on
        return {target} | {name_of(stage) for stage in descendants(graph, self.load(target))}

    @contextmanager
    def locked(self, read_lock: bool = False) -> Iterator[None]:
        """Hold DVC's lock, with the stages as ``dvc.yaml`` and ``params.yaml`` define them now.

        DVC takes a good part of a second to parse these files, so they are parsed again only after a
        change.

        Args:
            read_lock: parse in any case, so that the stages also know what ``dvc.lock`` says now.

        Raises:
            LedgerError: one of the three files is broken; the message names it.
        """
        with self.dvc.lock:
            self.dvc._lock_depth += 1  # keeps DVC's functions from locking and parsing again
            try:
                files = (self.root / "dvc.yaml", self.root / "params.yaml")
                definition = tuple(file.read_bytes() if file.is_file() else b"" for file in files)
                if read_lock or definition != self._definition:
                    self._definition = ()
                    self.defined = self._parse(files)
                    self._definition = definition
                yield
            except ERRORS as error:
                why = self.explain(error)
                raise LedgerError(f"{self.root}: DVC cannot keep its state: {why}") from error
            finally:
                self.dvc._lock_depth -= 1

    def _parse(self, files: tuple[Path, ...]) -> dict[str, PipelineStage]:
        """The stages by name, parsed from ``files`` and ``dvc.lock``.

        Raises:
            LedgerError: one of the files is broken.
        """
        for file in (*files, self.lock_file):
            check_merged(file)
        try:
            self.dvc._reset()
            stages = self.dvc.index.stages
            self.dvc.index.check_graph()
        except DvcException as error:
            causes: list[Exception] = [error]
            while isinstance(causes[-1].__cause__, Exception):
                causes.append(causes[-1].__cause__)
            cause = ": ".join(dict.fromkeys(" ".join(str(e).split()) for e in causes))
            missing = [str(file) for file in files if not file.is_file()]
            cause = f"{missing[0]} is missing ({cause})" if missing else cause
            raise LedgerError(
                f"{self.root}: the pipeline can't be read: {cause}; correct the file, or take it back "
                "with `git checkout dvc.yaml`"
            ) from error
        return {str(s.name): s for s in stages if isinstance(s, PipelineStage)}


def snapshot_of(stage: PipelineStage, dependencies: list[Any]) -> Snapshot:
    """Hash dependencies of a stage as they are now.

    Args:
        stage: the stage.
        dependencies: those of ``stage.deps`` to hash.

    Raises:
        LedgerError: an input is missing.
    """
    params, deps = {}, {}
    for dependency in dependencies:
        try:
            dependency.save()
        except DvcException as error:
            raise LedgerError(f"{stage.name}: an input is missing: {error}") from error
        if isinstance(dependency, ParamsDependency):
            params |= plain(dependency.hash_info.value or {})
        else:
            deps[dependency.def_path] = str(dependency.hash_info.value)
    return Snapshot(str(stage.name), str(stage.cmd), deps, params)


def outputs_match(stage: PipelineStage, entry: LockEntry) -> bool:
    """Whether all outputs of a stage exist and have the content that its entry records."""
    return all(
        out.exists and str(out.get_hash().value) == entry.outs.get(out.def_path) for out in stage.outs
    )


def name_of(stage: Any) -> str:
    """Name of a stage; for a versioned input, the path of its .dvc file."""
    return str(stage.name) if isinstance(stage, PipelineStage) else str(stage.addressing)


def describe_change(change: Any) -> str:
    """Convert one entry of ``dvc status --json`` to text: ``changed deps: data/raw (modified)``."""
    if isinstance(change, str):
        return change
    return "; ".join(
        f"{kind}: "
        + ", ".join(f"{path} ({_describe_status(status)})" for path, status in paths.items())
        for kind, paths in change.items()
    )


def _describe_status(status: Any) -> str:
    """A status such as ``modified``, or ``key status, ...`` for the keys of a parameter file."""
    if not isinstance(status, dict):
        return status
    return ", ".join(f"{key} {value}" for key, value in status.items())
