"""The ledger without DVC: what is current, and restoring outputs from a folder or an S3 bucket.

DVC is in maintenance. This module needs nothing of it: it reads ``dvc.yaml``, ``params.yaml`` and
``dvc.lock``, and the objects of DVC's cache and remotes (``objects``). Of ``dvc.yaml`` it understands
what this repository uses: ``cmd``, ``deps``, ``params`` of ``params.yaml``, ``outs``, ``foreach`` and
``${...}``. It hashes every file that it compares, where DVC remembers hashes.

From a terminal::

    python -m fashion_ops.ledger.standalone status
    python -m fashion_ops.ledger.standalone restore --source s3://BUCKET/dvc [STAGE ...]
"""

import argparse
import configparser
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import fsspec

from fashion_ops.ledger import objects
from fashion_ops.ledger.lockfile import LedgerError, Snapshot, parse_yaml, plain, read_entries
from fashion_ops.workspace import Workspace, find_root, publish, write_whole

_REFERENCE = re.compile(r"\$\{([^}]+)\}")
Read = Callable[[str], bytes]  # the content of an object by its md5; OSError if there is none


def stale(root: Path) -> dict[str, list[str]]:
    """Stages that are not current, each with its reasons, in the order of ``dvc.yaml``.

    A stage is current if its command, inputs, parameters and outputs are those of ``dvc.lock``, and if
    every stage that makes an input of it is.

    Raises:
        LedgerError: ``dvc.yaml``, ``params.yaml`` or ``dvc.lock`` can't be read.
    """
    root = root.resolve()
    md5_of = lru_cache(maxsize=None)(lambda path: str(objects.md5_of(root / path, root)))
    entries, stages = read_entries(root / "dvc.lock"), _stages(root)
    reasons: dict[str, list[str]] = {}
    for name, stage in stages.items():
        if name not in entries:
            reasons[name] = ["never recorded"]
            continue
        now = Snapshot(name, stage["cmd"], {d: md5_of(d) for d in stage["deps"]}, stage["params"])
        changed = entries[name].differences(now)
        changed += [path for path, md5 in entries[name].outs.items() if md5_of(path) != md5]
        if changed:
            reasons[name] = [f"changed: {item}" for item in changed]
    makers = {Path(out): name for name, stage in stages.items() for out in stage["outs"]}
    for name in stages:
        _add_upstream(name, stages, makers, reasons)
    return {name: reasons[name] for name in stages if name in reasons}


def _add_upstream(
    name: str, stages: Mapping[str, Any], makers: Mapping[Path, str], reasons: dict[str, list[str]]
) -> None:
    """Add to the reasons of a stage the stale stages that it depends on."""
    for dep in map(Path, stages[name]["deps"]):
        maker = next((makers[path] for path in (dep, *dep.parents) if path in makers), name)
        if maker == name:
            continue
        _add_upstream(maker, stages, makers, reasons)
        text = f"{maker} is stale"
        if maker in reasons and text not in reasons.get(name, []):
            reasons.setdefault(name, []).append(text)


def restore(root: Path, source: str | None = None, stages: Iterable[str] = ()) -> list[str]:
    """Put recorded outputs and labelled batches into place that are missing or differ.

    The cache is asked first, then ``source``. Every byte is checked against its md5.

    Args:
        root: of the repository.
        source: a folder, or an address that fsspec reads, such as ``s3://BUCKET/dvc``: what a remote of
            DVC is. None takes DVC's default remote, if there is one.
        stages: names of the stages whose outputs are restored; empty means all, and the batches.

    Returns:
        Paths that were put into place.

    Raises:
        LedgerError: an object is missing or damaged in both, or a stage is unknown.
    """
    root = root.resolve()
    entries = read_entries(root / "dvc.lock")
    if unknown := sorted(set(stages) - entries.keys()):
        raise LedgerError(f"{root / 'dvc.lock'}: no stage {', '.join(unknown)}")
    wanted = [entries[name].outs for name in stages] or [e.outs for e in entries.values()]
    if not stages:
        wanted += [_outs_of(file) for file in sorted(Workspace(root).batches.glob("*.dvc"))]
    read, done = _reader(root, source), []
    for path, md5 in (item for outs in wanted for item in outs.items()):
        if objects.md5_of(root / path, root) != md5:
            _place(root / path, md5, read)
            done.append(path)
    return done


def _place(target: Path, md5: str, read: Read) -> None:
    """Write an output as a whole: a file, or a folder in place of the one that is there."""
    try:
        if md5.endswith(objects.FOLDER):
            with publish(target) as folder:
                for item in json.loads(read(md5)):
                    file = folder / item["relpath"]
                    if folder.resolve() not in file.resolve().parents:
                        raise LedgerError(f"{target}: {md5} names {item['relpath']}, outside of it")
                    file.parent.mkdir(parents=True, exist_ok=True)
                    file.write_bytes(read(item["md5"]))
            return
        write_whole(target, read(md5))
    except (OSError, ValueError) as error:
        raise LedgerError(f"{target}: can't be restored: {error}") from error


