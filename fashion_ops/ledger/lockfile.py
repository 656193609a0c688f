"""The file ``dvc.lock``: its entries as values, and how one entry is written.

An entry says what a stage was made from and what it produced. Reading and writing use ruamel.yaml, as
DVC does, but its C parser and emitter: DVC's writer keeps comments, which takes 0.9 s of CPU per entry
with 35 stages; this takes 0.2 s and writes the same bytes. Nothing here imports DVC.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML, YAMLError
from ruamel.yaml.representer import SafeRepresenter

from fashion_ops.params.section import explain_yaml
from fashion_ops.workspace import write_whole

CODE = "fashion_ops"
RESTORE_LOCK = "Take one side (`git checkout --ours dvc.lock`), then run `dvc repro`"
_CONFLICT = re.compile(rb"^(<{7}|={7}|>{7})(\s|$)", re.MULTILINE)  # what git writes around two sides


class LedgerError(RuntimeError):
    """A stage can't be recorded, or its data kept or restored; the message says which and why."""


def digest(value: Any) -> str:
    """md5 of a JSON value, independent of the order of its keys."""
    return hashlib.md5(json.dumps(value, sort_keys=True).encode()).hexdigest()


def plain(value: Any) -> Any:
    """Convert parameters to plain JSON types, as if read from a file: tuples become lists."""
    return json.loads(json.dumps(value))


def is_code(path: str) -> bool:
    """Whether a dependency with this path is source code rather than data."""
    return Path(path).parts[0] == CODE


@dataclass(frozen=True)
class Snapshot:
    """The inputs of a stage at one moment."""

    stage: str  # ``ingest``, ``finetune@skirt``
    cmd: str
    deps: Mapping[str, str]  # md5 of each input file or folder, data and code, by path
    params: Mapping[str, Any]  # value by dotted key

    @property
    def digest(self) -> str:
        """One hash of all inputs, which is also the name of the stage's checkpoint."""
        return digest([self.stage, self.cmd, dict(self.deps), dict(self.params)])

    @property
    def code_version(self) -> str:
        """Hash of command, parameters and source files, without the data.

        It is the same for the 13 stages of one step, because it leaves out the parameters of the
        category.
        """
        code = {path: md5 for path, md5 in self.deps.items() if is_code(path)}
        step, _, category = self.stage.partition("@")
        if not category:
            return digest([self.cmd, code, dict(self.params)])
        section = f"categories.{category}"
        shared = {
            key: value
            for key, value in self.params.items()
            if key != section and not key.startswith(f"{section}.")
        }
        return digest([step, code, shared])

    def differences(self, other: "Snapshot") -> list[str]:
        """Names of the inputs and parameters that differ between the two."""
        changed = ["the command"] if self.cmd != other.cmd else []
        for a, b in ((self.deps, other.deps), (self.params, other.params)):
            changed += [key for key in sorted({*a, *b}) if a.get(key) != b.get(key)]
        return changed


@dataclass(frozen=True)
class LockEntry(Snapshot):
    """One stage in ``dvc.lock``: its inputs, and the md5 of each output by path (``outs``)."""

    outs: Mapping[str, str]

    @property
    def data_version(self) -> str:
        """The md5 of the output, or one hash of all outputs if there are several."""
        md5s = list(self.outs.values())
        return md5s[0] if len(md5s) == 1 else digest(dict(self.outs))

    @property
    def fingerprint(self) -> str:
        """One hash of inputs and outputs; equal entries have equal fingerprints."""
        return digest([self.digest, dict(self.outs)])


def read_entries(lock_file: Path) -> dict[str, LockEntry]:
    """All entries of a ``dvc.lock`` by stage name; empty if the file does not exist.

    Raises:
        LedgerError: the file is damaged or has merge conflicts.
    """
    return entries_of(lock_file.read_bytes(), lock_file) if lock_file.is_file() else {}


