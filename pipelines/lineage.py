"""Lock entries as Dagster events; only this module writes Dagster's provenance tags.

Dagster calls an asset fresh if the tags of its last materialization name the current code version and
the current data version of every input. Here these tags are made from ``dvc.lock``, so Dagster and DVC
agree, whichever of them ran the step. The tag names are semi-private in Dagster 1.13; the tests ask
Dagster itself whether it finds the result fresh.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import dagster as dg
from dagster._core.definitions.data_version import (
    CODE_VERSION_TAG,
    DATA_VERSION_IS_USER_PROVIDED_TAG,
    DATA_VERSION_TAG,
    NULL_EVENT_POINTER,
    get_input_data_version_tag,
    get_input_event_pointer_tag,
)
from dagster._core.definitions.source_asset import SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION
from dagster._core.event_api import EventLogRecord

from fashion_ops.ledger import Ledger, LockEntry
from fashion_ops.steps import PARTITIONED, PARTITIONS, STEPS

ENTRY_TAG = "fashion_ops/lock_entry"  # fingerprint of the lock entry that an event reports
NEVER = "NULL"  # Dagster's data version of an asset that was never materialized
STALE_POINTER = "1"  # an event older than any materialization
FOLDERS = {"batches": "data/batches"}  # assets that no stage makes -> their folder
Parents = Mapping[str, Iterable[str]]  # step -> the steps it depends on, from the asset graph
Describe = Callable[[LockEntry], Mapping[str, Any]]  # metadata of the event of an entry


def split(stage: str) -> tuple[str, str | None]:
    """Split a stage name into step and partition: ``finetune@skirt`` -> (``finetune``, ``skirt``).

    The partition is None if the stage has none.
    """
    step, _, key = stage.partition("@")
    return step, key or None


def latest(instance: dg.DagsterInstance, step: str, key: str | None) -> EventLogRecord | None:
    """The last materialization of a step, or of one partition of it; None if there is none."""
    return instance.get_latest_data_version_record(dg.AssetKey(step), partition_key=key)


def materialization(
    instance: dg.DagsterInstance,
    entry: LockEntry,
    entries: Mapping[str, LockEntry],
    parents: Iterable[str],
    metadata: Mapping[str, Any] | None = None,
) -> dg.AssetMaterialization:
    """The event that reports one lock entry to Dagster.

    Args:
        instance: holds the events of the inputs.
        entry: the entry to report.
        entries: all entries of ``dvc.lock``, which tell which stage makes which input.
        parents: names of the steps that the asset depends on.
        metadata: metadata of the event.
    """
    step, key = split(entry.stage)
    tags = {
        ENTRY_TAG: entry.fingerprint,
        CODE_VERSION_TAG: entry.code_version,
        DATA_VERSION_TAG: entry.data_version,
        DATA_VERSION_IS_USER_PROVIDED_TAG: "true",
    }
    makers = {path: name for name, other in entries.items() for path in other.outs}
    used = {makers[path]: md5 for path, md5 in entry.deps.items() if path in makers}
    used |= {name: entry.deps[path] for name, path in FOLDERS.items() if path in entry.deps}
    for parent in parents:
        version, pointer = _input(instance, parent, key, used)
        tags[get_input_data_version_tag(dg.AssetKey(parent))] = version
        tags[get_input_event_pointer_tag(dg.AssetKey(parent))] = pointer
    return dg.AssetMaterialization(step, partition=key, tags=tags, metadata=dict(metadata or {}))


def _input(
    instance: dg.DagsterInstance, parent: str, key: str | None, used: Mapping[str, str]
) -> tuple[str, str]:
    """The two provenance tags of one input.

    For an input with partitions Dagster compares event pointers instead of versions. If its events
    report another version than the one that was read, the pointer is ``STALE_POINTER``.

    Args:
        instance: holds the events of the inputs.
        parent: name of the step that makes the input.
        key: partition of the asset that reads it; None if it has none.
        used: md5 of each input that was read, by stage.

    Returns:
        Data version of the input when it was read, and the pointer to the event that reported it.
    """
    if parent not in PARTITIONED:
        record = latest(instance, parent, None)
        known = _version(record) or NEVER
        pointer = str(record.storage_id) if record else NULL_EVENT_POINTER
        return used.get(parent, known), pointer  # not in used: an input that this run did not read
    partitions = [key] if key in PARTITIONS[parent] else list(PARTITIONS[parent])
    records = {name: latest(instance, parent, str(name)) for name in partitions}
    read = {name: used.get(f"{parent}@{name}", NEVER) for name in partitions}
    version = read[key] if key in read else hashlib.md5(repr(sorted(read.items())).encode()).hexdigest()
    if any(_version(record) != read[name] for name, record in records.items()):
        return version, STALE_POINTER
    return version, str(max(record.storage_id for record in records.values() if record))


def _version(record: EventLogRecord | None) -> str | None:
    """Data version that an event reports; None without one."""
    if record is None:
        return None
    return (record.event_log_entry.tags or {}).get(DATA_VERSION_TAG)


def is_known(instance: dg.DagsterInstance, entry: LockEntry) -> bool:
    """Whether Dagster's last event of this asset reports this lock entry."""
    record = latest(instance, *split(entry.stage))
    return (
        record is not None and (record.event_log_entry.tags or {}).get(ENTRY_TAG) == entry.fingerprint
    )


def report_folder(instance: dg.DagsterInstance, asset: str, md5: str) -> None:
    """Report the data version of an asset that no stage makes, unless the last event reported it."""
    if _version(latest(instance, asset, None)) != md5:
        tags = {DATA_VERSION_TAG: md5, DATA_VERSION_IS_USER_PROVIDED_TAG: "true"}
        instance.report_runless_asset_event(dg.AssetMaterialization(asset, tags=tags))


def report_unknown(
    instance: dg.DagsterInstance, ledger: Ledger, parents: Parents, describe: Describe
) -> list[str]:
    """Report every lock entry that Dagster does not know yet as a materialization.

    A stage is reported after those that it depends on, so that its event can point to theirs.

    Args:
        instance: gets the events.
        ledger: has the entries.
        parents: the asset graph; stages of steps that it lacks are not reported.
        describe: returns the metadata of the event of an entry.

    Returns:
        Names of the reported stages.
    """
    entries = ledger.entries()
    order = {step: i for i, step in enumerate(STEPS)}
    known = [stage for stage in entries if split(stage)[0] in parents]
    reported = []
    for stage in sorted(known, key=lambda name: (order[split(name)[0]], name)):
        entry = entries[stage]
        if not is_known(instance, entry):
            event = materialization(instance, entry, entries, parents[split(stage)[0]], describe(entry))
            instance.report_runless_asset_event(event)
            reported.append(stage)
    return reported


def no_event() -> dg.MaterializeResult:
    """The result of an asset that logged its events itself, or that was skipped.

    Downstream steps of the run continue, and Dagster adds no materialization (for a partitioned asset
    it would give all partitions one data version). Dagster uses this metadata key for its own assets
    that log their events themselves.
    """
    return dg.MaterializeResult(metadata={SYSTEM_METADATA_KEY_SOURCE_ASSET_OBSERVATION: True})
