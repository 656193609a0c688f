"""Exports the networks of a version in a process of its own, beside a service that goes on answering.

The process has a lower priority, so that requests come first, and ends with the service.
"""

import os
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

from fashion_ops.errors.failures import failure_line

_NICE = 10


def export_apart(bundle: Path, networks: Path) -> None:
    """Write the exported networks of a bundle, see ``export_pipeline`` and ``export_networks``.

    Args:
        bundle: folder of the models.
        networks: folder to write.

    Raises:
        ValueError: they cannot be exported, or do not equal those in torch; says why.
    """
    context = get_context("spawn")
    receiving, sending = context.Pipe(duplex=False)
    process = context.Process(target=_export, args=(bundle, networks, sending), daemon=True)
    process.start()
    sending.close()
    try:
        failure = receiving.recv()
    except EOFError:
        failure = "the process that exports the networks died"
    process.join()
    if failure:
        raise ValueError(failure)


def _export(bundle: Path, networks: Path, answer: Connection) -> None:
    """Export, and send why it failed; an empty line if it did not."""
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
        answer.send("")
    except Exception as error:
        answer.send(failure_line(error))
