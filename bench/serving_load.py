"""The service under mixed load, hostile bodies and promotions: failed requests, wrong versions, memory.

    python -m bench.serving_load [--models models] [--minutes 30] [--clients 4] [--engine openvino]

Two versions of the models, whose detectors give other scores, stand in a registry of this run's own.
The alias `champion` moves between them while clients ask for garments and sizes. One body in a hundred
is hostile. A good request fails if it is not answered with all its photos. A version is wrong if the
garments are not those of the version that the answer names, or if it had been replaced before the
request began. The exit status is 1 if a good request failed or a version was wrong.
"""

import argparse
import base64
import os
import random
import shutil
import sys
import tempfile
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import requests
from safetensors.torch import load_file, save_file

from bench.serving import free_port, server
from fashion_ops.files.publishing import write_whole
from fashion_ops.inference.example import same_garment
from fashion_ops.inference.predictor import Predictor
from fashion_ops.methods.artifact import WEIGHTS
from fashion_ops.methods.parts.device import CPU
from fashion_ops.registry.client import register
from fashion_ops.registry.connection import connect
from fashion_ops.synthetic.wardrobe.generate import encode
from fashion_ops.synthetic.wardrobe.plan import plan

NAME, PROMOTIONS, HOSTILE = "garment-landmarks", 5, 0.01
SIZE, PHOTOS, SURE = 512, 12, 0.5  # pixels of a side, photos, score of garments that are compared
SCORE = 0.01  # that a score of the same version may differ
SURER = 1.0  # of the second version's scores, logits
EVERY = 1.0  # seconds between looks at the memory
JSON = {"Content-Type": "application/json"}
BODIES: list[tuple[dict[str, str], bytes]] = [
    ({}, b""),
    (JSON, b"{"),
    (JSON, b"[" * 5000),
    (JSON, b'{"photos": ["http://169.254.169.254/latest"]}'),
    (JSON, b'{"photos": ["' + base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(9000)) + b'"]}'),
    (JSON, b'{"photos": [' + b'"AAAA",' * 99 + b'"AAAA"]}'),
    ({"Content-Type": "multipart/form-data; boundary=a"}, b"--a\r\nConte"),
    ({"Content-Type": "multipart/form-data"}, bytes(range(256)) * 40),
    ({"Content-Type": "text/html"}, b"<html>" * 3000),
]


@dataclass(frozen=True)
class Answered:
    """A good request: when it began and ended, and the version that its answer names."""

    start: float
    end: float
    version: int


@dataclass
class Record:
    """What the clients saw; ``problems`` counts them by a line each."""

    answered: list[Answered] = field(default_factory=list)
    problems: Counter[str] = field(default_factory=Counter)
    other_garments: int = 0
    hostile: Counter[int] = field(default_factory=Counter)
    memory: list[tuple[float, float]] = field(default_factory=list)


@dataclass(frozen=True)
class Client:
    """One client, which asks until ``stop`` is set."""

    address: str
    photos: list[bytes]
    expected: dict[int, list[list[dict[str, Any]]]]  # by version: garments of each photo
    record: Record
    stop: threading.Event
    seed: int

    def run(self) -> None:
        """Ask, one request after another."""
        rng = random.Random(self.seed)
        with requests.Session() as session:
            while not self.stop.is_set():
                if rng.random() < HOSTILE:
                    headers, body = rng.choice(BODIES)
                    answer = session.post(
                        f"{self.address}/v1/garments", data=body, headers=headers, timeout=60
                    )
                    self.record.hostile[answer.status_code] += 1
                else:
                    self._ask(session, rng)

    def _ask(self, session: requests.Session, rng: random.Random) -> None:
        kind = rng.choices(("garments", "base64", "sizes"), (0.8, 0.1, 0.1))[0]
        chosen = rng.choices(range(len(self.photos)), k=rng.choices((1, 3), (0.9, 0.1))[0])
        start = time.monotonic()
        path = f"{self.address}/v1/{'sizes' if kind == 'sizes' else 'garments'}"
        try:
            if kind == "base64":
                texts = [base64.b64encode(self.photos[n]).decode() for n in chosen]
                answer = session.post(path, json={"photos": texts}, timeout=60)
            else:
                files = [("photos", ("photo.jpg", self.photos[n])) for n in chosen]
                answer = session.post(path, files=files, timeout=60)
            content = answer.json()
        except (requests.RequestException, ValueError) as error:
            self.record.problems[type(error).__name__] += 1
            return
        if answer.status_code != 200 or any("error" in photo for photo in content["photos"]):
            self.record.problems[f"{kind}: status {answer.status_code}: {answer.text[:120]}"] += 1
            return
        version = content["model"]["version"]
        self.record.answered.append(Answered(start, time.monotonic(), version))
        if kind != "sizes":
            for n, photo in zip(chosen, content["photos"], strict=True):
                self.record.other_garments += not self._matches(version, n, photo["garments"])

    def _matches(self, version: int, photo: int, found: list[dict[str, Any]]) -> bool:
        """Whether the sure garments of a photo are those of a version."""
        return version in self.expected and contains(found, self.expected[version][photo])


