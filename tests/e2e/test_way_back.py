"""Three versions with other data, parameters and code, of the real chain, tiny: promoted, brought back.

Three runs of the chain take minutes: only with FASHION_OPS_LONG=1. ``tests/registry/test_restore.py``
does the same with steps of milliseconds.
"""

import json
import os
import time

import pytest
from clone import Clone, clone_into

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif("FASHION_OPS_LONG" not in os.environ, reason="minutes; set FASHION_OPS_LONG=1"),
]


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Clone:
    made = clone_into(tmp_path_factory.mktemp("way back") / "fashion-ops")
    params = made.params
    floors = {"min_ap": 0.0, "min_box_ap": 0.0, "max_drop": 1.0, "max_likely_drop": 1.0}
    params["promote"] |= {**floors, "max_category_drop": 1.0, "max_latency_ms": 60000.0}
    made.set_params(params)
    return made


def version(clone: Clone) -> None:
    """Run what is stale, register, promote."""
    clone.python("-m", "pipelines.run")
    print(clone.run("fashion-ops", "promote").stderr.strip().splitlines()[-1])


def test_three_versions_come_back_bit_for_bit(clone: Clone) -> None:
    version(clone)
    params = clone.params
    params["categories"]["skirt"]["finetune"]["lr"] = 0.002
    clone.set_params(params)
    template = clone.root / "fashion_ops/reports/report.html"
    template.write_text(template.read_text().replace("<h2>Methods</h2>", "<h2>All methods</h2>"))
    version(clone)
    params["synthesize"] |= {"train": 52, "validation": 26}
    params["seed"] = 5
    clone.set_params(params)
    template.write_text(template.read_text().replace("<h2>All methods</h2>", "<h2>Rows</h2>"))
    version(clone)

    decision = json.loads((clone.root / "reports/promotion/promotion.json").read_text())
    assert decision["judged_anew"] and decision["against"] == 2 and decision["promoted"]
    locks, reports = set(), set()
    for number in (1, 2, 3):
        folder = clone.root.parent / f"back {number}"
        start = time.monotonic()
        done = clone.run("fashion-ops", "restore", str(number), "--into", str(folder), "--verify")
        print(f"version {number}: {time.monotonic() - start:.1f} s\n{done.stdout}")
        assert "`dvc status --with-deps evaluate` is clean" in done.stdout
        assert "models and evaluation are the recorded ones, bit for bit" in done.stdout
        back = Clone(folder)
        assert json.loads(back.run("dvc", "status", "--json", "--with-deps", "evaluate").stdout) == {}
        assert back.run("git", "status", "--porcelain").stdout == ""
        locks.add((folder / "dvc.lock").read_bytes())
        reports.add((folder / "reports/evaluation/report.html").read_bytes())
    assert len(locks) == len(reports) == 3
    clone.run("fashion-ops", "rollback", "--why", "a test")
    told = clone.run("fashion-ops", "history").stdout
    print(told)
    assert "champion: version 2" in told and "rollback: a test" in told
    refused = clone.run("fashion-ops", "promote", check=False)
    assert refused.returncode == 1 and "was rolled back" in " ".join(refused.stdout.split())
    assert clone.run("fashion-ops", "promote", "--again").returncode == 0
