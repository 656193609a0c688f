"""The ledger: ``dvc.lock``, the only record of what was made from what.

A driver that ran a stage itself (Dagster) writes the stage's entry here, so that ``dvc status`` is
clean and ``dvc repro`` skips it; it asks here what is stale. DVC is touched nowhere else: ``Repo`` is
not its documented API, so the surface used is kept small and in one file. Stages are named as in
DVC: ``ingest``, ``finetune@skirt``.
"""

import hashlib
import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from dvc.dependency import ParamsDependency
from dvc.exceptions import DvcException
from dvc.repo import Repo, lock_repo
from dvc.stage import PipelineStage
from networkx import topological_sort

CODE = "fashion_ops"


class LedgerError(RuntimeError):
    """A stage can't be recorded; the message says which and why."""


class InputsChanged(LedgerError):
    """What a stage reads changed while it ran: its output belongs to no known input."""


def _is_code(path: str) -> bool:
    return Path(path).parts[0] == CODE


def _digest(value: Any) -> str:
    return hashlib.md5(json.dumps(value, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True)
class Snapshot:
    """What a stage would be made from at one moment: command, hash of each input, parameters."""

    stage: str
    cmd: str
    deps: Mapping[str, str]  # path -> md5 of data and code
    params: Mapping[str, Any]  # dotted key -> value

    @property
    def digest(self) -> str:
        """One hash over all of it; the key of resume checkpoints."""
        return _digest([self.stage, self.cmd, dict(self.deps), dict(self.params)])

    @property
    def code_version(self) -> str:
        """Hash of command, parameters and source files: everything but the data.

        It is the same for the 13 stages of one step: what is a category's own is left out.
        """
        code = {path: md5 for path, md5 in self.deps.items() if _is_code(path)}
        step, _, category = self.stage.partition("@")
        if not category:
            return _digest([self.cmd, code, dict(self.params)])
        own = f"categories.{category}"
        shared = {k: v for k, v in self.params.items() if k != own and not k.startswith(f"{own}.")}
        return _digest([step, code, shared])


@dataclass(frozen=True)
class LockEntry(Snapshot):
    """One stage in ``dvc.lock``: a snapshot and the hashes of what came out."""

    outs: Mapping[str, str]  # path -> md5

    @property
    def data_version(self) -> str:
        """The md5 of the output; of all of them where there are several."""
        md5s = list(self.outs.values())
        return md5s[0] if len(md5s) == 1 else _digest(dict(self.outs))

    @property
    def fingerprint(self) -> str:
        """One hash over inputs and outputs; equal entries have equal ones."""
        return _digest([self.digest, dict(self.outs)])


class Ledger:
    """The DVC repository at ``root``, which may differ from the working directory."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        logging.getLogger("dvc").setLevel(logging.WARNING)  # else a line on stdout for each commit
        self._repo = Repo(str(self.root), _wait_for_lock=True)

    @property
    def lock_file(self) -> Path:
        return self.root / "dvc.lock"

    def entries(self) -> dict[str, LockEntry]:
        """All entries of ``dvc.lock``, by stage name; read anew each time."""
        if not self.lock_file.is_file():
            return {}
        lock = yaml.safe_load(self.lock_file.read_text(encoding="utf-8")) or {}
        return {name: _read_entry(name, stage) for name, stage in lock.get("stages", {}).items()}

    def entry(self, stage: str) -> LockEntry | None:
        """The entry of one stage, or None if it was never recorded."""
        return self.entries().get(stage)

    def digest(self) -> str:
        """One hash over all entries, whatever their order in the file."""
        return _digest({name: entry.fingerprint for name, entry in self.entries().items()})

    def verify(self) -> None:
        """Make sure that the outputs on disk are one story: all recorded, each made from the others.

        Raises:
            LedgerError: names the first stages for which it is not so.
        """
        entries = self.entries()
        made = {path: md5 for entry in entries.values() for path, md5 in entry.outs.items()}
        wrong = []
        with self._locked():
            for stage in self._repo.index.stages:
                name = _name(stage)
                if name not in entries or any(out.workspace_status() for out in stage.outs):
                    wrong.append(f"{name}: its output is not the recorded one")
                elif any(made.get(path, md5) != md5 for path, md5 in entries[name].deps.items()):
                    wrong.append(f"{name}: made from another version of its inputs")
        if wrong:
            more = f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""
            raise LedgerError(
                f"{self.lock_file}: {'; '.join(wrong[:5])}{more}. Run `dvc repro` first."
            )

    def stages(self) -> list[str]:
        """All stages of ``dvc.yaml``, one a category where a step has 13, in its order."""
        with self._locked():
            return [_name(stage) for stage in self._repo.index.stages]

    def graph_edges(self) -> set[tuple[str, str]]:
        """(upstream, downstream) pairs of stages, as DVC derives them from outputs and inputs."""
        with self._locked():
            return {(_name(up), _name(down)) for down, up in self._repo.index.graph.edges}

    def stale(self) -> dict[str, list[str]]:
        """Stages that ``dvc repro`` would remake, each with its reasons, in order of execution.

        A stage is also stale when something it depends on is.
        """
        reasons: dict[str, list[str]] = {}
        with self._locked():
            graph = self._repo.index.graph  # edges point from a stage to what it depends on
            for stage in reversed(list(topological_sort(graph))):
                why = [_reason(change) for change in _changes(stage)]
                why += [
                    f"{_name(up)} is stale" for up in graph.successors(stage) if _name(up) in reasons
                ]
                if why:
                    reasons[_name(stage)] = why
        return reasons

    def is_current(self, stage: str) -> bool:
        """Whether this stage's recorded inputs, parameters, code and outputs are what is there now.

        Unlike ``stale`` it does not look further up: ask in order of execution.
        """
        with self._locked():
            return not _changes(self._load(stage))

    def before(self, stage: str) -> Snapshot:
        """What ``stage`` would read now; take it before reading anything, give it to ``commit``.

        Raises:
            LedgerError: an input is missing or the stage is unknown.
        """
        with self._locked():
            loaded = self._load(stage)
            _save_deps(loaded)
            return _snapshot(loaded)

    def code_versions(self) -> dict[str, str]:
        """Hash of command, parameters and source files of each stage as they are now."""
        versions = {}
        with self._locked():
            for loaded in self._repo.index.stages:
                assert isinstance(loaded, PipelineStage)
                loaded.deps = [
                    d for d in loaded.deps if _is_code(d.def_path) or isinstance(d, ParamsDependency)
                ]
                for dep in loaded.deps:
                    if dep.exists:
                        dep.save()
                versions[_name(loaded)] = _snapshot(loaded).code_version
        return versions

    def commit(self, stage: str, snapshot: Snapshot) -> LockEntry:
        """Record that ``stage`` was just made from ``snapshot``, and cache its outputs.

        Raises:
            InputsChanged: an input or parameter is no longer what it was; nothing is recorded.
            LedgerError: an output is missing or the stage is unknown.
        """
        with self._locked():
            loaded = self._load(stage)
            _save_deps(loaded)
            now = _snapshot(loaded)
            if changed := _differences(snapshot, now):
                raise InputsChanged(
                    f"{stage}: changed while the step ran: {', '.join(changed)}; its output is not "
                    "recorded. Run the step again."
                )
            try:  # Stage.save() in parts: it would hash the inputs a second time, unguarded
                loaded.save_outs()
                loaded.md5 = loaded.compute_md5()
                with chdir(self.root):  # the run cache resolves paths against the working directory
                    self._repo.stage_cache.save(loaded)
                loaded.commit()
                loaded.dump(update_pipeline=False)
            except DvcException as error:
                raise LedgerError(f"{stage}: can't be recorded: {error}") from error
        entry = self.entry(stage)
        assert entry is not None
        return entry

    def _load(self, stage: str) -> PipelineStage:
        try:
            loaded = self._repo.stage.load_one(str(self.root / "dvc.yaml"), stage)
        except DvcException as error:
            raise LedgerError(f"{self.root / 'dvc.yaml'}: no stage {stage!r}: {error}") from error
        assert isinstance(loaded, PipelineStage)
        return loaded

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold DVC's lock and forget what was read from ``dvc.yaml`` and ``params.yaml`` before."""
        with lock_repo(self._repo):
            yield


def _name(stage: Any) -> str:
    """``finetune@skirt``; DVC's ``addressing`` would add a path relative to the working directory."""
    return stage.name


def _changes(stage: PipelineStage) -> list[Any]:
    """What ``dvc status`` says of one stage; empty when nothing changed."""
    return [change for changes in stage.status().values() for change in changes]


def _save_deps(stage: PipelineStage) -> None:
    try:
        stage.save_deps()
    except DvcException as error:
        raise LedgerError(f"{_name(stage)}: an input is missing: {error}") from error


def _snapshot(stage: PipelineStage) -> Snapshot:
    """The hashes that a stage's inputs were last given."""
    params, deps = {}, {}
    for dep in stage.deps:
        value = dep.hash_info.value if dep.hash_info else None
        if isinstance(dep, ParamsDependency):
            params |= _plain(value or {})
        else:
            deps[dep.def_path] = str(value)
    return Snapshot(_name(stage), str(stage.cmd), deps, params)


def _read_entry(name: str, stage: Mapping[str, Any]) -> LockEntry:
    params = {key: value for file in stage.get("params", {}).values() for key, value in file.items()}
    deps = {dep["path"]: str(dep.get("md5")) for dep in stage.get("deps", [])}
    outs = {out["path"]: str(out.get("md5")) for out in stage.get("outs", [])}
    return LockEntry(name, stage["cmd"], deps, _plain(params), outs)


def _plain(value: Any) -> Any:
    """Parameters as they come back from YAML: a tuple is a list, a YAML type its Python one."""
    return json.loads(json.dumps(value))


def _differences(then: Snapshot, now: Snapshot) -> list[str]:
    if then.stage != now.stage:
        raise LedgerError(f"a snapshot of {then.stage} can't commit {now.stage}")
    changed = ["the command"] if then.cmd != now.cmd else []
    for a, b in ((then.deps, now.deps), (then.params, now.params)):
        changed += [key for key in sorted({*a, *b}) if a.get(key) != b.get(key)]
    return changed


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
