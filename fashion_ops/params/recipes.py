"""Merging recipes into ``params.yaml``: the keys of a recipe are set, all else stays, comments too.

A recipe is a YAML file with some of the sections and keys of ``params.yaml`` (``configs/deepmark/``).
The result is checked by ``Params`` before anything is written, and the file is replaced as a whole. Old
keys, in a recipe or in ``params.yaml``, are written under their name of today.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from io import StringIO
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap
from ruamel.yaml.error import YAMLError

from fashion_ops.files.publishing import write_whole
from fashion_ops.params import Params, find_old_keys, load_params
from fashion_ops.params.section import explain, explain_yaml, read_mapping


@dataclass(frozen=True)
class Change:
    """One value that a recipe changed; ``key`` with dots, as in ``train_detector.lr``."""

    key: str
    old: Any
    new: Any


def configure(params: Path, recipes: list[Path]) -> list[Change]:
    """Merge ``recipes``, one after the other, into the file ``params``.

    Returns:
        The values that changed.

    Raises:
        ValueError: a file is missing or is no YAML mapping, has a key under its old and its new name,
            or the result breaks a rule (an unknown key, a bad value). ``params`` is then unchanged.
    """
    old = load_params(params)
    before = params.read_text(encoding="utf-8-sig")
    document = _round_trip().load(before) or {}
    _rename_old_keys(document)
    for recipe in recipes:
        _merge(document, _mapping(recipe))
    merged = _dump(document)
    try:
        new = Params.model_validate(yaml.safe_load(merged))
    except ValidationError as error:
        names = ", ".join(map(str, recipes))
        raise ValueError(f"{params} with {names}: not valid: {explain(error)}") from None
    changes = list(_changes(_plain(old), _plain(new), ""))
    if old.notify != new.notify and not any(change.key == "notify.webhook" for change in changes):
        changes.append(Change("notify.webhook", "an address", "another"))  # both are masked
    if changes:
        write_whole(params.resolve(), _only_changed_lines(before, merged).encode())
    return changes


def _plain(params: Params) -> dict[str, Any]:
    return params.model_dump(mode="json", by_alias=True)


def _mapping(path: Path) -> dict[str, Any]:
    if not read_mapping(path):
        raise ValueError(f"{path}: is empty; must hold sections of params.yaml")
    try:
        overlay = _round_trip().load(path.read_text(encoding="utf-8-sig"))
    except YAMLError as error:  # what PyYAML accepts and ruamel does not, such as a key given twice
        why = explain_yaml(error)
        raise ValueError(f"{path}: cannot be read as YAML: {why}; correct it") from None
    try:
        _rename_old_keys(overlay)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return overlay


def _rename_old_keys(document: Any) -> None:
    """Rename old keys in place; they keep their line and comment."""
    for mapping, old, new in find_old_keys(document):
        assert isinstance(mapping, CommentedMap)  # all mappings of a loaded document are
        position, comment = list(mapping).index(old), mapping.ca.items.get(old)
        mapping.insert(position, new, mapping.pop(old))
        if comment is not None:
            mapping.ca.items.pop(old, None)
            mapping.ca.items[new] = comment


def _round_trip() -> YAML:
    reader = YAML()
    reader.preserve_quotes = True
    reader.width = 1 << 16
    reader.representer.add_representer(
        type(None), lambda r, _: r.represent_scalar("tag:yaml.org,2002:null", "null")
    )
    return reader


def _dump(document: Any) -> str:
    out = StringIO()
    _round_trip().dump(document, out)
    return out.getvalue()


def _merge(document: Any, overlay: dict[str, Any]) -> None:
    for key, value in overlay.items():
        if isinstance(document.get(key), dict) and isinstance(value, dict):
            _merge(document[key], value)
        else:
            document[key] = value


def _changes(old: Any, new: Any, prefix: str) -> Iterator[Change]:
    for key, value in new.items():
        if isinstance(value, dict) and isinstance(old.get(key), dict):
            yield from _changes(old[key], value, f"{prefix}{key}.")
        elif value != old.get(key):
            yield Change(f"{prefix}{key}", old.get(key), value)


def _only_changed_lines(before: str, merged: str) -> str:
    """``merged``, with every unchanged line as in ``before``, spaces included.

    Loading and dumping YAML keeps lines and comments, but not the alignment within a line.
    """
    original = before.splitlines(keepends=True)
    dumped = _dump(_round_trip().load(before)).splitlines(keepends=True)
    lines = merged.splitlines(keepends=True)
    if len(dumped) != len(original):
        return merged
    out = []
    for tag, i, j, a, b in SequenceMatcher(None, dumped, lines, autojunk=False).get_opcodes():
        out += original[i:j] if tag == "equal" else lines[a:b]
    return "".join(out)
