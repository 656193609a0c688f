"""Bulk prediction on nodes that share nothing: one is lost, and the table does not notice.

The photos lie on the driver's disk, which the nodes cannot see. Their models are a stand-in. Only with
FASHION_OPS_LONG=1; ``test_map_blocks`` kills an actor in every run.
"""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
from bulk_photos import predict_here, write_photos
from ray_nodes import Cluster, possible

import fashion_ops

PATIENCE = 400  # seconds; a quiet machine needs a tenth

DRIVER = """
import socket, sys
from pathlib import Path
import bulk_photos
from ray import cloudpickle
from fashion_ops.commands.bulk import RemotePhotos, _start_store
from fashion_ops.distributed.cluster import connect
from fashion_ops.distributed.map_blocks import map_blocks
from fashion_ops.inference.bulk.blocks import BlockPredictor
from fashion_ops.inference.bulk.manifest import Identity
from fashion_ops.inference.bulk.run import bulk_run
from fashion_ops.params import Distributed

cloudpickle.register_pickle_by_value(bulk_photos)
settings = Distributed(wait_for_node=300.0)
photos = Path("photos").absolute()

def compute(blocks):
    connect(settings)
    store = _start_store()

    def load():
        predict = BlockPredictor(bulk_photos.MeanPredictor(0.15), RemotePhotos(store), 0.0, 8)
        return lambda block: (predict(block), socket.gethostname(), photos.exists())

    for name, (part, host, seen) in map_blocks(blocks, load, settings, step="predict"):
        print(name, host, seen, flush=True)
        yield name, part

with bulk_run(Path("out"), Identity([str(photos)], "mean", "1", {"--min-score": 0.0})) as run:
    run.compute(compute, lambda _: None)
    run.finish(coco=False)
print("done", "torch" in sys.modules, flush=True)
"""


@pytest.mark.skipif("FASHION_OPS_LONG" not in os.environ, reason="takes minutes: FASHION_OPS_LONG=1")
@pytest.mark.skipif(not possible(), reason="needs root and Linux namespaces")
def test_a_lost_node_costs_no_photo(tmp_path: Path) -> None:
    with Cluster() as cluster:
        home = cluster.folder / "home"
        write_photos(home / "photos", 640)
        (home / "driver.py").write_text(DRIVER)
        for node in ("a", "b"):
            cluster.add(node)
        path = os.pathsep.join(
            [str(Path(fashion_ops.__file__).parents[1]), str(Path(__file__).parents[1])]
        )
        log = cluster.folder / "driver.log"
        with log.open("w") as out:
            command = (sys.executable, "driver.py")
            driver = subprocess.Popen(
                command, cwd=home, env=cluster.env | {"PYTHONPATH": path}, stdout=out, stderr=out
            )

        def lines() -> list[list[str]]:
            return [line.split() for line in log.read_text().splitlines() if line[:1].isdigit()]

        deadline = time.monotonic() + PATIENCE
        try:
            while len({host for _, host, _ in lines()}) < 2:
                assert driver.poll() is None and time.monotonic() < deadline, log.read_text()
                time.sleep(0.1)
            before = len(lines())
            cluster.kill("a")
            assert driver.wait(PATIENCE) == 0, log.read_text()
        finally:
            driver.kill()
        assert before < 40 and len(lines()) == len({name for name, _, _ in lines()}) == 40
        assert {(host, seen) for _, host, seen in lines()} == {("a", "False"), ("b", "False")}
        assert log.read_text().splitlines()[-1] == "done False"  # the driver loads no models
        parts = {p.name: p.read_bytes() for p in (home / "out" / "photos").glob("part-*")}
        shutil.copytree(home / "photos", tmp_path / "photos")
        predict_here(tmp_path / "out", [str(home / "photos")])
    assert {p.name: p.read_bytes() for p in (tmp_path / "out" / "photos").glob("part-*")} == parts
