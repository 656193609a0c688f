"""Exports the networks of a version in a process of its own, beside a service that goes on answering.

The process has a lower priority, so that requests come first, and ends with the service.
"""

import os
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

from fashion_ops.errors.failures import failure_line, is_of_a_service

_NICE = 10
_MINUTES = 30.0  # that an export may take
_LEAVE = 10.0  # seconds that its process has to end


def export_apart(bundle: Path, networks: Path) -> None:
    """Write the exported networks of a bundle, see ``export_pipeline`` and ``export_networks``.

    Args:
        bundle: folder of the models.
        networks: folder to write.

    Raises:
        ValueError: they cannot be exported, or do not equal those in torch; says why.
        OSError: the machine hinders it, see ``may_pass``; a TimeoutError if it takes too long.
    """
    context = get_context("spawn")
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=_export, args=(bundle, networks, sending), daemon=True)
    process.start()
    sending.close()
    try:
        if not receiving.poll(60 * _MINUTES):
            raise TimeoutError(
                f"{networks}: the export of {bundle} has not ended in {_MINUTES:g} minutes and was "
                "stopped; look at the disk and at the load of this machine"
            )
        failure, passing = receiving.recv()
    except EOFError:
        failure, passing = f"{bundle}: the process that exports its networks died", False
    finally:
        process.kill()  # its folder is whole before it answers
        process.join(_LEAVE)
    if failure:
        raise (OSError if passing else ValueError)(failure)


def may_pass(error: Exception) -> bool:
    """Whether models were not loaded by the fault of the machine or of a service, not by their own."""
    if isinstance(error, FileNotFoundError):
        return False
    lacks_memory = isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    return isinstance(error, OSError) or lacks_memory or is_of_a_service(error)


def _export(bundle: Path, networks: Path, answer: Connection) -> None:
    """Export, and send why it failed, an empty line if it did not, and whether that may pass."""
    try:
        os.nice(_NICE)
        from fashion_ops.inference.alignment_predictor import AlignmentPredictor, load_bundle
        from fashion_ops.inference.alignment_runtimes import export_networks
        from fashion_ops.inference.openvino_pipeline import export_pipeline
        from fashion_ops.methods.parts.device import CPU

        predictor = load_bundle(bundle, CPU)
        if isinstance(predictor, AlignmentPredictor):
            export_networks(bundle, predictor, networks)
        else:
            export_pipeline(predictor, bundle / "detector", networks)
        answer.send(("", False))
    except Exception as error:
        answer.send((failure_line(error), may_pass(error)))
