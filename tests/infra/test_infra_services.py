"""Compose file and Kubernetes manifests: parse, keep to loopback, hold no secret, name what exists."""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra"
SECRETS = {
    *("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "RAY_AUTH_TOKEN", "PGPASSWORD"),
    *("DAGSTER_POSTGRES_PASSWORD", "POSTGRES_PASSWORD", "MLFLOW_BACKEND_STORE_URI"),
    *("ROOT_ACCESS_KEY", "ROOT_SECRET_KEY"),
}


def compose() -> dict[str, Any]:
    return yaml.safe_load((INFRA / "compose.yaml").read_text())["services"]


def manifests() -> list[dict[str, Any]]:
    files = sorted((INFRA / "kubernetes").glob("*.yaml"))
    return [document for file in files for document in yaml.safe_load_all(file.read_text())]


def containers(node: Any) -> Iterator[dict[str, Any]]:
    """Every container below ``node``."""
    if isinstance(node, dict):
        yield from node.get("containers", [])
        for value in node.values():
            yield from containers(value)


def named(kind: str) -> dict[str, dict[str, Any]]:
    return {m["metadata"]["name"]: m for m in manifests() if m["kind"] == kind}


def settings(*more: str) -> dict[str, Any]:
    """Dagster's settings as ``pipelines.home`` puts them together."""
    names = ["dagster.yaml", *(f"dagster-{name}.yaml" for name in more)]
    return yaml.safe_load("".join((INFRA / name).read_text() for name in names))


def test_what_compose_publishes_is_on_loopback() -> None:
    published = {name: service["ports"] for name, service in compose().items() if "ports" in service}
    assert published == {
        "mlflow": ["127.0.0.1:5000:5000"],
        "dagster-webserver": ["127.0.0.1:3000:3000"],
        "serving": ["127.0.0.1:8000:8000"],
    }


def test_secrets_of_compose_come_from_the_environment_or_it_does_not_start() -> None:
    seen = set()
    for name, service in compose().items():
        for variable, value in service.get("environment", {}).items():
            if variable in SECRETS:
                seen.add(variable)
                required = re.findall(r"\$\{[A-Z_]+:\?\}", value)
                assert required and "PASSWORD" not in re.sub(r"\$\{[A-Z_]+:\?\}", "", value), name
    assert seen == SECRETS - {"POSTGRES_USER"}


def test_compose_has_every_service_and_starts_them_in_an_order_that_exists() -> None:
    services = compose()
    assert {"mlflow", "postgres", "s3", "ray-head", "ray-worker"} <= set(services)
    assert {"dagster-webserver", "dagster-daemon", "dagster-code"} <= set(services)
    for name, service in services.items():
        assert set(service.get("depends_on", ())) <= set(services), name
    code = services["dagster-code"]["environment"]
    assert code["MLFLOW_TRACKING_URI"] == "http://mlflow:5000" and code["RAY_JOIN"] == "true"
    assert code["PYTHONPATH"] == code["FASHION_OPS_ROOT"] == "/workspace"
    host = services["dagster-webserver"]["environment"]["DAGSTER_CODE_HOST"]
    assert host in services and services[host]["hostname"] == host
    none = ["--num-cpus=0", "--num-gpus=0", "--include-dashboard=false"]
    assert services["ray-head"]["command"][-3:] == none
    seeing = [
        name for name, s in services.items() if any("workspace" in v for v in s.get("volumes", ()))
    ]
    assert seeing == ["dagster-code"]


def test_files_named_by_the_services_are_in_the_image() -> None:
    image = (INFRA / "ray" / "Dockerfile").read_text()
    assert "COPY infra ./infra" in image and "WORKDIR /opt/fashion-ops" in image
    texts = [image, (INFRA / "compose.yaml").read_text()]
    texts += [file.read_text() for file in (INFRA / "kubernetes").glob("*.yaml")]
    paths = {p for text in texts for p in re.findall(r"/opt/fashion-ops/(infra/[\w./]+)", text)}
    assert len(paths) == 4 and all((ROOT / path).is_file() for path in paths)
    assert os.access(INFRA / "entrypoint.sh", os.X_OK)
    expected = compose()["stores"]["image"].partition(":-")[2].rstrip("}")
    assert expected in image
    tags = {c["image"].rpartition("/")[2] for m in manifests() for c in containers(m)}
    launcher = settings("postgres", "kubernetes")["run_launcher"]["config"]
    assert tags | {launcher["job_image"].rpartition("/")[2]} == {expected}


def test_kubernetes_objects_point_to_each_other() -> None:
    apps, claims = named("Deployment"), named("PersistentVolumeClaim")
    assert set(apps) == {"mlflow", "dagster-code", "dagster-daemon", "dagster-webserver"}
    for name, service in named("Service").items():
        pod = apps[service["spec"]["selector"]["app"]]["spec"]["template"]
        assert pod["metadata"]["labels"]["app"] == name
        [port] = service["spec"]["ports"]
        [container] = pod["spec"]["containers"]
        assert port["targetPort"] in {p["name"] for p in container["ports"]}
        assert service["spec"]["type"] == "ClusterIP"
    for name, app in apps.items():
        assert app["spec"]["selector"]["matchLabels"] == app["spec"]["template"]["metadata"]["labels"]
        pod = app["spec"]["template"]["spec"]
        volumes = {v["name"]: v for v in pod.get("volumes", [])}
        [container] = pod["containers"]
        assert {m["name"] for m in container.get("volumeMounts", [])} == set(volumes)
        assert ("workspace" in volumes) == (name == "dagster-code")
        for volume in volumes.values():
            assert volume.get("emptyDir") or volume["persistentVolumeClaim"]["claimName"] in claims
    for manifest in manifests():
        if manifest["kind"] != "Namespace":
            assert manifest["metadata"]["namespace"] == "fashion-ops"
        for container in containers(manifest):
            for variable in container.get("env", []):
                if variable["name"] in SECRETS:
                    assert "$(" in variable["value"], variable
        for container in containers(manifest):
            for source in container.get("envFrom", []):
                assert source.get("configMapRef", {"name": "fashion-ops"})["name"] in named("ConfigMap")
    shared = named("ConfigMap")["fashion-ops"]["data"]
    assert not SECRETS & set(shared)
    host, port = shared["MLFLOW_TRACKING_URI"].removeprefix("http://").split(":")
    assert [p["port"] for p in named("Service")[host]["spec"]["ports"]] == [int(port)]
    assert shared["DAGSTER_CODE_HOST"] in named("Service")
    cluster = yaml.safe_load((INFRA / "ray" / "raycluster.yaml").read_text())["metadata"]["name"]
    assert shared["RAY_ADDRESS"] == f"{cluster}-head-svc:6379"
    [rule] = named("NetworkPolicy")["fashion-ops"]["spec"]["ingress"]
    assert rule == {"from": [{"podSelector": {}}]}


def test_dagster_accepts_the_settings_and_makes_a_job_of_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("dagster_k8s")
    from dagster import DagsterRun
    from dagster._config import process_config, resolve_to_config_type
    from dagster._core.instance.config import dagster_instance_config_schema
    from dagster._serdes import ConfigurableClassData
    from dagster_k8s import K8sRunLauncher
    from dagster_k8s.container_context import K8sContainerContext
    from dagster_k8s.job import DagsterK8sJobConfig, construct_dagster_k8s_job

    for name, value in named("ConfigMap")["fashion-ops"]["data"].items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DAGSTER_POSTGRES_PASSWORD", "secret")
    for more in ((), ("postgres",), ("postgres", "kubernetes")):
        checked = process_config(
            resolve_to_config_type(dagster_instance_config_schema()), settings(*more)
        )
        assert checked.success, checked.errors
    given = settings("postgres", "kubernetes")["run_launcher"]
    schema = resolve_to_config_type(DagsterK8sJobConfig.config_type_run_launcher())
    checked = process_config(schema, given["config"])
    assert checked.success, checked.errors
    monkeypatch.setattr("kubernetes.config.load_incluster_config", lambda *_: None)
    data = ConfigurableClassData(given["module"], given["class"], yaml.safe_dump(given["config"]))
    launcher = data.rehydrate(K8sRunLauncher)
    assert launcher is not None
    context = K8sContainerContext.create_for_run(DagsterRun("pipeline"), launcher, True)
    job = construct_dagster_k8s_job(
        context.get_k8s_job_config(given["config"]["job_image"], launcher),
        ["dagster", "api", "execute_run"],
        "run",
        context.run_k8s_config,
    )
    [container] = job.spec.template.spec.containers
    own = {variable.name: variable.value for variable in container.env}
    assert own["RAY_JOIN"] == "true" and not SECRETS & {name for name in own if own[name]}
    secrets = [source.secret_ref.name for source in container.env_from if source.secret_ref]
    assert secrets == given["config"]["env_secrets"] == ["fashion-ops-credentials"]
    assert container.args == ["dagster", "api", "execute_run"] and container.command is None
    assert container.security_context.read_only_root_filesystem is True
    assert container.security_context.capabilities.drop == ["ALL"]
    assert job.spec.template.spec.security_context.run_as_non_root is True
    assert {"/workspace", "/tmp"} <= {m.mount_path for m in container.volume_mounts}
    [mount] = [m for m in container.volume_mounts if m.name == "workspace"]
    assert mount.mount_path == named("ConfigMap")["fashion-ops"]["data"]["FASHION_OPS_ROOT"]
    claimed = [v for v in job.spec.template.spec.volumes if v.persistent_volume_claim]
    assert claimed[0].persistent_volume_claim.claim_name in named("PersistentVolumeClaim")
    assert given["config"]["env_config_maps"] == list(named("ConfigMap"))
    assert given["config"]["service_account_name"] in named("ServiceAccount")


def gpu_requests(node: Any) -> Iterator[str]:
    """What asks for a GPU below ``node``: resource, toleration, selector, device or variable."""
    if isinstance(node, dict):
        for key, value in node.items():
            if "nvidia" in str(key).lower() or key == "gpus":
                yield f"{key}: {value}"
            yield from gpu_requests(value)
    elif isinstance(node, list):
        for value in node:
            yield from gpu_requests(value)
    elif isinstance(node, str) and "nvidia" in node.lower():
        yield node


def test_gpus_are_where_the_work_is_and_the_driver_asks_for_none() -> None:
    services = compose()
    asking = {name for name, service in services.items() if list(gpu_requests(service))}
    assert asking == {"ray-worker-gpu"} and services["ray-worker-gpu"]["profiles"] == ["gpu"]
    [device] = services["ray-worker-gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": "all", "capabilities": ["gpu"]}
    assert services["ray-worker-gpu"]["command"] == services["ray-worker"]["command"]
    for name in ("dagster-code", "ray-worker-gpu"):  # the driver's work lands on the worker
        assert services[name]["environment"]["RAY_ADDRESS"] == "ray-head:6379"
    assert list(gpu_requests(manifests())) == []
    assert list(gpu_requests(settings("postgres", "kubernetes"))) == []  # the pods of runs
    for name in ("raycluster", "rayjob", "runcluster"):
        spec = yaml.safe_load((INFRA / "ray" / f"{name}.yaml").read_text())["spec"]
        spec = spec.get("rayClusterSpec", spec)
        assert list(gpu_requests(spec["headGroupSpec"])) == [], name
        assert len(list(gpu_requests(spec["workerGroupSpecs"]))) == 3, (
            name
        )  # request, limit, toleration
    joins = (INFRA / "entrypoint.sh").read_text()
    assert "--num-cpus=0 --num-gpus=0" in joins and "FASHION_OPS_RAY_CLUSTER" in joins


def test_pods_that_compute_or_drive_are_not_moved_and_ray_has_memory_for_its_objects() -> None:
    stays = {"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"}
    run = settings("postgres", "kubernetes")["run_launcher"]["config"]["run_k8s_config"]
    assert run["pod_template_spec_metadata"]["annotations"] == stays
    volumes = {volume["name"]: volume for volume in run["pod_spec_config"]["volumes"]}
    mounts = {m["mount_path"]: m["name"] for m in run["container_config"]["volume_mounts"]}
    memory = volumes[mounts["/dev/shm"]]["empty_dir"]  # KubeRay gives Ray's own pods theirs
    assert memory["medium"] == "Memory"
    limit = run["container_config"]["resources"]["limits"]["memory"]
    assert float(memory["size_limit"][:-2]) >= 0.3 * float(limit[:-2])  # what Ray takes by default
    for name in ("raycluster", "rayjob", "runcluster"):
        spec = yaml.safe_load((INFRA / "ray" / f"{name}.yaml").read_text())["spec"]
        spec = spec.get("rayClusterSpec", spec)
        for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
            assert group["template"]["metadata"]["annotations"] == stays
