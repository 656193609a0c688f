"""The file ``dvc.lock``: its entries as values, and how an entry gets into it.

An entry says what a stage was made from and what came out. The file is read and written byte for byte
as DVC does it, but by PyYAML's C parser: with 33 stages DVC's own parser needs half a second for each
entry that lands. What stands in an entry is for ``record`` and DVC to say; nothing here imports DVC.
"""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

CODE = "fashion_ops"


def digest(value: Any) -> str:
    """md5 of a JSON value, whatever the order of its keys."""
    return hashlib.md5(json.dumps(value, sort_keys=True).encode()).hexdigest()


def plain(value: Any) -> Any:
    """Parameters as they come back from a file: a tuple is a list, a YAML type its Python one."""
    return json.loads(json.dumps(value))


def is_code(path: str) -> bool:
    """Whether a dependency is source code."""
    return Path(path).parts[0] == CODE


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
        return digest([self.stage, self.cmd, dict(self.deps), dict(self.params)])

    @property
    def code_version(self) -> str:
        """Hash of command, parameters and source files: everything but the data.

        It is the same for the 13 stages of one step: what is a category's own is left out.
        """
        code = {path: md5 for path, md5 in self.deps.items() if is_code(path)}
        step, _, category = self.stage.partition("@")
        if not category:
            return digest([self.cmd, code, dict(self.params)])
        own = f"categories.{category}"
        shared = {k: v for k, v in self.params.items() if k != own and not k.startswith(f"{own}.")}
        return digest([step, code, shared])

    def differences(self, other: "Snapshot") -> list[str]:
        """Inputs and parameters that are not the same in both, by name."""
        changed = ["the command"] if self.cmd != other.cmd else []
        for a, b in ((self.deps, other.deps), (self.params, other.params)):
            changed += [key for key in sorted({*a, *b}) if a.get(key) != b.get(key)]
        return changed


@dataclass(frozen=True)
class LockEntry(Snapshot):
    """One stage in ``dvc.lock``: a snapshot and the hashes of what came out."""

    outs: Mapping[str, str]  # path -> md5

    @property
    def data_version(self) -> str:
        """The md5 of the output; of all of them where there are several."""
        md5s = list(self.outs.values())
        return md5s[0] if len(md5s) == 1 else digest(dict(self.outs))

    @property
    def fingerprint(self) -> str:
        """One hash over inputs and outputs; equal entries have equal ones."""
        return digest([self.digest, dict(self.outs)])


def read_entries(lock_file: Path) -> dict[str, LockEntry]:
    """All entries of a ``dvc.lock``, by stage name; none where there is no file."""
    if not lock_file.is_file():
        return {}
    lock = yaml.load(lock_file.read_bytes(), _Loader) or {}
    return {name: _entry(name, stage) for name, stage in lock.get("stages", {}).items()}


def _entry(name: str, stage: Mapping[str, Any]) -> LockEntry:
    params = {key: value for file in stage.get("params", {}).values() for key, value in file.items()}
    deps = {dep["path"]: str(dep.get("md5")) for dep in stage.get("deps", [])}
    outs = {out["path"]: str(out.get("md5")) for out in stage.get("outs", [])}
    return LockEntry(name, stage["cmd"], deps, plain(params), outs)


def write_entry(lock_file: Path, stage: str, entry: Mapping[str, Any], order: Sequence[str]) -> None:
    """Put one entry, as DVC serialises it, into the file; stages stand in ``order``, unknown ones last.

    The order is the pipeline's, not that of landing: the same results give the same file.
    """
    lock = yaml.load(lock_file.read_bytes(), _Loader) if lock_file.is_file() else None
    lock = {"schema": "2.0", **(lock or {})}
    stages = lock.get("stages", {}) | {stage: plain(entry)}
    rank = {name: i for i, name in enumerate(order)}
    lock["stages"] = dict(sorted(stages.items(), key=lambda item: rank.get(item[0], len(rank))))
    fresh = lock_file.with_name(f".{lock_file.name}.partial")
    text = yaml.dump(
        lock, None, _Dumper, default_flow_style=False, sort_keys=False, allow_unicode=True, width=80
    )
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(lock_file)


class _Loader(yaml.CSafeLoader):
    """YAML 1.2's numbers and booleans, which DVC writes: YAML 1.1 reads ``1e-05`` as text."""


class _Dumper(yaml.CSafeDumper):
    """Numbers as DVC writes them, and text that looks like one of them quoted."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


_FLOAT = re.compile(
    r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$|^[-+]?\.(inf|Inf|INF)$|^\.(nan|NaN|NAN)$"
)
_BOOL = re.compile(r"^(true|True|TRUE|false|False|FALSE)$")
_FIRST = yaml.SafeLoader.yaml_implicit_resolvers
for _side in (_Loader, _Dumper):
    _side.yaml_implicit_resolvers = {
        first: [(tag, rule) for tag, rule in rules if not tag.endswith((":float", ":bool"))]
        for first, rules in _FIRST.items()
    }
    _side.add_implicit_resolver("tag:yaml.org,2002:float", _FLOAT, list("-+0123456789."))
    _side.add_implicit_resolver("tag:yaml.org,2002:bool", _BOOL, list("tTfF"))
_Dumper.add_representer(
    type(None), lambda dumper, _: dumper.represent_scalar("tag:yaml.org,2002:null", "")
)
_Dumper.add_representer(
    float, lambda dumper, value: dumper.represent_scalar("tag:yaml.org,2002:float", repr(value))
)
