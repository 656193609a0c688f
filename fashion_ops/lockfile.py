"""Entries of ``dvc.lock`` as values: what a stage was made from, and what came out.

Reading only; ``ledger`` writes, through DVC. Nothing here imports DVC.
"""

import hashlib
import json
import re
from collections.abc import Mapping
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


class _Loader(yaml.CSafeLoader):
    """PyYAML's fast parser with YAML 1.2's numbers and booleans, which DVC writes.

    YAML 1.1 would read DVC's ``1e-05`` as text and an unquoted ``on`` as true.
    """


_Loader.yaml_implicit_resolvers = {
    first: [(tag, rule) for tag, rule in rules if not tag.endswith((":float", ":bool"))]
    for first, rules in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$|^[-+]?\.(inf|Inf|INF)$|^\.(nan|NaN|NAN)$"
    ),
    list("-+0123456789."),
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(true|True|TRUE|false|False|FALSE)$"), list("tTfF")
)
