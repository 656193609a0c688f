"""The service against `mlflow models serve`, both with the same version, in turns.

    python -m bench.serving [--model models:/garment-landmarks@champion] [--photos 24] [--clients 8]

Prints the median milliseconds of one client and the photos a second of several, of both and as ratios,
and the milliseconds from a photo to sizes. Both servers run all the time and are asked in turns, the
same photos one a request; they stand on the same machine as the clients.
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
from contextlib import ExitStack, contextmanager
from pathlib import Path

import cv2
import requests

from bench.flat_lay_photos import wardrobe_flat_lay
from fashion_ops.synthetic.wardrobe.generate import encode
from fashion_ops.synthetic.wardrobe.plan import plan

SIZE = 512  # pixels of a photo's side
START = 1800  # seconds that a server may take to start, with the export of the networks
ROUNDS = 4  # of several clients with all photos
SHOTS = 10  # photos whose garments are measured

Post = Callable[[bytes], None]


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


def one_client(posts: list[Post], photos: list[bytes]) -> list[float]:
    """Median seconds of one client of each server; the servers take turns on every photo, A B B A."""
    for photo in photos[:4]:
        for post in posts:
            post(photo)
    times: list[list[float]] = [[] for _ in posts]
    for n, photo in enumerate(photos):
        for server in sorted(range(len(posts)), reverse=bool(n % 2)):
            start = time.perf_counter()
            posts[server](photo)
            times[server].append(time.perf_counter() - start)
    return [statistics.median(of_server) for of_server in times]


def several_clients(posts: list[Post], photos: list[bytes], clients: int) -> list[float]:
    """Photos a second of several clients of each server; the servers take turns, A B B A."""
    seconds = [0.0 for _ in posts]
    with ThreadPoolExecutor(clients) as pool:
        for post in posts:
            list(pool.map(post, photos[:clients]))
        for n in range(ROUNDS):
            for server in sorted(range(len(posts)), reverse=bool(n % 2)):
                start = time.perf_counter()
                list(pool.map(posts[server], photos))
                seconds[server] += time.perf_counter() - start
    return [ROUNDS * len(photos) / s for s in seconds]


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

    ports, mlflow = (free_port(), free_port()), ("mlflow", "models", "serve", "--model-uri", args.model)
    with ExitStack() as stack:
        state = args.state or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        command = ("fashion_ops.cli", "serve", "--model", args.model, "--state", str(state))
        ours = stack.enter_context(
            server(*command, "--port", str(ports[0]), port=ports[0], ready="/ready")
        )
        command = (*mlflow, "--env-manager", "local", "--port", str(ports[1]))
        theirs = stack.enter_context(server(*command, port=ports[1], ready="/ping"))

        def ask_mlflow(photo: bytes) -> None:
            row = {"image": base64.b64encode(photo).decode()}
            body = {"dataframe_records": [row]}
            requests.post(f"{theirs}/invocations", json=body, timeout=300).raise_for_status()

        def ask_service(photo: bytes) -> None:
            files = {"photos": ("photo.jpg", photo)}
            response = requests.post(f"{ours}/v1/garments", files=files, timeout=300)
            response.raise_for_status()
            assert "garments" in response.json()["photos"][0]

        posts = [ask_mlflow, ask_service]
        seconds = one_client(posts, photos)
        rates = several_clients(posts, photos, args.clients)
        garment = statistics.median(sizes_seconds(ours))
    for name, s, rate in zip(("mlflow models serve", "fashion-ops serve"), seconds, rates, strict=True):
        print(f"{name:<20} p50 {s * 1e3:.0f} ms, {rate:.2f} photos/s")
    print(f"ratio: p50 {seconds[1] / seconds[0]:.2f}, throughput {rates[1] / rates[0]:.2f}")
    print(f"photo in, sizes out: one garment beside an A4 sheet, p50 {garment * 1e3:.0f} ms")


def sizes_seconds(address: str) -> list[float]:
    """Seconds of requests for the sizes of one garment beside a sheet."""
    times = []
    for seed in range(SHOTS):
        pixels = wardrobe_flat_lay(seed, "A4").photo
        photo = cv2.imencode(".jpg", pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes()
        start = time.perf_counter()
        files = {"photos": ("photo.jpg", photo)}
        requests.post(f"{address}/v1/sizes", files=files, timeout=300).raise_for_status()
        times.append(time.perf_counter() - start)
    return times


if __name__ == "__main__":
    main()
