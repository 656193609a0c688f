"""``Ledger``: records in ``dvc.lock`` what was made from what, and says what is stale."""

import time
from contextlib import chdir
from pathlib import Path

from dvc.dependency import ParamsDependency
from dvc.exceptions import DvcException
from dvc.stage import PipelineStage
from dvc.stage.serialize import to_single_stage_lockfile
from networkx import topological_sort

from fashion_ops.ledger.cache import check_out, keep_in_cache, remove_leftovers
from fashion_ops.ledger.lockfile import LockEntry, Snapshot, digest, is_code, write_entry
from fashion_ops.ledger.repository import (
    LedgerError,
    Repository,
    describe_change,
    name_of,
    outputs_match,
    snapshot_of,
)
from fashion_ops.ledger.site_cache import ERRORS


class InputsChanged(LedgerError):
    """An input of a stage changed while it ran, so its output belongs to no known input."""


class Ledger(Repository):
    """``dvc.lock`` of the repository at ``root``; stages have DVC's names: ``finetune@skirt``."""

    def entry(self, stage: str) -> LockEntry | None:
        """The entry of one stage; None if it was never recorded."""
        return self.entries().get(stage)

    def digest(self, target: str | None = None) -> str:
        """One hash of all entries, independent of their order in the file.

        Args:
            target: hash only the entries of this stage and of the stages that it depends on; None
                hashes all.
        """
        with self.locked():
            included = self.with_upstream(target)
        return digest({n: e.fingerprint for n, e in self.entries().items() if n in included})

    def verify(self, target: str | None = None) -> None:
        """Check that the outputs on disk are the recorded ones, and that they belong together.

        They do if each recorded input of a stage is the recorded output of the stage that makes it. The
        cache gets back what it lacks of them.

        Args:
            target: check only this stage and the stages that it depends on; None checks all.

        Raises:
            LedgerError: names the first stages that fail.
        """
        entries = self.entries()
        current = {path: md5 for entry in entries.values() for path, md5 in entry.outs.items()}
        for name, outs in self.recorded().items():
            for path, md5 in outs.items() if name not in entries else ():
                keep_in_cache(self, path, md5)  # a versioned input; ``changes`` says if that failed
        wrong = []
        with self.locked():
            included = self.with_upstream(target)
            for name, stage in ((n, s) for n, s in self.defined.items() if n in included):
                if name not in entries or not self._is_whole(stage, entries[name]):
                    wrong.append(f"{name}: its output is not the recorded one")
                elif any(current.get(path, md5) != md5 for path, md5 in entries[name].deps.items()):
                    wrong.append(f"{name}: made from another version of its inputs")
        if wrong:
            more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
            raise LedgerError(f"{self.lock_file}: {'; '.join(wrong[:5])}{more}. Run `dvc repro` first.")

    def stages(self) -> list[str]:
        """Names of all stages in the order of ``dvc.yaml``; a step with partitions has one for each."""
        with self.locked():
            return list(self.defined)

    def graph_edges(self) -> set[tuple[str, str]]:
        """(upstream, downstream) pairs of stages, as DVC derives them from outputs and inputs."""
        with self.locked():
            edges = self.dvc.index.graph.edges
            return {(name_of(up), name_of(down)) for down, up in edges if isinstance(up, PipelineStage)}

    def stale(self) -> dict[str, list[str]]:
        """Stages that ``dvc repro`` would run, each with its reasons, in order of execution.

        A stage is also stale when a stage that it depends on is.
        """
        stale: dict[str, list[str]] = {}
        with self.locked(read_lock=True):
            graph = self.dvc.index.graph  # edges point from a stage to what it depends on
            for stage in reversed(list(topological_sort(graph))):
                changes = [change for changes in stage.status().values() for change in changes]
                upstream = [name_of(up) for up in graph.successors(stage) if name_of(up) in stale]
                reasons = [describe_change(change) for change in changes]
                reasons += [f"{name} is stale" for name in upstream]
                if reasons:
                    stale[name_of(stage)] = reasons
        return stale

    def changes(self, target: str | None = None) -> dict[str, list[str]]:
        """What ``dvc status`` reports, by stage or .dvc file; empty means clean.

        Args:
            target: leave out the stages that this one does not depend on; None leaves out nothing.
        """
        with (
            self.locked(read_lock=True),
            chdir(self.root),
        ):  # names are relative to the working directory
            excluded = set(self.defined) - self.with_upstream(target)
            return {
                name: [describe_change(change) for change in changes]
                for name, changes in self.dvc.status().items()
                if name not in excluded
            }

    def is_current(self, stage: str) -> bool:
        """Whether the recorded inputs, parameters, code and outputs of a stage are those on disk.

        Unlike ``stale`` it ignores other stages: a stage may be current although one that it depends on
        is stale and about to give it another input.

        The cache gets back what it lacks of the outputs, so that DVC calls the stage current too.
        """
        entry = self.entry(stage)
        if entry is None:
            return False
        with self.locked():
            loaded = self.load(stage)
            return self._has_inputs(loaded, entry) and self._is_whole(loaded, entry)

    def make_current(self, stage: str) -> bool:
        """Whether a stage is current, once its outputs are back in the workspace.

        If only the outputs are missing or changed, and the cache or the default remote has the recorded
        ones, they are put into place, as ``dvc repro`` does. The content of every file is checked.

        Returns:
            Whether the stage is current now; if not, it must run.
        """
        if self.is_current(stage):
            return True
        entry = self.entry(stage)
        if entry is None:
            return False
        with self.locked(read_lock=True):
            loaded = self.load(stage)
            if not self._has_inputs(loaded, entry):
                return False
            return check_out(self, loaded, entry) and self._is_whole(loaded, entry)

    def _has_inputs(self, stage: PipelineStage, entry: LockEntry) -> bool:
        """Whether the inputs of a stage, its command and its parameters are those of the entry."""
        try:
            return not entry.differences(snapshot_of(stage, stage.deps))
        except LedgerError:
            return False

    def _is_whole(self, stage: PipelineStage, entry: LockEntry) -> bool:
        """Whether the outputs on disk are those of the entry, and the cache has them or gets them.

        Raises:
            LedgerError: the cache can't be written.
        """
        return outputs_match(stage, entry) and not [
            path for path, md5 in entry.outs.items() if not keep_in_cache(self, path, md5)
        ]

    def snapshot(self, stage: str) -> Snapshot:
        """Hash the inputs of a stage as they are now.

        Take the snapshot before the stage reads anything, and pass it to ``commit`` afterwards.

        Raises:
            LedgerError: an input is missing or the stage is unknown.
        """
        with self.locked():
            loaded = self.load(stage)
            return snapshot_of(loaded, loaded.deps)

    def code_versions(self) -> dict[str, str]:
        """``Snapshot.code_version`` of each step as it is now: a hash of all inputs but the data."""
        versions: dict[str, str] = {}
        with self.locked():
            for name, stage in self.defined.items():
                step = name.partition("@")[0]
                if step not in versions:
                    deps = [
                        d for d in stage.deps if is_code(d.def_path) or isinstance(d, ParamsDependency)
                    ]
                    versions[step] = snapshot_of(stage, [d for d in deps if d.exists]).code_version
        return versions

    def commit(self, stage: str, snapshot: Snapshot) -> LockEntry:
        """Record that the outputs of a stage on disk were made from ``snapshot``, and cache them.

        Returns:
            The new entry.

        Raises:
            InputsChanged: an input or parameter differs from the snapshot; nothing is recorded.
            LedgerError: an output is missing or the stage is unknown.
        """
        with self.locked():
            loaded = self.load(stage)
            if changed := snapshot.differences(snapshot_of(loaded, loaded.deps)):
                raise InputsChanged(
                    f"{stage}: changed while the step ran: {', '.join(changed)}; its output is not "
                    "recorded. Run the step again."
                )
            started = time.time()
            try:  # Stage.save() would hash the inputs again, unguarded
                loaded.save_outs()
                loaded.md5 = loaded.compute_md5()
                with chdir(self.root):  # the run cache resolves paths against the working directory
                    self.dvc.stage_cache.save(loaded)
                loaded.commit()
                entry = to_single_stage_lockfile(loaded)
                write_entry(self.lock_file, stage, entry, list(self.defined))
            except (DvcException, OSError, *ERRORS) as error:
                remove_leftovers(Path(self.dvc.cache.local.path), started)
                why = self.explain(error)
                raise LedgerError(f"{stage}: can't be recorded: {why}") from error
        return self.entries()[stage]

    def add(self, path: Path) -> None:
        """Version a file or folder that no stage makes, as ``dvc add`` does.

        Raises:
            LedgerError: DVC refuses.
        """
        with self.locked():
            try:
                with chdir(self.root):
                    self.dvc.add(str(path.resolve().relative_to(self.root)))  # type: ignore[arg-type]
            except DvcException as error:
                raise LedgerError(f"{path}: can't be versioned: {error}") from error
            self._definition = ()  # there is one more stage

    def input_md5(self, stage: str, path: str) -> str:
        """The md5 of the input ``path`` of a stage, as it is now.

        Raises:
            LedgerError: the stage is unknown, or the input is missing.
            ValueError: the stage has no such input.
        """
        with self.locked():
            [source] = [dep for dep in self.load(stage).deps if dep.def_path == path]
            return snapshot_of(self.load(stage), [source]).deps[path]