def _reader(root: Path, source: str | None) -> Read:
    """How an object is read: from the cache of the repository, else from ``source``."""
    config = _config(root)
    cache = Path(root, ".dvc", config.get("cache", {}).get("dir", "cache")) / "files" / "md5"
    options: dict[str, Any] = {}
    if source is None and (name := config.get("core", {}).get("remote")):
        remote = config[f'remote "{name}"']
        source = remote["url"]
        if "://" not in source:
            source = str(Path(root, ".dvc", source))
        if endpoint := remote.get("endpointurl"):
            options["client_kwargs"] = {"endpoint_url": endpoint}

    def read(md5: str) -> bytes:
        if objects.is_intact(cache, md5):
            return objects.path_of(cache, md5).read_bytes()
        if source is None:
            raise FileNotFoundError(f"{md5}: not in {cache}, and there is no source")
        address = f"{str(source).rstrip('/')}/files/md5/{md5[:2]}/{md5[2:]}"
        try:
            with fsspec.open(address, "rb", **options) as file:
                data: bytes = file.read()  # pyright: ignore[reportAttributeAccessIssue]
        except Exception as error:  # each kind of store raises its own errors
            raise OSError(f"{address}: {type(error).__name__}: {error}") from error
        if objects.bytes_md5(data) != md5.removesuffix(objects.FOLDER):
            raise OSError(f"{address}: its content is not the one that its name says")
        return data

    return read


def _config(root: Path) -> dict[str, dict[str, str]]:
    """DVC's settings of a repository: ``.dvc/config``, overridden by ``.dvc/config.local``."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.read([root / ".dvc" / "config", root / ".dvc" / "config.local"], encoding="utf-8")
    return {section.strip("'"): dict(parser[section]) for section in parser.sections()}


def _outs_of(file: Path) -> dict[str, str]:
    """The md5 of what a .dvc file versions, by path below the repository's root."""
    folder = os.path.relpath(file.parent, file.parent.parent.parent)
    return {f"{folder}/{out['path']}": out["md5"] for out in parse_yaml(file.read_bytes())["outs"]}


def _stages(root: Path) -> dict[str, dict[str, Any]]:
    """``cmd``, ``deps``, ``params`` (with their values) and ``outs`` of each stage of ``dvc.yaml``.

    Raises:
        LedgerError: ``dvc.yaml`` or ``params.yaml`` can't be read.
    """
    try:
        params = parse_yaml((root / "params.yaml").read_bytes()) or {}
        stages: dict[str, dict[str, Any]] = {}
        for name, stage in parse_yaml((root / "dvc.yaml").read_bytes())["stages"].items():
            if "foreach" not in stage:
                stages[name] = _resolved(stage, params, params)
                continue
            each = _lookup(stage["foreach"], params)
            pairs = each.items() if isinstance(each, Mapping) else [(v, v) for v in each]
            for key, item in pairs:
                scope = {**params, "key": key, "item": _replaced(item, params)}
                stages[f"{name}@{key}"] = _resolved(stage["do"], scope, params)
        return stages
    except Exception as error:  # YAML's own errors, and whatever a wrong structure leads to
        cause = " ".join(f"{type(error).__name__}: {error}".split())
        raise LedgerError(f"{root}: dvc.yaml and params.yaml can't be read: {cause}") from error


def _resolved(
    stage: Mapping[str, Any], scope: Mapping[str, Any], params: Mapping[str, Any]
) -> dict[str, Any]:
    """One stage with its references replaced and the values of its parameters."""
    made = {key: [_text(item, scope) for item in stage.get(key, [])] for key in ("deps", "outs")}
    keys = [_text(key, scope) for key in stage.get("params", [])]
    values = {key: plain(_find(key, params)) for key in keys}
    return {"cmd": _text(stage["cmd"], scope), "params": values, **made}


def _replaced(value: Any, scope: Mapping[str, Any]) -> Any:
    """A value in which each text has its references replaced."""
    if isinstance(value, Mapping):
        return {key: _replaced(item, scope) for key, item in value.items()}
    return _text(value, scope) if isinstance(value, str) else value


def _text(text: str, scope: Mapping[str, Any]) -> str:
    """A text with each ``${...}`` replaced by its value."""
    return _REFERENCE.sub(lambda match: str(_find(match[1].strip(), scope)), text)


def _lookup(value: Any, scope: Mapping[str, Any]) -> Any:
    """The value that ``${...}`` stands for; other values as they are."""
    match = _REFERENCE.fullmatch(value) if isinstance(value, str) else None
    return _find(match[1].strip(), scope) if match else value


def _find(key: str, scope: Any) -> Any:
    """The value of a dotted key.

    Raises:
        KeyError: there is none.
    """
    for part in key.split("."):
        scope = scope[part]
    return scope


def main(arguments: list[str] | None = None) -> int:
    """Print what is stale, or restore outputs; 0 if all is current or restored, else 1 or 2."""
    parser = argparse.ArgumentParser("python -m fashion_ops.ledger.standalone", description=__doc__)
    parser.add_argument("do", choices=("status", "restore"))
    parser.add_argument("stages", nargs="*", metavar="STAGE")
    parser.add_argument("--source", help="folder or s3:// address. Default: DVC's default remote")
    options = parser.parse_args(arguments)
    try:
        if options.do == "restore":
            for path in restore(find_root(), options.source, options.stages):
                print(f"restored {path}")
            return 0
        reasons = stale(find_root())
    except LedgerError as error:
        print(error, file=sys.stderr)
        return 2
    for name, why in reasons.items():
        print(f"{name}: {'; '.join(why)}")
    return 1 if reasons else 0


if __name__ == "__main__":
    sys.exit(main())
