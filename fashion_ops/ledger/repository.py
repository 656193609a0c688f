"""The DVC repository behind the ledger: its lock, its stages, what ``dvc.lock`` says.

``Repo`` is not DVC's documented API, so this package is the only place that touches it.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dvc.exceptions import NotDvcRepoError
from dvc.repo import Repo
from dvc.stage import PipelineStage
from networkx import descendants

from fashion_ops.ledger.lockfile import LockEntry, read_entries
from fashion_ops.ledger.stages import LedgerError, name_of


class Repository:
    """The DVC repository at ``root``, which may differ from the working directory.

    Attributes:
        dvc: DVC's own object; use it within ``locked`` only.
        defined: the stages of ``dvc.yaml`` by name, as they were when the lock was last taken.
    """

    dvc: Repo

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        logging.getLogger("dvc").setLevel(logging.WARNING)  # else a line on stdout for each commit
        self.open()
        self._definition: tuple[bytes, ...] = ()
        self.defined: dict[str, PipelineStage] = {}

    def open(self) -> None:
        """Read DVC's settings anew.

        Raises:
            LedgerError: ``root`` is no DVC repository.
        """
        try:
            self.dvc = Repo(str(self.root), _wait_for_lock=True)
        except NotDvcRepoError as error:
            raise LedgerError(
                f"{self.root}: no DVC repository, so nothing made here can be recorded; "
                "work in a clone of this project"
            ) from error

    @property
    def lock_file(self) -> Path:
        return self.root / "dvc.lock"

    def entries(self) -> dict[str, LockEntry]:
        """All entries of ``dvc.lock``, by stage name; read anew each time."""
        return read_entries(self.lock_file)

    def cached(self, md5: str) -> Path:
        """Where the cache keeps the object of this name."""
        return Path(self.dvc.cache.local.oid_to_path(md5))

    def load(self, stage: str) -> PipelineStage:
        """One stage, as it was when the lock was last taken.

        Raises:
            LedgerError: there is none of this name.
        """
        if stage not in self.defined:
            raise LedgerError(f"{self.root / 'dvc.yaml'}: no stage {stage!r}")
        return self.defined[stage]

    def making_of(self, last: str | None) -> set[str]:
        """Names of a stage and of all that it is made from; of all stages if None."""
        if last is None:
            return set(self.defined)
        graph = self.dvc.index.graph  # edges point from a stage to what it depends on
        return {last} | {name_of(s) for s in descendants(graph, self.load(last))}

    @contextmanager
    def locked(self, read_lock: bool = False) -> Iterator[None]:
        """Hold DVC's lock, with the stages as ``dvc.yaml`` and ``params.yaml`` define them now.

        Parsing them takes DVC a good part of a second, so it is done again only after a change; what
        stages remember of ``dvc.lock`` is up to date only with ``read_lock``.
        """
        with self.dvc.lock:
            self.dvc._lock_depth += 1  # DVC's own functions then neither lock nor parse again
            try:
                files = (self.root / "dvc.yaml", self.root / "params.yaml")
                definition = tuple(file.read_bytes() if file.is_file() else b"" for file in files)
                if read_lock or definition != self._definition:
                    self.dvc._reset()
                    stages = self.dvc.index.stages
                    self.defined = {str(s.name): s for s in stages if isinstance(s, PipelineStage)}
                    self._definition = definition
                yield
            finally:
                self.dvc._lock_depth -= 1
