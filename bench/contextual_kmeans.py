"""K-means on outer products: ours, which never builds them, against scikit-learn on the built matrix.

    python -m bench.contextual_kmeans [--vectors 20000] [--size 78] [--clusters 20] [--rounds 10]

Each runs in its own process on one thread, from the same initial centres and for the same number of
rounds; the last line has the ratios. Time includes building the clustered matrix. Memory is the peak of
the process minus what it held before the vectors were drawn.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time

import numpy as np

NAMES = ("scikit-learn", "ours")


def vectors(count: int, size: int, clusters: int) -> tuple[np.ndarray, np.ndarray]:
    """Offsets and configurations, each (count, size), drawn around ``clusters`` centres."""
    rng = np.random.default_rng(0)
    kind = rng.integers(clusters, size=count)
    spread = rng.normal(0, 0.05, (clusters, size))[kind] + rng.normal(0, 0.02, (count, size))
    return spread, rng.uniform(-0.5, 0.5, (clusters, size))[kind] + rng.normal(0, 0.05, (count, size))


def peak() -> int:
    """Largest resident memory of this process so far, bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def work(name: str, count: int, size: int, clusters: int, rounds: int) -> dict[str, float]:
    """Cluster once; seconds, bytes of memory and the sum of the absolute centres."""
    from sklearn.cluster import KMeans

    from fashion_ops.methods.parts import kmeans
    from fashion_ops.methods.parts.contextual_kmeans import OuterProducts

    before = peak()
    left, right = vectors(count, size, clusters)
    rows = np.random.default_rng(1).choice(count, clusters, replace=False)
    initial = left[rows, :, None] * right[rows, None, :]
    start = time.perf_counter()
    if name == "ours":
        space = OuterProducts.from_landmarks(left[:, :, None], right[:, :, None])
        centers = kmeans.lloyd(space, initial, rounds)
    else:
        built = (left[:, :, None] * right[:, None, :]).reshape(count, -1)
        flat = initial.reshape(clusters, -1)
        fitted = KMeans(clusters, init=flat, n_init=1, max_iter=rounds, tol=0, copy_x=False).fit(built)
        centers = fitted.cluster_centers_.reshape(initial.shape)
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "bytes": peak() - before, "sum": float(np.abs(centers).sum())}


def main() -> None:
    """Run both, one after the other, each in its own process, and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    for option, default in (("vectors", 20000), ("size", 78), ("clusters", 20), ("rounds", 10)):
        parser.add_argument(f"--{option}", type=int, default=default)
    parser.add_argument("--only", choices=NAMES, help=argparse.SUPPRESS)
    args = parser.parse_args()
    sizes = (args.vectors, args.size, args.clusters, args.rounds)
    if args.only:
        print(json.dumps(work(args.only, *sizes)))
        return
    options = dict(zip(("--vectors", "--size", "--clusters", "--rounds"), map(str, sizes), strict=True))
    one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    results = {}
    for name in NAMES:
        command = [sys.executable, "-m", "bench.contextual_kmeans", "--only", name]
        command += [part for option in options.items() for part in option]
        done = subprocess.run(
            command, env=os.environ | one_thread, capture_output=True, text=True, check=True
        )
        results[name] = result = json.loads(done.stdout)
        seconds, mib = result["seconds"], result["bytes"] / 2**20
        print(f"{name:13} {seconds:8.2f} s  {mib:8.0f} MiB  |C| {result['sum']:.6f}")
    theirs, ours = (results[name] for name in NAMES)
    print(
        f"ours / theirs: time {ours['seconds'] / theirs['seconds']:.3f}, "
        f"memory {ours['bytes'] / theirs['bytes']:.3f}"
    )


if __name__ == "__main__":
    main()
