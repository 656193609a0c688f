"""The record of the hardware that an evaluation was predicted on.

It lies beside the outputs of ``evaluate`` and not among them, because these are the same bytes on every
machine of one kind, and DVC compares them. It holds the digest of the predictions it speaks of, so that
after ``dvc checkout`` of another evaluation nothing is known rather than something wrong.
"""

from collections.abc import Iterable

from fashion_ops.files.digests import folder_digest
from fashion_ops.files.publishing import write_whole
from fashion_ops.methods.parts.hardware import Hardware, dump_hardware, read_hardware
from fashion_ops.workspace import Workspace


def record_hardware(ws: Workspace, hardware: Iterable[Hardware]) -> None:
    """Record that the predictions in ``ws.evaluation`` were made on this hardware."""
    text = dump_hardware(hardware, predictions=folder_digest(ws.evaluation / "predictions"))
    write_whole(ws.evaluation_hardware, text.encode())


def evaluated_on(ws: Workspace) -> frozenset[Hardware]:
    """Read the hardware of the predictions in ``ws.evaluation``; empty if it was not recorded.

    Raises:
        ValueError: the file of the record is damaged.
    """
    if not ws.evaluation_hardware.is_file():
        return frozenset()
    return read_hardware(
        ws.evaluation_hardware, predictions=folder_digest(ws.evaluation / "predictions")
    )
