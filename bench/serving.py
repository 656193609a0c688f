"""The service against `mlflow models serve`, both with the same version, one after the other.

    python -m bench.serving [--model models:/garment-landmarks@champion] [--photos 24] [--clients 8]

Prints the median milliseconds of one client and the photos a second of several, of both and as ratios.
The servers get the same photos one a request, and stand on the same machine as the clients.
"""

import argparse
import base64
import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import requests

from fashion_ops.synthetic.wardrobe.generate import encode
from fashion_ops.synthetic.wardrobe.plan import plan

SIZE = 512  # pixels of a photo's side
START = 900  # seconds that a server may take to start


@contextmanager
def server(*command: str, port: int, ready: str) -> Iterator[str]:
    """Run a server until it answers at ``ready``; yields its address."""
    address = f"http://127.0.0.1:{port}"
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen([sys.executable, "-m", *command], stdout=log, stderr=log)
        try:
            deadline = time.monotonic() + START
            while True:
                try:
                    if requests.get(address + ready, timeout=2).status_code == 200:
                        break
                except requests.RequestException:
                    pass
                if process.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    raise SystemExit(log.read().decode(errors="replace")[-2000:])
                time.sleep(0.5)
            yield address
        finally:
            process.terminate()
            process.wait()


def measure(post: Callable[[bytes], None], photos: list[bytes], clients: int) -> tuple[float, float]:
    """Median seconds of one client, and photos a second of several."""
    for photo in photos[:4]:
        post(photo)
    times = []
    for photo in photos:
        start = time.perf_counter()
        post(photo)
        times.append(time.perf_counter() - start)
    with ThreadPoolExecutor(clients) as pool:
        list(pool.map(post, photos[:clients]))
        start = time.perf_counter()
        list(pool.map(post, photos * 2))
        seconds = time.perf_counter() - start
    return statistics.median(times), 2 * len(photos) / seconds


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


def main() -> None:
    """Measure both; print the numbers and ratios."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--model", default="models:/garment-landmarks@champion")
    parser.add_argument("--photos", type=int, default=24)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--state", type=Path, help="of `fashion-ops serve`; default: a new folder")
    args = parser.parse_args()
    photos = [encode(shot, SIZE)[0] for shot in plan(0, "validation", args.photos, 0.35)]
    print(f"{os.cpu_count()} cores, load before: {os.getloadavg()[0]:.1f}", flush=True)

    port = free_port()
    mlflow = ("mlflow", "models", "serve", "--model-uri", args.model, "--env-manager", "local")
    with server(*mlflow, "--port", str(port), port=port, ready="/ping") as address:

        def ask_mlflow(photo: bytes) -> None:
            row = {"image": base64.b64encode(photo).decode()}
            body = {"dataframe_records": [row]}
            requests.post(f"{address}/invocations", json=body, timeout=300).raise_for_status()

        theirs = measure(ask_mlflow, photos, args.clients)
    print(f"mlflow models serve: p50 {theirs[0] * 1e3:.0f} ms, {theirs[1]:.2f} photos/s", flush=True)

    with tempfile.TemporaryDirectory() as scratch:
        port, state = free_port(), args.state or Path(scratch)
        command = ("fashion_ops.cli", "serve", "--model", args.model, "--state", str(state))
        with server(*command, "--port", str(port), port=port, ready="/ready") as address:

            def ask_service(photo: bytes) -> None:
                files = {"photos": ("photo.jpg", photo)}
                response = requests.post(f"{address}/v1/garments", files=files, timeout=300)
                response.raise_for_status()
                assert "garments" in response.json()["photos"][0]

            ours = measure(ask_service, photos, args.clients)
    print(f"fashion-ops serve:   p50 {ours[0] * 1e3:.0f} ms, {ours[1]:.2f} photos/s")
    print(f"ratio: p50 {ours[0] / theirs[0]:.2f}, throughput {ours[1] / theirs[1]:.2f}")


if __name__ == "__main__":
    main()
