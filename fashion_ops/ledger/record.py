"""Recording what was made from what in ``dvc.lock``, and asking what is stale."""

import time
from contextlib import chdir
from pathlib import Path

from dvc.dependency import ParamsDependency
from dvc.exceptions import DvcException
from dvc.stage import PipelineStage
from dvc.stage.serialize import to_single_stage_lockfile
from networkx import topological_sort

from fashion_ops.ledger.cache import remove_leftovers
from fashion_ops.ledger.lockfile import LockEntry, Snapshot, digest, is_code, write_entry
from fashion_ops.ledger.repository import Repository
from fashion_ops.ledger.stages import LedgerError, name_of, outputs_are, reason_of, snapshot_of


class InputsChanged(LedgerError):
    """What a stage reads changed while it ran: its output belongs to no known input."""


class Ledger(Repository):
    """``dvc.lock`` of the repository at ``root``; stages are named as in DVC: ``finetune@skirt``."""

    def entry(self, stage: str) -> LockEntry | None:
        """The entry of one stage, or None if it was never recorded."""
        return self.entries().get(stage)

    def digest(self, last: str | None = None) -> str:
        """One hash over all entries, whatever their order in the file.

        Args:
            last: only over this stage's and those of what it is made from.
        """
        with self.locked():
            wanted = self.making_of(last)
        return digest({n: e.fingerprint for n, e in self.entries().items() if n in wanted})

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
        with self.locked():
            wanted = self.making_of(last)
            for name, stage in ((n, s) for n, s in self.defined.items() if n in wanted):
                if name not in entries or not outputs_are(stage, entries[name]):
                    wrong.append(f"{name}: its output is not the recorded one")
                elif any(made.get(path, md5) != md5 for path, md5 in entries[name].deps.items()):
                    wrong.append(f"{name}: made from another version of its inputs")
        if wrong:
            more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
            raise LedgerError(f"{self.lock_file}: {'; '.join(wrong[:5])}{more}. Run `dvc repro` first.")

    def stages(self) -> list[str]:
        """All stages of ``dvc.yaml``, one a category where a step has 13, in its order."""
        with self.locked():
            return list(self.defined)

    def graph_edges(self) -> set[tuple[str, str]]:
        """(upstream, downstream) pairs of stages, as DVC derives them from outputs and inputs."""
        with self.locked():
            edges = self.dvc.index.graph.edges
            return {(name_of(up), name_of(down)) for down, up in edges if isinstance(up, PipelineStage)}

    def stale(self) -> dict[str, list[str]]:
        """Stages that ``dvc repro`` would remake, each with its reasons, in order of execution.

        A stage is also stale when something it depends on is.
        """
        reasons: dict[str, list[str]] = {}
        with self.locked(read_lock=True):
            graph = self.dvc.index.graph  # edges point from a stage to what it depends on
            for stage in reversed(list(topological_sort(graph))):
                changes = [change for changes in stage.status().values() for change in changes]
                ups = [name_of(up) for up in graph.successors(stage) if name_of(up) in reasons]
                why = [reason_of(change) for change in changes] + [f"{up} is stale" for up in ups]
                if why:
                    reasons[name_of(stage)] = why
        return reasons

    def changes(self, last: str | None = None) -> dict[str, list[str]]:
        """What ``dvc status`` says, by stage or .dvc file; nothing means clean.

        Args:
            last: leave out stages that it is not made from.
        """
        with self.locked(read_lock=True), chdir(self.root):  # else names are paths from elsewhere
            apart = set(self.defined) - self.making_of(last)
            found = {name: why for name, why in self.dvc.status().items() if name not in apart}
            return {name: [reason_of(c) for c in why] for name, why in found.items()}

    def is_current(self, stage: str) -> bool:
        """Whether this stage's recorded inputs, parameters, code and outputs are what is there now.

        Unlike ``stale`` it does not look further up: ask in order of execution.
        """
        entry = self.entry(stage)
        if entry is None:
            return False
        with self.locked():
            loaded = self.load(stage)
            try:
                now = snapshot_of(loaded, loaded.deps)
            except LedgerError:
                return False
            return not entry.differences(now) and outputs_are(loaded, entry)

    def before(self, stage: str) -> Snapshot:
        """What ``stage`` would read now; take it before reading anything, give it to ``commit``.

        Raises:
            LedgerError: an input is missing or the stage is unknown.
        """
        with self.locked():
            loaded = self.load(stage)
            return snapshot_of(loaded, loaded.deps)

    def code_versions(self) -> dict[str, str]:
        """Hash of command, parameters and source files as they are now, by step."""
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
        """Record that ``stage`` was just made from ``snapshot``, and cache its outputs.

        Raises:
            InputsChanged: an input or parameter is no longer what it was; nothing is recorded.
            LedgerError: an output is missing or the stage is unknown.
        """
        with self.locked():
            loaded = self.load(stage)
            if changed := snapshot.differences(snapshot_of(loaded, loaded.deps)):
                raise InputsChanged(
                    f"{stage}: changed while the step ran: {', '.join(changed)}; its output is not "
                    "recorded. Run the step again."
                )
            begun = time.time()
            try:  # Stage.save() in parts: it would hash the inputs a second time, unguarded
                loaded.save_outs()
                loaded.md5 = loaded.compute_md5()
                with chdir(self.root):  # the run cache resolves paths against the working directory
                    self.dvc.stage_cache.save(loaded)
                loaded.commit()
                entry = to_single_stage_lockfile(loaded)
                write_entry(self.lock_file, stage, entry, list(self.defined))
            except (DvcException, OSError) as error:
                remove_leftovers(Path(self.dvc.cache.local.path), begun)
                raise LedgerError(f"{stage}: can't be recorded: {error}") from error
        return self.entries()[stage]

    def add(self, path: Path) -> None:
        """Version a file or folder that no stage makes: ``dvc add``.

        Raises:
            LedgerError: DVC can't.
        """
        with self.locked():
            try:
                with chdir(self.root):
                    self.dvc.add(str(path.resolve().relative_to(self.root)))  # type: ignore[arg-type]
            except DvcException as error:
                raise LedgerError(f"{path}: can't be versioned: {error}") from error
            self._definition = ()  # there is one more stage

    def input_md5(self, stage: str, path: str) -> str:
        """The hash of one input of a stage, as it is now."""
        with self.locked():
            [source] = [dep for dep in self.load(stage).deps if dep.def_path == path]
            return snapshot_of(self.load(stage), [source]).deps[path]
