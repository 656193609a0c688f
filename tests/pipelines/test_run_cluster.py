"""A Ray cluster for each run: made when a step needs it, joined, deleted however the run ends.

The Kubernetes API is a server on this machine, which records what the real client asks of it. A script
stands in for the Ray node that joins the cluster.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from kubernetes_api import READY, KubernetesApi, kubernetes_api

pytest.importorskip("dagster_ray")

from pipelines import run, run_cluster
from pipelines.definitions import build
from pipelines.resources import RUN_CLUSTER

ROOT = Path(__file__).parents[2]
MANIFEST = ROOT / "infra" / "ray" / "runcluster.yaml"
JOINS = "import sys, time; print('Ray runtime started.', flush=True); time.sleep(60)"


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KubernetesApi]:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with kubernetes_api(tmp_path) as api:
        monkeypatch.setenv(RUN_CLUSTER, str(MANIFEST))
        monkeypatch.setenv("KUBECONFIG", str(api.config))
        monkeypatch.setattr(
            "kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", str(api.config)
        )
        monkeypatch.setenv("RAY_ADDRESS", "permanent:6379")
        monkeypatch.setattr(run_cluster, "NODE", (sys.executable, "-c", JOINS))
        yield api


@pytest.fixture
def nodes(monkeypatch: pytest.MonkeyPatch) -> list[subprocess.Popen[bytes]]:
    """The nodes that were started, to see that they end."""
    started: list[subprocess.Popen[bytes]] = []

    def start(words: Any, **options: Any) -> subprocess.Popen[bytes]:
        process = popen(words, **options)
        if list(words[:3]) == [*run_cluster.NODE]:
            started.append(process)
        return process

    popen = subprocess.Popen
    monkeypatch.setattr(run_cluster.subprocess, "Popen", start)
    return started


def lines(results: list[dg.ExecuteInProcessResult]) -> str:
    return "\n".join(run.failures(results))


def test_the_first_step_that_needs_ray_makes_the_cluster_and_the_end_of_the_run_deletes_it(
    repository: Any, stages: Any, api: KubernetesApi, nodes: list[subprocess.Popen[bytes]]
) -> None:
    seen: list[tuple[str, str | None, int]] = []
    stages.during = lambda stage: seen.append((stage, os.environ.get("RAY_ADDRESS"), len(api.clusters)))
    steps = ("synthesize", "ingest", "aggregate", "pseudo_label", "train_landmarker", "finetune")
    results = run.run(repository.root, repository.instance, steps)
    assert all(result.success for result in results), lines(results)
    own = f"fashion-ops-{results[0].run_id[:8]}"
    address = f"{own}-head-svc.fashion-ops.svc.cluster.local:6379"
    addresses = {stage.partition("@")[0]: (where, n) for stage, where, n in seen}
    assert addresses["synthesize"] == addresses["ingest"] == ("permanent:6379", 0)  # they need no Ray
    assert addresses["train_landmarker"] == addresses["finetune"] == (address, 1)
    [made] = api.made  # one for both steps
    assert api.clusters == {} and api.calls[-1] == ("DELETE", own)
    assert os.environ["RAY_ADDRESS"] == "permanent:6379"
    [node] = nodes
    assert node.poll() is not None
    expected = yaml.safe_load(MANIFEST.read_text())
    assert made["spec"] == expected["spec"] and made["kind"] == "RayCluster"
    labels = made["metadata"]["labels"]
    assert labels["dagster/run-id"] == results[0].run_id
    assert expected["metadata"]["labels"].items() <= labels.items()
    before = len(api.calls)
    again = run.run(repository.root, repository.instance, steps)
    assert all(result.success for result in again) and len(api.calls) == before  # all was current


@pytest.mark.parametrize(
    "error", [RuntimeError("cuda"), KeyboardInterrupt()], ids=["failed", "cancelled"]
)
def test_a_run_that_fails_or_is_cancelled_leaves_no_cluster(
    repository: Any,
    stages: Any,
    api: KubernetesApi,
    nodes: list[subprocess.Popen[bytes]],
    error: BaseException,
) -> None:
    stages.failing["train_detector"] = error  # type: ignore[assignment]
    steps = ("synthesize", "ingest", "aggregate", "train_detector")
    try:
        results = run.run(repository.root, repository.instance, steps)
    except BaseException as raised:
        assert not isinstance(error, RuntimeError), raised
    else:
        assert not results[0].success
    assert stages.calls[-1] == "train_detector" and len(api.made) == 1
    assert api.clusters == {} and api.calls[-1][0] == "DELETE"
    assert [node.poll() is not None for node in nodes] == [True]
    assert os.environ["RAY_ADDRESS"] == "permanent:6379"


WAITING = {
    "state": "",
    "conditions": [
        {"type": "HeadPodReady", "status": "False", "message": "0/3 nodes: insufficient\nmemory"}
    ],
}


@pytest.mark.parametrize(
    ("status", "refused", "says"),
    [
        (WAITING, {}, "not ready within 1 s (no state: 0/3 nodes: insufficient; memory)"),
        ({"state": "failed", "reason": "bad image"}, {}, "(failed: bad image)"),
        (
            READY,
            {"POST": (403, "rayclusters.ray.io is forbidden")},
            "Kubernetes: rayclusters.ray.io is",
        ),
        (READY, {"POST": (404, "404 page not found")}, "Kubernetes: 404 page not found"),
    ],
    ids=["never ready", "failed", "forbidden", "no KubeRay"],
)
def test_a_cluster_that_does_not_come_is_one_line_and_is_deleted(
    repository: Any,
    stages: Any,
    api: KubernetesApi,
    monkeypatch: pytest.MonkeyPatch,
    status: dict[str, Any],
    refused: dict[str, tuple[int, str]],
    says: str,
) -> None:
    monkeypatch.setattr(run_cluster, "HEAD_SECONDS", 1.0)
    api.statuses, api.refuse = [status], refused
    results = run.run(
        repository.root, repository.instance, ("synthesize", "ingest", "aggregate", "train_detector")
    )
    [line] = run.failures(results)
    assert says in line and "fashion-ops/fashion-ops-" in line and "kubectl -n fashion-ops" in line, (
        line
    )
    assert stages.calls[-1] == "aggregate" and api.clusters == {}
    assert run.status_of(results) == 2


def test_a_host_that_cannot_join_says_why_and_the_cluster_is_deleted(
    repository: Any, stages: Any, api: KubernetesApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "import sys; sys.exit('head:6379: the token is wrong')"
    monkeypatch.setattr(run_cluster, "NODE", (sys.executable, "-c", code))
    steps = ("synthesize", "ingest", "aggregate", "train_detector")
    results = run.run(repository.root, repository.instance, steps)
    [line] = run.failures(results)
    logged = [entry.user_message for entry in repository.instance.all_logs(results[-1].run_id)]
    assert any(said.endswith("this host joins it, within 120 s") for said in logged)
    assert "this host could not join: head:6379: the token is wrong" in line
    assert stages.calls[-1] == "aggregate" and api.clusters == {} and len(api.made) == 1


def test_the_sensor_deletes_the_cluster_of_a_run_that_was_killed_and_no_other(
    repository: Any, api: KubernetesApi
) -> None:
    definitions = build(repository.root)
    ids = {}
    for status in (dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.STARTED):
        ids[status] = repository.instance.create_run_for_job(
            definitions.resolve_job_def("pipeline"), status=status
        ).run_id
    ids["unknown"] = "of-another-history"
    for run_id in ids.values():
        metadata = {"name": run_id, "labels": {"dagster/run-id": run_id}}
        api.clusters[run_id] = {"metadata": metadata}
    resources = {"ray_cluster": definitions.resources["ray_cluster"]}
    with dg.build_sensor_context(instance=repository.instance, resources=resources) as context:
        killed = ids.pop(dg.DagsterRunStatus.FAILURE)
        skipped = run_cluster.ray_clusters.evaluate_tick(context).skip_message
        assert skipped == f"deleted {killed}" and set(api.clusters) == set(ids.values())
        api.refuse = {"GET": (403, "forbidden")}
        assert "forbidden" in (run_cluster.ray_clusters.evaluate_tick(context).skip_message or "")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, "No such file"),
        ("kind: Pod\nmetadata: {}\nspec: {}\n", "must be RayCluster"),
        ("- 1", "list"),
    ],
    ids=["missing", "another kind", "no manifest"],
)
def test_a_wrong_manifest_is_named_with_its_variable(
    repository: Any, api: KubernetesApi, monkeypatch: pytest.MonkeyPatch, text: str | None, says: str
) -> None:
    monkeypatch.setenv(RUN_CLUSTER, "own.yaml")
    if text is not None:
        (repository.root / "own.yaml").write_text(text)
    with pytest.raises(ValueError, match=RUN_CLUSTER) as caught:
        build(repository.root)
    assert says in str(caught.value) and "own.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_without_the_option_nothing_is_asked_of_kubernetes_or_dagster_ray(
    repository: Any, stages: Any, api: KubernetesApi, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(RUN_CLUSTER)
    for name in ("dagster_ray", "kubernetes", "pipelines.run_cluster"):
        monkeypatch.setitem(sys.modules, name, None)  # type: ignore[arg-type] - importing it fails
    results = run.run(
        repository.root, repository.instance, ("synthesize", "ingest", "train_box_detector")
    )
    assert all(result.success for result in results), lines(results)
    assert api.calls == []
