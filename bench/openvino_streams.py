"""How OpenVINO runs one landmarker best on this CPU: shape, batch, threads and streams.

    python -m bench.openvino_streams STATE/NAME-VERSION/openvino-2/finetuned-skirt.xml

Prints the milliseconds of processor time and of wall time a crop, the least of several runs. Processor
time says what a crop costs also beside other work; wall time needs an idle machine.
"""

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import openvino as ov

from fashion_ops.methods.parts.openvino_core import CORE

CROPS = 8
F32 = {"INFERENCE_PRECISION_HINT": "f32"}


def compiled(path: Path, batch: int, **config: Any) -> ov.CompiledModel:
    """The network with a fixed batch, or with a free one (-1)."""
    network = CORE.read_model(path)
    network.reshape({port: [batch, *list(port.partial_shape)[1:]] for port in network.inputs})
    return CORE.compile_model(network, "CPU", {**F32, **config})


def inputs(model: ov.CompiledModel) -> list[np.ndarray]:
    """Noise of ``CROPS`` crops for each input of a network."""
    rng = np.random.default_rng(0)
    shapes = [(CROPS, *(d.get_length() for d in list(port.partial_shape)[1:])) for port in model.inputs]
    types = [port.element_type.to_dtype() for port in model.inputs]
    return [(96 * rng.random(s)).astype(t) for s, t in zip(shapes, types, strict=True)]


def in_batches(model: ov.CompiledModel, batch: int) -> Callable[[], None]:
    """Runs the crops, ``batch`` at a time, one after the other."""
    request, arrays = model.create_infer_request(), inputs(model)

    def run() -> None:
        for i in range(0, CROPS, batch):
            request.infer([array[i : i + batch] for array in arrays])

    return run


def on_streams(model: ov.CompiledModel, streams: int) -> Callable[[], None]:
    """Runs the crops one at a time on several streams."""
    queue, arrays = ov.AsyncInferQueue(model, streams), inputs(model)

    def run() -> None:
        for i in range(CROPS):
            queue.start_async([array[i : i + 1] for array in arrays])
        queue.wait_all()

    return run


def main() -> None:
    """Measure; print a line for each way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("network", type=Path, help="of a service's state folder")
    parser.add_argument("--repeats", type=int, default=8)
    args = parser.parse_args()
    one = {"NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": 1}
    both = {"NUM_STREAMS": 1, "INFERENCE_NUM_THREADS": 2}
    two = {"NUM_STREAMS": 2, "INFERENCE_NUM_THREADS": 2, "ENABLE_CPU_PINNING": False}
    ways = {
        "one thread, one crop, free batch": in_batches(compiled(args.network, -1, **one), 1),
        "one thread, one crop": in_batches(compiled(args.network, 1, **one), 1),
        "one thread, a batch of four": in_batches(compiled(args.network, 4, **one), 4),
        "two threads of one stream, one crop": in_batches(compiled(args.network, 1, **both), 1),
        "two threads of one stream, batch of four": in_batches(compiled(args.network, 4, **both), 4),
        "two streams of one thread, one crop each": on_streams(compiled(args.network, 1, **two), 2),
    }
    print(f"{os.cpu_count()} cores, load before: {os.getloadavg()[0]:.1f}", flush=True)
    for name, run in ways.items():
        run()
        processor, wall = [], []
        for _ in range(args.repeats):
            start, used = time.perf_counter(), time.process_time()
            run()
            processor.append(1e3 * (time.process_time() - used) / CROPS)
            wall.append(1e3 * (time.perf_counter() - start) / CROPS)
        print(f"{name:<42} {min(processor):.1f} ms of processor, {min(wall):.1f} ms", flush=True)


if __name__ == "__main__":
    main()
