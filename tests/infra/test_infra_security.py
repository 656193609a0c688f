"""What pods and containers may do, which images they run, and how they are pinned."""

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra"
DIGEST = re.compile(r":[\w.-]+@sha256:[0-9a-f]{64}$")
KUBERNETES = [*sorted((INFRA / "kubernetes").glob("*.yaml")), INFRA / "ray" / "raycluster.yaml"]
KUBERNETES += [INFRA / "ray" / f"{name}.yaml" for name in ("rayjob", "runcluster", "rayservice")]


def pods(node: Any) -> Iterator[dict[str, Any]]:
    """The specification of every pod below ``node``."""
    if isinstance(node, dict):
        if "containers" in node:
            yield node
        for value in node.values():
            yield from pods(value)
    elif isinstance(node, list):
        for value in node:
            yield from pods(value)


def all_pods() -> list[tuple[str, dict[str, Any]]]:
    documents = [(f.name, d) for f in KUBERNETES for d in yaml.safe_load_all(f.read_text())]
    return [
        (f"{name}-{pod['containers'][0]['name']}", pod)
        for name, document in documents
        for pod in pods(document)
    ]


PODS = all_pods()
SERVICES = yaml.safe_load((INFRA / "compose.yaml").read_text())["services"]


@pytest.mark.parametrize("pod", [pod for _, pod in PODS], ids=[name for name, _ in PODS])
def test_a_pod_meets_the_restricted_standard_and_can_write_where_it_must(pod: dict[str, Any]) -> None:
    security = pod["securityContext"]
    assert security["runAsNonRoot"] is True and security["runAsUser"] == 1000
    assert security["seccompProfile"] == {"type": "RuntimeDefault"}
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    if "workspace" in volumes:
        assert security["fsGroup"] == 1000 and security["fsGroupChangePolicy"] == "OnRootMismatch"
    for container in pod["containers"]:
        own = container["securityContext"]
        assert own["allowPrivilegeEscalation"] is False and own["readOnlyRootFilesystem"] is True
        assert own["capabilities"] == {"drop": ["ALL"]}
        mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
        assert set(mounts.values()) == set(volumes) and volumes[mounts["/tmp"]]["emptyDir"]["sizeLimit"]
        assert {"cpu", "memory"} <= set(container["resources"]["requests"])
        assert "memory" in container["resources"]["limits"]
        home = {v["name"]: v.get("value") for v in container.get("env", [])}.get("HOME")
        assert home == "/tmp" or {"configMapRef": {"name": "fashion-ops"}} in container["envFrom"]


def test_only_pods_that_start_pods_have_a_token_of_the_cluster() -> None:
    mounted = {name for name, pod in PODS if pod.get("automountServiceAccountToken") is not False}
    dagster = {f"dagster.yaml-dagster-{name}" for name in ("code", "daemon", "webserver")}
    heads = {f"{name}.yaml-ray-head" for name in ("raycluster", "rayjob", "runcluster", "rayservice")}
    assert mounted == dagster | heads  # the autoscaler
    common = list(yaml.safe_load_all((INFRA / "kubernetes" / "common.yaml").read_text()))
    [namespace] = [d for d in common if d["kind"] == "Namespace"]
    assert namespace["metadata"]["labels"] == {"pod-security.kubernetes.io/enforce": "restricted"}
    [settings] = [d["data"] for d in common if d["kind"] == "ConfigMap"]
    assert settings["HOME"] == "/tmp"


def test_containers_of_compose_have_no_capability_and_no_root() -> None:
    for name, service in SERVICES.items():
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        own_image = "FASHION_OPS_IMAGE" in service["image"]  # whose user is 1000
        assert own_image or service["user"] in ("postgres", "1000:1000"), name
        if service.get("read_only"):
            assert "/tmp" in service["tmpfs"], name
    root = [name for name, service in SERVICES.items() if str(service.get("user", "")).startswith("0")]
    assert root == ["s3-volume"]  # owns the new volume for a moment, without a network
    assert SERVICES["s3-volume"]["cap_add"] == ["CHOWN"]
    assert (
        SERVICES["s3-volume"]["network_mode"] == "none" and "environment" not in SERVICES["s3-volume"]
    )
    writable = {name for name, service in SERVICES.items() if not service.get("read_only")}
    assert writable == {"s3-volume", "ray-head", "ray-worker", "ray-worker-gpu", "dagster-code"}


def test_images_of_others_are_pinned_by_tag_and_digest_and_none_is_minio() -> None:
    bases = re.findall(r"^FROM (\S+)", (INFRA / "ray" / "Dockerfile").read_text(), re.M)
    theirs = [s["image"] for s in SERVICES.values() if "FASHION_OPS_IMAGE" not in s["image"]]
    assert len(bases) == 1 and len(theirs) == 2
    for image in [*bases, *theirs]:
        assert DIGEST.search(image), image
    assert not any("minio" in image for image in theirs)
    lines = (INFRA / "ray" / "Dockerfile").read_text()
    assert re.search(r"^USER 1000:1000$", lines, re.M) and "--require-hashes" in lines


def test_s3_is_served_from_a_volume_of_its_own_with_the_clients_keys_and_region() -> None:
    s3 = SERVICES["s3"]
    assert s3["command"][-2:] == ["posix", "/data"] and s3["volumes"] == ["objects:/data"]
    assert s3["volumes"] == SERVICES["s3-volume"]["volumes"]
    [region] = [word for word in s3["command"] if word.startswith("--region=")]
    clients = SERVICES["mlflow"]["environment"]
    assert region.removeprefix("--region=") == clients["AWS_DEFAULT_REGION"]
    assert s3["environment"]["ROOT_ACCESS_KEY"] == clients["AWS_ACCESS_KEY_ID"]
    assert s3["environment"]["ROOT_SECRET_KEY"] == clients["AWS_SECRET_ACCESS_KEY"]
    [port] = [word for word in s3["command"] if word.startswith("--port=")]
    assert f"s3{port.removeprefix('--port=')}" in clients["AWS_ENDPOINT_URL"]


def test_the_documented_command_pins_our_image_everywhere_and_again(tmp_path: Path) -> None:
    shutil.copytree(INFRA, tmp_path / "infra")
    page = (ROOT / "docs" / "operations.md").read_text()
    [image] = re.findall(r"^    (IMAGE=\S+)$", page, re.M)
    [command] = re.findall(r"^    (grep -rl .*)$", page, re.M)
    for digest in ("a" * 64, "b" * 64):
        script = f"{image}; DIGEST=sha256:{digest}; {command}"
        subprocess.run(["bash", "-c", script], cwd=tmp_path, check=True)
        for path in KUBERNETES:
            for _, document in enumerate(
                yaml.safe_load_all((tmp_path / path.relative_to(ROOT)).read_text())
            ):
                for pod in pods(document):
                    for container in pod["containers"]:
                        assert container["image"].endswith(f":ray-2.60.0-torch-2.14.1@sha256:{digest}")
    launcher = yaml.safe_load((tmp_path / "infra" / "dagster-kubernetes.yaml").read_text())
    assert launcher["run_launcher"]["config"]["job_image"].endswith(f"@sha256:{'b' * 64}")
