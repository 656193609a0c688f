"""Shared by all tests: checked annotations, one thread a process, no telemetry."""

import os
import signal
import sqlite3
from typing import Any

import pytest
from jaxtyping import install_import_hook
from sqlalchemy import event
from sqlalchemy.engine import Engine

# Before anything imports the library: every function of it checks its annotations, shapes included.
install_import_hook("fashion_ops", "annotations.check")

# Two threads that wait for each other on a busy machine are twenty times slower than one.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("DVC_NO_ANALYTICS", "true")
os.environ.setdefault("DO_NOT_TRACK", "1")

# A script that starts the tests by `... &` makes them and their children ignore Ctrl-C.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@event.listens_for(Engine, "connect")
def write_without_waiting(connection: Any, _: Any) -> None:
    """SQLite of tests need not survive a power cut; waiting for the disk is a third of a run."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous = OFF")


# Minutes each. They start first, so that no process ends with one of them while the other waits.
LONGEST = (
    "e2e/test_pipeline.py",
    "behaviour/test_learning.py",
    "pipelines/test_assets.py",
    "distributed/test_ray_cluster.py",
    "distributed/test_train_group.py",
    "distributed/test_block_runners.py",
    "behaviour/test_learning_detection.py",
    "pipelines/test_kills.py",
    "pipelines/test_automation.py",
    "behaviour/test_learning_alignment.py",
    "distributed/test_fan_out.py",
    "services/test_services.py",
    "methods/test_fake_cuda.py",
    "distributed/test_map_blocks.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the test files by duration, longest first; the order inside a file stays.

    The long tests get two hours each instead of pyproject.toml's `timeout`.
    """
    if os.environ.get("FASHION_OPS_LONG"):
        for item in items:
            item.add_marker(pytest.mark.timeout(7200))
    ranks = {name: rank for rank, name in enumerate(LONGEST)}

    def rank(item: pytest.Item) -> int:
        return ranks.get("/".join(item.path.parts[-2:]), len(LONGEST))

    items.sort(key=rank)


@pytest.fixture(scope="session")
def images():
    from small_catalog import make_images

    return make_images(25)


@pytest.fixture(scope="session")
def garments(images):
    import numpy as np
    from small_catalog import make_garments

    return make_garments(images, np.random.default_rng(1))


@pytest.fixture(scope="session")
def predictions(garments):
    import numpy as np
    from small_catalog import make_predictions

    return make_predictions(garments, np.random.default_rng(2), 8.0)


@pytest.fixture
def openvino_in_fp32(monkeypatch):
    """Untrained networks decide by hairs, which bf16 would split otherwise than torch's fp32."""
    from fashion_ops.inference import openvino_networks

    monkeypatch.setattr(openvino_networks, "computes_bf16", lambda *_: False)
