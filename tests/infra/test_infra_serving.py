"""The service's manifests: Ray Serve's own schema, our settings, the pods that replicas run in."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.serve.schema import ServeDeploySchema

from fashion_ops.serving.settings import ServiceSettings

ROOT = Path(__file__).parents[2]
INFRA = ROOT / "infra"


def load(name: str) -> dict[str, Any]:
    return yaml.safe_load((INFRA / "ray" / name).read_text())


def configuration() -> dict[str, Any]:
    return yaml.safe_load(load("rayservice.yaml")["spec"]["serveConfigV2"])


def test_ray_serve_and_the_service_accept_their_configuration() -> None:
    [application] = ServeDeploySchema.model_validate(load("serve.yaml")).applications
    [deployment] = application.deployments
    settings = ServiceSettings.model_validate(application.args)
    assert settings.threads == deployment.ray_actor_options.num_cpus  # else replicas share cores
    assert settings.start_seconds > 0  # else a new replica refuses requests until it has a version
    assert deployment.autoscaling_config["target_ongoing_requests"] < settings.limits.queue
    with pytest.raises(ValueError, match="modle"):
        ServiceSettings.model_validate({"modle": "models:/a@b"})


def test_the_application_that_the_configuration_names_exists_and_has_the_deployment() -> None:
    [application] = ServeDeploySchema.model_validate(load("serve.yaml")).applications
    module, _, name = application.import_path.partition(":")
    built = getattr(__import__(module, fromlist=[name]), name)(ServiceSettings(state=Path("x")))
    ours = built._bound_deployment
    assert [ours.name] == [deployment.name for deployment in application.deployments]
    assert ours.max_ongoing_requests == ServiceSettings().limits.queue


def test_kubernetes_runs_the_same_application_and_reaches_the_registry() -> None:
    ours, theirs = load("serve.yaml"), configuration()
    assert ours.pop("http_options") == {"host": "127.0.0.1", "port": 8000}
    assert theirs.pop("http_options")["host"] == "0.0.0.0"
    assert ours == theirs
    manifest = load("rayservice.yaml")
    assert (manifest["kind"], manifest["metadata"]["namespace"]) == ("RayService", "fashion-ops")
    cluster = manifest["spec"]["rayClusterConfig"]
    assert cluster["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"
    [group] = cluster["workerGroupSpecs"]
    [container] = group["template"]["spec"]["containers"]
    [application] = theirs["applications"]
    [deployment] = application["deployments"]
    scaling = deployment["autoscaling_config"]
    assert (group["minReplicas"], group["maxReplicas"]) == (
        scaling["min_replicas"],
        scaling["max_replicas"],
    )
    assert int(container["resources"]["limits"]["cpu"]) == deployment["ray_actor_options"]["num_cpus"]
    assert application["args"]["state"].startswith("/tmp/")  # the only folder that it can write to
    own = {variable["name"]: variable for variable in container["env"]}
    common = list(yaml.safe_load_all((INFRA / "kubernetes/common.yaml").read_text()))
    [settings] = [m for m in common if m["kind"] == "ConfigMap"]
    reference = own["MLFLOW_TRACKING_URI"]["valueFrom"]["configMapKeyRef"]
    assert reference["name"] == settings["metadata"]["name"] and reference["key"] in settings["data"]
    assert own["FASHION_OPS_TOKEN"]["valueFrom"]["secretKeyRef"]["optional"] is True


def test_compose_serves_from_a_volume_that_its_user_may_write() -> None:
    service = yaml.safe_load((INFRA / "compose.yaml").read_text())["services"]["serving"]
    [state] = [word for word in service["command"] if word.startswith("--state=")]
    folder = state.removeprefix("--state=")
    assert service["volumes"] == [f"serving:{folder}"]
    assert f" {folder} " in (INFRA / "ray" / "Dockerfile").read_text()  # a new volume takes its owner
    assert service["environment"]["MLFLOW_TRACKING_URI"] == "http://mlflow:5000"
