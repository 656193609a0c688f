"""The ledger: ``dvc.lock``, the only record of what was made from what.

A driver that ran a stage itself (Dagster) writes the stage's entry here, so that ``dvc status`` is
clean and ``dvc repro`` skips it; it asks here what is stale. DVC is touched nowhere else: ``Repo`` is
not its documented API, so the surface used is kept small and in one file. Stages are named as in
DVC: ``ingest``, ``finetune@skirt``.
"""

import logging
import time
from collections.abc import Iterator
from contextlib import chdir, contextmanager, suppress
from pathlib import Path
from typing import Any

from dvc.dependency import ParamsDependency
from dvc.exceptions import CheckoutError, DvcException
from dvc.repo import Repo
from dvc.stage import PipelineStage
from dvc.stage.serialize import to_single_stage_lockfile
from networkx import descendants, topological_sort

from fashion_ops.cache import damaged_objects, remove_leftovers
from fashion_ops.lockfile import LockEntry, Snapshot, digest, is_code, plain, read_entries, write_entry


class LedgerError(RuntimeError):
    """A stage can't be recorded; the message says which and why."""


class InputsChanged(LedgerError):
    """What a stage reads changed while it ran: its output belongs to no known input."""


class Ledger:
    """The DVC repository at ``root``, which may differ from the working directory."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        logging.getLogger("dvc").setLevel(logging.WARNING)  # else a line on stdout for each commit
        self._repo = Repo(str(self.root), _wait_for_lock=True)
        self._definition: tuple[bytes, ...] = ()
        self._stages: dict[str, PipelineStage] = {}

    @property
    def lock_file(self) -> Path:
        return self.root / "dvc.lock"

    def entries(self) -> dict[str, LockEntry]:
        """All entries of ``dvc.lock``, by stage name; read anew each time."""
        return read_entries(self.lock_file)

    def entry(self, stage: str) -> LockEntry | None:
        """The entry of one stage, or None if it was never recorded."""
        return self.entries().get(stage)

    def digest(self) -> str:
        """One hash over all entries, whatever their order in the file."""
        return digest({name: entry.fingerprint for name, entry in self.entries().items()})

    def verify(self, last: str | None = None) -> None:
        """Make sure that the outputs on disk are one story: all recorded, each made from the others.

        Args:
            last: only this stage and what it is made from.

        Raises:
            LedgerError: names the first stages for which it is not so.
        """
        entries = self.entries()
        made = {path: md5 for entry in entries.values() for path, md5 in entry.outs.items()}
        wrong = []
        with self._locked():
            wanted = self._making_of(last)
            for name, stage in ((n, s) for n, s in self._stages.items() if n in wanted):
                if name not in entries or not _outputs_are(stage, entries[name]):
                    wrong.append(f"{name}: its output is not the recorded one")
                elif any(made.get(path, md5) != md5 for path, md5 in entries[name].deps.items()):
                    wrong.append(f"{name}: made from another version of its inputs")
        if wrong:
            more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
            raise LedgerError(f"{self.lock_file}: {'; '.join(wrong[:5])}{more}. Run `dvc repro` first.")

    def stages(self) -> list[str]:
        """All stages of ``dvc.yaml``, one a category where a step has 13, in its order."""
        with self._locked():
            return list(self._stages)

    def graph_edges(self) -> set[tuple[str, str]]:
        """(upstream, downstream) pairs of stages, as DVC derives them from outputs and inputs."""
        with self._locked():
            edges = self._repo.index.graph.edges
            return {(_name(up), _name(down)) for down, up in edges if isinstance(up, PipelineStage)}

    def stale(self) -> dict[str, list[str]]:
        """Stages that ``dvc repro`` would remake, each with its reasons, in order of execution.

        A stage is also stale when something it depends on is.
        """
        reasons: dict[str, list[str]] = {}
        with self._locked(read_lock=True):
            graph = self._repo.index.graph  # edges point from a stage to what it depends on
            for stage in reversed(list(topological_sort(graph))):
                changes = [change for changes in stage.status().values() for change in changes]
                ups = [_name(up) for up in graph.successors(stage) if _name(up) in reasons]
                why = [_reason(change) for change in changes] + [f"{up} is stale" for up in ups]
                if why:
                    reasons[_name(stage)] = why
        return reasons

    def changes(self, last: str | None = None) -> dict[str, list[str]]:
        """What ``dvc status`` says, by stage or .dvc file; nothing means clean.

        Args:
            last: leave out stages that it is not made from.
        """
        with self._locked(read_lock=True), chdir(self.root):  # else names are paths from elsewhere
            apart = set(self._stages) - self._making_of(last)
            found = {name: why for name, why in self._repo.status().items() if name not in apart}
            return {name: [_reason(c) for c in why] for name, why in found.items()}

    def fill_from(self, other: "Ledger") -> None:
        """Put the outputs that ``dvc.lock`` names into place, by the cache and remotes of another.

        What that cache lacks is fetched from the default remote, where there is one. Cache and
        remotes of the other are set here from now on, as local settings that git ignores.

        Raises:
            LedgerError: an output is in neither; names it.
        """
        theirs = other._repo
        config: Any
        with self._repo.config.edit("local") as config:  # paths in theirs are absolute by now
            config["cache"] = {**theirs.config["cache"], "dir": str(theirs.cache.local_cache_dir)}
            config["remote"] = {name: dict(remote) for name, remote in theirs.config["remote"].items()}
            config["core"] = dict(theirs.config["core"])
        self._repo = Repo(str(self.root), _wait_for_lock=True)
        try:
            try:
                self._repo.checkout(force=True)
            except CheckoutError:
                if not self._repo.config["core"].get("remote"):
                    raise
                self._repo.fetch()
                self._repo.checkout(force=True)
        except DvcException as error:
            raise LedgerError(
                f"{self.root}: not all data could be brought back: {error}. They are neither in the "
                f"cache {theirs.cache.local_cache_dir} nor in a default remote (`dvc remote default`)"
            ) from error

    def is_current(self, stage: str) -> bool:
        """Whether this stage's recorded inputs, parameters, code and outputs are what is there now.

        Unlike ``stale`` it does not look further up: ask in order of execution.
        """
        entry = self.entry(stage)
        if entry is None:
            return False
        with self._locked():
            loaded = self._load(stage)
            try:
                now = _snapshot(loaded, loaded.deps)
            except LedgerError:
                return False
            return not entry.differences(now) and _outputs_are(loaded, entry)

    def before(self, stage: str) -> Snapshot:
        """What ``stage`` would read now; take it before reading anything, give it to ``commit``.

        Raises:
            LedgerError: an input is missing or the stage is unknown.
        """
        with self._locked():
            loaded = self._load(stage)
            return _snapshot(loaded, loaded.deps)

    def code_versions(self) -> dict[str, str]:
        """Hash of command, parameters and source files as they are now, by step."""
        versions: dict[str, str] = {}
        with self._locked():
            for name, stage in self._stages.items():
                step = name.partition("@")[0]
                if step not in versions:
                    deps = [
                        d for d in stage.deps if is_code(d.def_path) or isinstance(d, ParamsDependency)
                    ]
                    versions[step] = _snapshot(stage, [d for d in deps if d.exists]).code_version
        return versions

    def commit(self, stage: str, snapshot: Snapshot) -> LockEntry:
        """Record that ``stage`` was just made from ``snapshot``, and cache its outputs.

        Raises:
            InputsChanged: an input or parameter is no longer what it was; nothing is recorded.
            LedgerError: an output is missing or the stage is unknown.
        """
        with self._locked():
            loaded = self._load(stage)
            if changed := snapshot.differences(_snapshot(loaded, loaded.deps)):
                raise InputsChanged(
                    f"{stage}: changed while the step ran: {', '.join(changed)}; its output is not "
                    "recorded. Run the step again."
                )
            begun = time.time()
            try:  # Stage.save() in parts: it would hash the inputs a second time, unguarded
                loaded.save_outs()
                loaded.md5 = loaded.compute_md5()
                with chdir(self.root):  # the run cache resolves paths against the working directory
                    self._repo.stage_cache.save(loaded)
                loaded.commit()
                entry = to_single_stage_lockfile(loaded)
                write_entry(self.lock_file, stage, entry, list(self._stages))
            except (DvcException, OSError) as error:
                remove_leftovers(Path(self._repo.cache.local.path), begun)
                raise LedgerError(f"{stage}: can't be recorded: {error}") from error
        return self.entries()[stage]

    def add(self, path: Path) -> None:
        """Version a file or folder that no stage makes: ``dvc add``.

        Raises:
            LedgerError: DVC can't.
        """
        with self._locked():
            try:
                with chdir(self.root):
                    self._repo.add(str(path.resolve().relative_to(self.root)))  # type: ignore[arg-type]
            except DvcException as error:
                raise LedgerError(f"{path}: can't be versioned: {error}") from error
            self._definition = ()  # there is one more stage

    def input_md5(self, stage: str, path: str) -> str:
        """The hash of one input of a stage, as it is now."""
        with self._locked():
            [source] = [dep for dep in self._load(stage).deps if dep.def_path == path]
            return _snapshot(self._load(stage), [source]).deps[path]

    def damaged(self) -> dict[str, list[str]]:
        """Files of recorded outputs whose cached copy is not what its name says, by stage.

        DVC trusts its cache; here every byte of it is read. What is not in the cache is no damage.
        """
        return damaged_objects(self.entries().values(), self._cached)

    def mend(self) -> dict[str, list[str]]:
        """Replace damaged cached files from the workspace or the default remote; returns which.

        What neither has is removed: its stage is stale where the output is not in place, and is made
        again by the next run.
        """
        entries = self.entries()
        if not (found := damaged_objects(entries.values(), self._cached, remove=True)):
            return found
        with self._locked(read_lock=True):
            for name in found:
                if _outputs_are(self._load(name), entries[name]):
                    self._load(name).commit()
                elif self._repo.config["core"].get("remote"):
                    with suppress(Exception), chdir(self.root):  # what does not come is made again
                        self._repo.fetch(name)
        return found

    def push(self) -> int:
        """Copy what ``dvc.lock`` names to DVC's default remote, where there is one; returns how much.

        Raises:
            LedgerError: a cached file is damaged, or not all of them arrived.
        """
        if not self._repo.config["core"].get("remote"):
            return 0
        if bad := self.damaged():
            named = "; ".join(f"{stage}: {', '.join(files)}" for stage, files in bad.items())
            raise LedgerError(
                f"{self.root}: damaged in DVC's cache: {named}. Run `fashion-ops check-cache`"
            )
        with self._locked(read_lock=True):
            try:
                return self._repo.push()
            except Exception as error:  # whatever a store may answer
                raise LedgerError(
                    f"{self.root}: not all data arrived at the default remote: {error}. "
                    "What did stays; run the step again"
                ) from error

    def _cached(self, md5: str) -> Path:
        """Where the cache keeps the object of this name."""
        return Path(self._repo.cache.local.oid_to_path(md5))

    def _making_of(self, last: str | None) -> set[str]:
        """Names of a stage and of all that it is made from; of all stages if None."""
        if last is None:
            return set(self._stages)
        graph = self._repo.index.graph  # edges point from a stage to what it depends on
        return {last} | {stage.name for stage in descendants(graph, self._load(last))}

    def _load(self, stage: str) -> PipelineStage:
        if stage not in self._stages:
            raise LedgerError(f"{self.root / 'dvc.yaml'}: no stage {stage!r}")
        return self._stages[stage]

    @contextmanager
    def _locked(self, read_lock: bool = False) -> Iterator[None]:
        """Hold DVC's lock, with the stages as ``dvc.yaml`` and ``params.yaml`` define them now.

        Parsing them takes DVC a good part of a second, so it is done again only after a change; what
        stages remember of ``dvc.lock`` is up to date only with ``read_lock``.
        """
        with self._repo.lock:
            self._repo._lock_depth += 1  # DVC's own functions then neither lock nor parse again
            try:
                files = (self.root / "dvc.yaml", self.root / "params.yaml")
                definition = tuple(file.read_bytes() if file.is_file() else b"" for file in files)
                if read_lock or definition != self._definition:
                    self._repo._reset()
                    stages = self._repo.index.stages
                    self._stages = {str(s.name): s for s in stages if isinstance(s, PipelineStage)}
                    self._definition = definition
                yield
            finally:
                self._repo._lock_depth -= 1


def _snapshot(stage: PipelineStage, sources: list[Any]) -> Snapshot:
    """Hash these dependencies of a stage now."""
    params, deps = {}, {}
    for source in sources:
        try:
            source.save()
        except DvcException as error:
            raise LedgerError(f"{stage.name}: an input is missing: {error}") from error
        if isinstance(source, ParamsDependency):
            params |= plain(source.hash_info.value or {})
        else:
            deps[source.def_path] = str(source.hash_info.value)
    return Snapshot(str(stage.name), str(stage.cmd), deps, params)


def _outputs_are(stage: PipelineStage, entry: LockEntry) -> bool:
    """Whether the outputs on disk are the recorded ones."""
    return all(
        out.exists and str(out.get_hash().value) == entry.outs.get(out.def_path) for out in stage.outs
    )


def _name(stage: Any) -> str:
    """A stage's name; of a versioned input the path of its .dvc file."""
    return str(stage.name) if isinstance(stage, PipelineStage) else str(stage.addressing)


def _reason(change: Any) -> str:
    """One entry of ``dvc status --json`` in words: 'changed deps: data/raw (modified)'."""
    if isinstance(change, str):
        return change
    return "; ".join(
        f"{kind}: " + ", ".join(f"{path} ({_what(what)})" for path, what in paths.items())
        for kind, paths in change.items()
    )


def _what(what: Any) -> str:
    return (
        ", ".join(f"{key} {value}" for key, value in what.items()) if isinstance(what, dict) else what
    )
