"""JPEG bytes to landmarks on the edge: OpenVINO against ONNX Runtime and torch, same photos, one run.

    python -m bench.edge [--backbone mdla34] [--size 256] [--threads 2] [--photos 8] [--rounds 5]

The network is mDLA-34 with 62 groups and random weights. Weights affect only the number of detected
garments, so the threshold of each photo is set to give four (DeepFashion2 has 1.6 a photo). Each side
decodes the JPEG, letterboxes it, runs the network, decodes with all four techniques, applies NMS and
maps the garments back to the photo. Sides take turns after a pause, in which spinning threads fall
asleep, and one uncounted photo; the median of all photos counts. The last lines time decoding alone.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import torch

from fashion_ops.inference.edge import detect_photo
from fashion_ops.methods.artifact import save_model
from fashion_ops.methods.centernet.decode import decode, grouping_slots
from fashion_ops.methods.centernet.deploy.export import export_detector
from fashion_ops.methods.centernet.deploy.graph import NETWORK, ExportConfig
from fashion_ops.methods.centernet.deploy.photo import decode_reduced
from fashion_ops.methods.centernet.deploy.quantize import quantize
from fashion_ops.methods.centernet.deploy.runtimes import ExportedDetector, OnnxNetwork, OpenvinoNetwork
from fashion_ops.methods.centernet.inference import Detector, TorchNetwork
from fashion_ops.methods.centernet.model import UNITS, CenterNet
from fashion_ops.methods.parts.device import CPU
from fashion_ops.params import PostProcess
from fashion_ops.synthetic.wardrobe.generate import encode
from fashion_ops.synthetic.wardrobe.plan import plan
from fashion_ops.taxonomy import load_grouping

POST = PostProcess(flip=False)
OFF = POST.model_copy(update={"smooth": False, "mask": False, "blend": False, "rescore": False})
GROUPING = "semantic62"
GARMENTS = 4  # a photo
PHOTO = 480  # side of the photos, pixels; DeepFashion2's are about 470 x 620


def save_detector(folder: Path, backbone: str, size: int) -> None:
    """Save a detector with random weights, clear peaks of centres, and boxes a third of the input."""
    torch.manual_seed(0)
    net = CenterNet(backbone, load_grouping(GROUPING).num_groups)
    with torch.inference_mode():
        logits = net.eval()(torch.randn(1, 3, size, size))["hm"]
    last = {name.split(".")[-2]: m for name, m in net.named_modules() if name.endswith(".out")}
    last["hm"].weight.data *= 2 / logits.std()
    last["wh"].bias.data.fill_(size / 12 / UNITS["wh"])
    spec = {
        "method": "centernet",
        "grouping": GROUPING,
        "backbone": backbone,
        "neck_width": None,
        "head_width": None,
        "input_size": size,
        "score_threshold": 0.05,
        "precision": "fp32",
    }
    folder.mkdir()
    save_model(folder, net, spec)


def make_sides(
    root: Path, backbone: str, size: int, jpegs: list[bytes], threads: int
) -> dict[str, Detector]:
    """The detectors by name; the first is the baseline of the ratios."""
    save_detector(root / "detector", backbone, size)
    eager = Detector.load(root / "detector", CPU, POST)
    maps = export_detector(root / "detector", root / "maps", ExportConfig("onnx"), POST, CPU)
    inside = export_detector(
        root / "detector",
        root / "inside",
        ExportConfig("onnx", decode=True),
        POST,
        CPU,
    )
    fitted = eager.letterbox([decode_reduced(data, "photo", size).pixels for data in jpegs])[0]
    int8 = root / "int8.onnx"
    quantize(maps.folder / NETWORK["onnx"], int8, fitted.permute(0, 2, 3, 1).numpy())

    def served(runtime: type, path: Path, graph, precision: str) -> Detector:
        graph = graph.model_copy(update={"precision": precision})
        return ExportedDetector(runtime.open(path, graph, threads), eager.spec, POST, graph=graph)

    plain, decoding = maps.folder / NETWORK["onnx"], inside.folder / NETWORK["onnx"]
    assert isinstance(eager.network, TorchNetwork)
    return {
        "openvino": served(OpenvinoNetwork, plain, maps.graph, "bf16"),
        "openvino, decode inside": served(OpenvinoNetwork, decoding, inside.graph, "bf16"),
        "openvino fp32": served(OpenvinoNetwork, plain, maps.graph, "fp32"),
        "openvino int8": served(OpenvinoNetwork, int8, maps.graph, "int8"),
        "onnx fp32": served(OnnxNetwork, plain, maps.graph, "fp32"),
        "onnx int8": served(OnnxNetwork, int8, maps.graph, "int8"),
        "torch fp32": eager,
        "torch bf16": replace(eager, network=replace(eager.network, precision="bf16")),
    }


def usual_thresholds(detector: Detector, jpegs: list[bytes], size: int) -> list[float]:
    """The score of each photo that ``GARMENTS`` of its detections reach."""
    images, _ = detector.letterbox([decode_reduced(data, "photo", size).pixels for data in jpegs])
    decoded = decode(detector.network(images), grouping_slots(detector.grouping), POST)
    return decoded.scores[:, GARMENTS - 1].tolist()


def seconds(action: Callable[[], object]) -> float:
    """Time of one call."""
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def main() -> None:
    """Time all sides; print rates, ratios and the share of decoding."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--backbone", default="mdla34")
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--photos", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(args.threads)
    jpegs = [encode(shot, PHOTO)[0] for shot in plan(0, "validation", args.photos, 0.35)]
    with tempfile.TemporaryDirectory() as folder:
        sides = make_sides(Path(folder), args.backbone, args.size, jpegs, args.threads)
    first, eager = sides["openvino"], sides["torch fp32"]
    photos = list(zip(jpegs, usual_thresholds(eager, jpegs, args.size), strict=True))
    garments = [len(_detect(first, *photo)) for photo in photos]
    print(
        f"{args.backbone}, {GROUPING}, {args.size} x {args.size}, batch 1, {args.threads} threads, "
        f"{args.photos} photos of {PHOTO} pixels with {statistics.mean(garments):.1f} garments each"
    )
    images = [first.letterbox([decode_reduced(d, "photo", args.size).pixels])[0] for d in jpegs]
    maps = [(first.network(p), t) for p, (_, t) in zip(images, photos, strict=True)]
    plain = first.with_post(OFF)
    taken: dict[str, list[float]] = {name: [] for name in (*sides, "decode", "plain", "network")}
    for _ in range(args.rounds):
        for name, detector in sides.items():
            time.sleep(0.05)
            _detect(detector, *photos[-1])
            taken[name] += [seconds(lambda p=p, s=detector: _detect(s, *p)) for p in photos]
        with torch.inference_mode():
            taken["network"] += [seconds(lambda p=p: first.network(p)) for p in images]
            taken["decode"] += [seconds(lambda m=m: first.decode(*m)) for m in maps]
            taken["plain"] += [seconds(lambda m=m: plain.decode(*m)) for m in maps]
    median = {name: statistics.median(values) for name, values in taken.items()}
    print(f"{'':26}{'ms':>8}{'fastest':>9}{'images/s':>10}{'ratio':>8}")
    for name in sides:
        ms, least = 1e3 * median[name], 1e3 * min(taken[name])
        ratio = median[name] / median["openvino"]
        print(f"{name:26}{ms:8.1f}{least:9.1f}{1e3 / ms:10.1f}{ratio:7.2f}x")
    total = median["openvino"]
    print(
        f"openvino's {1e3 * total:.1f} ms: network {1e3 * median['network']:.1f} ms, decode with all "
        f"techniques {1e3 * median['decode']:.2f} ms ({median['decode'] / total:.1%}), without any "
        f"{1e3 * median['plain']:.2f} ms"
    )


def _detect(detector: Detector, data: bytes, threshold: float) -> list:
    photo = decode_reduced(data, "photo", detector.spec["input_size"])
    return detect_photo(detector, photo, threshold)


if __name__ == "__main__":
    main()
