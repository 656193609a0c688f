"""The cluster descriptions: parse, hold what Ray and KubeRay require, and name the locked versions."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from fashion_ops.distributed.cluster import KEEPALIVE
from fashion_ops.taxonomy import CATEGORY_NAMES

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra" / "ray"


def locked(package: str) -> str:
    found = re.search(rf"^{package}==([\w.]+)", (ROOT / "requirements.lock").read_text(), re.M)
    assert found, package
    return found.group(1)


def load(name: str) -> dict[str, Any]:
    return yaml.safe_load((INFRA / name).read_text())


def cluster_spec(name: str) -> dict[str, Any]:
    spec = load(name)["spec"]
    return spec.get("rayClusterSpec") or spec.get("rayClusterConfig") or spec


def images(node: Any) -> list[str]:
    """Every ``image`` below ``node``."""
    if isinstance(node, dict):
        own = [node["image"]] if isinstance(node.get("image"), str) else []
        return own + [image for value in node.values() for image in images(value)]
    return [image for value in node for image in images(value)] if isinstance(node, list) else []


def test_images_and_versions_are_the_locked_ones() -> None:
    kubernetes = ("raycluster.yaml", "rayjob.yaml", "runcluster.yaml", "rayservice.yaml")
    for name in ("cluster.yaml", *kubernetes):
        found = images(load(name))
        assert found and {image.partition("@")[0].rpartition(":")[2] for image in found} == {
            f"ray-{locked('ray')}-torch-{locked('torch')}"
        }, name
    for name in kubernetes:
        assert cluster_spec(name)["rayVersion"] == locked("ray")


def test_the_image_installs_the_lock_and_has_what_kuberay_calls() -> None:
    lines = (INFRA / "Dockerfile").read_text()
    python = re.search(r"^FROM python:(\d+\.\d+)", lines, re.M)
    assert python and f"python-version {python.group(1)}" in (ROOT / "Makefile").read_text()
    assert "-r requirements.lock" in lines and "--no-deps ." in lines and " wget" in lines
    assert f"fashion-ops:ray-{locked('ray')}-torch-{locked('torch')} " in lines
    assert all(f" {name}={value} " in lines for name, value in KEEPALIVE.items())
    assert locked("cuda-toolkit").startswith("13.") and "driver 580" in lines  # what CUDA 13 needs
    sent = (INFRA / "Dockerfile.dockerignore").read_text().split()
    for source in re.findall(r"^COPY (.+) \S+$", lines, re.M):
        for path in source.split():
            assert (ROOT / path).exists() and f"!{path}" in sent, path


@pytest.mark.parametrize("name", ["raycluster.yaml", "rayjob.yaml", "runcluster.yaml"])
def test_kuberay_scales_gpu_workers_from_zero_and_shares_nothing(name: str) -> None:
    assert load(name)["apiVersion"] == "ray.io/v1"
    spec = cluster_spec(name)
    assert spec["enableInTreeAutoscaling"] is True
    head, (group,) = spec["headGroupSpec"], spec["workerGroupSpecs"]
    assert head["rayStartParams"]["num-cpus"] == "0" and head["rayStartParams"]["num-gpus"] == "0"
    assert (group["minReplicas"], group["maxReplicas"]) == (0, len(CATEGORY_NAMES))
    assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]
    pod = group["template"]["spec"]
    (container,) = pod["containers"]
    assert container["resources"]["limits"] == container["resources"]["requests"]
    assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert any(t["key"] == "nvidia.com/gpu" for t in pod["tolerations"])
    for template in (head["template"]["spec"], pod):  # what is mounted exists, what exists is mounted
        volumes = {volume["name"] for volume in template["volumes"]}
        assert volumes == {m["name"] for c in template["containers"] for m in c["volumeMounts"]}
    assert not any("persistentVolumeClaim" in volume for volume in pod["volumes"])


def test_the_cluster_of_a_run_is_the_permanent_one_without_workspace_and_keys() -> None:
    """The run drives from its own pod; its cluster has no name yet, and the token that the run has."""
    permanent, own = cluster_spec("raycluster.yaml"), cluster_spec("runcluster.yaml")
    assert "name" not in load("runcluster.yaml")["metadata"]
    launcher = yaml.safe_load((ROOT / "infra" / "dagster-kubernetes.yaml").read_text())["run_launcher"]
    env = launcher["config"]["run_k8s_config"]["container_config"]["env"]
    [token] = [v["valueFrom"]["secretKeyRef"] for v in env if v["name"] == "RAY_AUTH_TOKEN"]
    assert own.pop("authOptions") == permanent.pop("authOptions") | {"secretName": token["name"]}
    pod = permanent["headGroupSpec"]["template"]["spec"]
    pod["volumes"] = [v for v in pod["volumes"] if v["name"] != "workspace"]
    [container] = pod["containers"]
    container["volumeMounts"] = [m for m in container["volumeMounts"] if m["name"] != "workspace"]
    del container["envFrom"]
    container["env"] = [{"name": "HOME", "value": "/tmp"}]
    assert own == permanent


def test_the_option_of_a_cluster_for_each_run_is_off_and_runs_may_use_it() -> None:
    manifests = list(yaml.safe_load_all((ROOT / "infra/kubernetes/common.yaml").read_text()))
    [settings] = [m["data"] for m in manifests if m["kind"] == "ConfigMap"]
    assert settings["FASHION_OPS_RAY_CLUSTER"] == ""
    [role] = [m for m in manifests if m["kind"] == "Role"]
    [rule] = [rule for rule in role["rules"] if rule["apiGroups"] == ["ray.io"]]
    assert set(rule["resources"]) == {"rayclusters", "rayclusters/status"}
    assert set(rule["verbs"]) == {"create", "delete", "get", "list"}
    for name in ("raycluster.yaml", "rayjob.yaml"):  # a run on their heads uses them
        [head] = cluster_spec(name)["headGroupSpec"]["template"]["spec"]["containers"]
        assert {"name": "FASHION_OPS_RAY_CLUSTER", "value": ""} in head["env"]


def test_the_job_runs_on_the_same_cluster_and_leaves_nothing() -> None:
    assert (load("raycluster.yaml")["kind"], load("rayjob.yaml")["kind"]) == ("RayCluster", "RayJob")
    assert cluster_spec("rayjob.yaml") == cluster_spec("raycluster.yaml")
    job = load("rayjob.yaml")["spec"]
    assert job["entrypoint"].endswith("python -m pipelines.run")
    assert job["shutdownAfterJobFinishes"] is True and job["ttlSecondsAfterFinished"] > 0
    assert job["activeDeadlineSeconds"] > 0 and job["backoffLimit"] >= 0


def test_the_launcher_accepts_its_file() -> None:
    from ray.autoscaler._private.util import prepare_config, validate_config

    config = load("cluster.yaml")
    mounts = config.pop("file_mounts")  # Ray looks for the file, which this machine may lack
    validate_config(prepare_config(config))  # Ray's own schema and checks
    types = config["available_node_types"]
    assert config["head_node_type"] == "head" and types["head"]["resources"] == {"CPU": 0, "GPU": 0}
    assert types["gpu"]["node_config"]["ImageId"]  # else Ray takes one of 2022, whose driver is too old
    assert types["gpu"]["min_workers"] == 0 and types["gpu"]["resources"]["GPU"] == 1
    assert types["gpu"]["max_workers"] == config["max_workers"] == len(CATEGORY_NAMES)
    for commands in (config["head_start_ray_commands"], config["worker_start_ray_commands"]):
        assert commands[0] == "ray stop" and commands[1].startswith("ray start")
    assert "--autoscaling-config=~/ray_bootstrap_config.yaml" in config["head_start_ray_commands"][1]
    # Every node asks for the token: of the launcher here, of the operator, or of the environment.
    assert mounts == {"~/.ray/auth_token": "~/.ray/auth_token"}
    assert "--env=RAY_AUTH_MODE=token" in config["docker"]["run_options"]
    for kubernetes in ("raycluster.yaml", "rayjob.yaml"):
        assert cluster_spec(kubernetes)["authOptions"] == {"mode": "token"}
    services = yaml.safe_load((ROOT / "infra" / "compose.yaml").read_text())["services"]
    for name in ("ray-head", "ray-worker"):
        assert services[name]["environment"]["RAY_AUTH_MODE"] == "token"
    assert "HOME=/home/fashion-ops" in (INFRA / "Dockerfile").read_text()  # where the launcher puts it


@pytest.mark.parametrize("name", ["raycluster.yaml", "rayjob.yaml"])
def test_a_run_on_the_head_reaches_the_services_and_its_own_cluster(name: str) -> None:
    manifests = list(yaml.safe_load_all((ROOT / "infra/kubernetes/common.yaml").read_text()))
    [settings] = [m["data"] for m in manifests if m["kind"] == "ConfigMap"]
    assert {"MLFLOW_TRACKING_URI", "AWS_ENDPOINT_URL", "DAGSTER_POSTGRES_HOST"} <= set(settings)
    assert load(name)["metadata"]["namespace"] == "fashion-ops"
    head, [group] = cluster_spec(name)["headGroupSpec"], cluster_spec(name)["workerGroupSpecs"]
    [container] = head["template"]["spec"]["containers"]
    sources = {kind: ref["name"] for source in container["envFrom"] for kind, ref in source.items()}
    assert sources == {"configMapRef": "fashion-ops", "secretRef": "fashion-ops-credentials"}
    own = {variable["name"]: variable["value"] for variable in container["env"]}
    assert own["RAY_ADDRESS"] == "127.0.0.1:6379"  # a job's cluster has another name each time
    assert own["DAGSTER_SETTINGS"] == "postgres" and own["DAGSTER_HOME"].startswith("/tmp/")
    [worker] = group["template"]["spec"]["containers"]
    assert "envFrom" not in worker  # it runs what the driver sends it, and holds no key