def contains(found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> bool:
    """Whether every sure garment was found."""
    return all(
        any(same_garment(garment, other, SCORE) for other in found)
        for garment in expected
        if garment["score"] >= SURE
    )


def misplaced(answered: list[Answered], promotions: list[tuple[float, int]]) -> int:
    """Number of answers by a version that had been replaced, or was not yet champion.

    Args:
        answered: the good requests.
        promotions: when the alias was moved, and to which version, in order.
    """
    wrong = 0
    for (moved, version), (following, _) in zip(
        promotions, [*promotions[1:], (np.inf, 0)], strict=True
    ):
        first = min((a.end for a in answered if a.end > moved and a.version == version), default=np.inf)
        wrong += sum(first < a.start and a.end < following and a.version != version for a in answered)
    return wrong


def two_versions(models: Path, folder: Path) -> list[Path]:
    """Two bundles whose garments have other scores."""
    bundles = [folder / "one", folder / "two"]
    for bundle in bundles:
        shutil.copytree(models, bundle, ignore=shutil.ignore_patterns("dfa", "gle"))
        for name in ("params.yaml", "dvc.lock"):
            write_whole(bundle / name, b"")
    weights = load_file(bundles[1] / "detector" / WEIGHTS)
    weights["heads.hm.out.bias"] += SURER
    save_file(weights, bundles[1] / "detector" / WEIGHTS)
    return bundles


def main() -> None:
    """Run the load; print the numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--models", type=Path, default=Path("models"), help="of `make demo`")
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--clients", type=int, default=4)
    parser.add_argument("--engine", choices=("openvino", "torch"), default="openvino")
    parser.add_argument("--state", type=Path, help="of `fashion-ops serve`; default: a new folder")
    args = parser.parse_args()
    photos = [encode(shot, SIZE)[0] for shot in plan(0, "validation", PHOTOS, 0.35)]
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{root / 'mlflow.db'}"
        client, bundles = connect(root), two_versions(args.models, root)
        (root / "records").mkdir()
        expected = {}
        for bundle in bundles:
            version = int(register(client, NAME, bundle, root / "records", {}, {}, {}).version)
            predictor = Predictor.load(bundle, CPU)
            decoded = [predictor.decode(photo, "photo") for photo in photos]
            expected[version] = [[g.to_json() for g in predictor.predict(p)] for p in decoded]

        def promote(version: int) -> float:
            client.set_registered_model_alias(NAME, "champion", str(version))
            return time.monotonic()

        first, second = sorted(expected)
        pairs = zip(expected[first], expected[second], strict=True)
        if sum(not contains(one, two) for one, two in pairs) < PHOTOS / 2:
            raise SystemExit("the versions find the same garments: a wrong one would not be seen")
        promote(first)
        port, state = free_port(), args.state or root / "state"
        command = ["fashion_ops.cli", "serve", "--state", str(state), "--poll", "0.5"]
        command += ["--engine", args.engine, "--port", str(port)]
        with server(*command, port=port, ready="/ready") as address:
            for version in (second, first):  # the networks of both are exported before the load
                promote(version)
                while _version(address) != version:
                    time.sleep(0.5)
            record, promotions = _load(address, photos, expected, promote, args)
    report(record, promotions, args)


def _load(
    address: str,
    photos: list[bytes],
    expected: dict[int, list[list[dict[str, Any]]]],
    promote: Any,
    args: argparse.Namespace,
) -> tuple[Record, list[tuple[float, int]]]:
    """Run the clients and move the alias; returns what was seen, and when the alias moved."""
    record, stop = Record(), threading.Event()
    clients = [Client(address, photos, expected, record, stop, n) for n in range(args.clients)]
    threads = [threading.Thread(target=client.run) for client in clients]
    first, second = sorted(expected)
    begin = time.monotonic()
    seconds, promotions = args.minutes * 60, [(begin, first)]
    service = psutil.Process().children(recursive=True)
    for thread in threads:
        thread.start()
    while (passed := time.monotonic() - begin) < seconds:
        if passed > len(promotions) * seconds / (PROMOTIONS + 1) and len(promotions) <= PROMOTIONS:
            version = second if len(promotions) % 2 else first
            promotions.append((promote(version), version))
        resident = sum(process.memory_info().rss for process in service if process.is_running())
        record.memory.append((passed / 60, resident / 1e6))
        time.sleep(EVERY)
    stop.set()
    for thread in threads:
        thread.join()
    return record, promotions


def _version(address: str) -> int:
    """The version in use."""
    return requests.get(f"{address}/ready", timeout=60).json()["model"]["version"]


def report(record: Record, promotions: list[tuple[float, int]], args: argparse.Namespace) -> None:
    """Print the numbers; exit with 1 if a bar is missed."""
    minutes, megabytes = np.array(record.memory).T
    late = minutes > minutes[-1] / 2
    slope = np.polyfit(minutes[late], megabytes[late], 1)[0]
    failed, wrong = sum(record.problems.values()), misplaced(record.answered, promotions)
    milliseconds = [1e3 * (a.end - a.start) for a in record.answered]
    seen = len({version for _, version in promotions} & {a.version for a in record.answered})
    print(f"{args.minutes:g} minutes, {args.clients} clients, {len(promotions) - 1} promotions")
    print(f"good requests: {len(record.answered)} answered, {failed} failed {dict(record.problems)}")
    print(f"p50 {np.median(milliseconds):.0f} ms, p99 {np.quantile(milliseconds, 0.99):.0f} ms")
    print(f"wrong versions: {wrong} misplaced, {record.other_garments} with garments of another one")
    print(f"hostile bodies: {sum(record.hostile.values())}, by status {dict(record.hostile)}")
    print(
        f"memory: {megabytes[0]:.0f} MB at first, {megabytes[-1]:.0f} MB at last, in the second half "
        f"{slope:+.2f} MB a minute"
    )
    if failed or wrong or record.other_garments or seen < 2 or max(record.hostile, default=0) >= 500:
        sys.exit(1)


if __name__ == "__main__":
    main()