def entries_of(text: bytes, lock_file: Path) -> dict[str, LockEntry]:
    """All entries of a ``dvc.lock`` with this content by stage name.

    Args:
        text: the content.
        lock_file: its path, for the message.

    Raises:
        LedgerError: the content is damaged or has merge conflicts.
    """
    stages = _parse_lock(text, lock_file).get("stages") or {}
    try:
        return {name: _entry(name, stage) for name, stage in stages.items()}
    except (AttributeError, KeyError, TypeError) as error:
        raise LedgerError(
            f"{lock_file}: not a dvc.lock (schema 2.0): {type(error).__name__}: {error}. {RESTORE_LOCK}"
        ) from error


def check_merged(file: Path) -> None:
    """Check that a file has no merge conflicts, if it exists.

    Raises:
        LedgerError: it has; the message names the line.
    """
    if file.is_file():
        _check_merged(file.read_bytes(), file)


def _check_merged(text: bytes, file: Path) -> None:
    """``check_merged`` for a file with this content."""
    if conflict := _CONFLICT.search(text):
        line = text.count(b"\n", 0, conflict.start()) + 1
        mend = RESTORE_LOCK if file.suffix == ".lock" else "Keep one side of each conflict"
        raise LedgerError(f"{file}: line {line} is the mark of a merge conflict. {mend}")


def _entry(name: str, stage: Mapping[str, Any]) -> LockEntry:
    """Convert the YAML of one stage in ``dvc.lock``."""
    params = {key: value for file in stage.get("params", {}).values() for key, value in file.items()}
    deps = {d["path"]: str(d.get("md5") or d.get("etag")) for d in stage.get("deps", [])}
    outs = {out["path"]: str(out.get("md5")) for out in stage.get("outs", [])}
    return LockEntry(name, stage["cmd"], deps, plain(params), outs)


def write_entry(lock_file: Path, stage: str, entry: Mapping[str, Any], order: Sequence[str]) -> None:
    """Replace the entry of one stage in the file.

    Args:
        lock_file: ``dvc.lock``; it is replaced as a whole or not at all.
        stage: name of the stage.
        entry: as DVC serialises it.
        order: names of all stages in the order of the pipeline, so that equal results give equal files
            whichever stage completes first. Unknown stages come last.
    """
    text = lock_file.read_bytes() if lock_file.is_file() else b""
    lock = {"schema": "2.0", **_parse_lock(text, lock_file)}
    stages = lock.get("stages", {}) | {stage: plain(entry)}
    rank = {name: i for i, name in enumerate(order)}
    lock["stages"] = dict(sorted(stages.items(), key=lambda item: rank.get(item[0], len(rank))))
    out = BytesIO()
    _yaml().dump(lock, out)
    write_whole(lock_file, out.getvalue().replace(b": \n", b":\n"))  # DVC writes no space before null


def _parse_lock(text: bytes, lock_file: Path) -> Mapping[str, Any]:
    """The YAML of a ``dvc.lock`` with this content.

    Raises:
        LedgerError: the content is no YAML mapping or has merge conflicts.
    """
    _check_merged(text, lock_file)
    try:
        parsed = parse_yaml(text)
    except (YAMLError, ValueError) as error:
        cause = explain_yaml(error)
        raise LedgerError(f"{lock_file}: not valid YAML: {cause}. {RESTORE_LOCK}") from error
    if not isinstance(parsed, Mapping):
        raise LedgerError(f"{lock_file}: not a dvc.lock (schema 2.0). {RESTORE_LOCK}")
    return parsed


@lru_cache(maxsize=2)
def parse_yaml(text: bytes) -> Any:
    """Parse YAML as DVC does; the result is cached and must not be changed."""
    return _yaml().load(text) or {}


class _Representer(SafeRepresenter):
    """Writes an empty value for None, as DVC does."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


_Representer.add_representer(
    type(None), lambda dumper, _: dumper.represent_scalar("tag:yaml.org,2002:null", "")
)


def _yaml() -> YAML:
    """The C parser and emitter, with the layout that DVC writes."""
    yaml = YAML(typ="safe")
    yaml.Representer = _Representer
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # pyright: ignore[reportAttributeAccessIssue]
    yaml.allow_unicode = True
    yaml.width = 80
    return yaml
