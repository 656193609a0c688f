"""A Ray cluster for each run on Kubernetes: made when a step needs it, deleted at the run's end.

It is on if the environment variable FASHION_OPS_RAY_CLUSTER names a manifest of KubeRay, such as
``infra/ray/runcluster.yaml``; without it nothing imports this module or dagster-ray. The run joins the
cluster as a node without CPUs and GPUs and sets RAY_ADDRESS, so that steps find the cluster as they
find a permanent one. A cluster whose run was killed is deleted by the sensor ``ray_clusters``.
dagster-ray's own sensor is not used: it deletes by age, and would end a training of two days.
"""

import contextlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import dagster as dg
import yaml
from dagster_ray.configs import Lifecycle
from dagster_ray.kuberay import KubeRayCluster, RayClusterConfig
from dagster_ray.kuberay.client import RayClusterClient
from dagster_ray.types import AnyDagsterContext
from kubernetes.client import ApiException
from pydantic import PrivateAttr
from urllib3.exceptions import HTTPError

from fashion_ops.errors.failures import message, one_line
from fashion_ops.params import Params
from fashion_ops.services import ServiceError
from pipelines.resources import RUN_CLUSTER

GCS_PORT = 6379  # of the head
HEAD_SECONDS = 600.0  # a node may have to start first, and pulls an image of 8 GB
JOIN_SECONDS = 120.0
REMEDY = "check KubeRay's operator and `kubectl -n {} get events`; the next run makes a new cluster"
NODE = (sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats")
NODE += ("--num-cpus=0", "--num-gpus=0")
ENDED = (dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED)
RUN_LABEL = "dagster/run-id"
_API_ERRORS = (ApiException, HTTPError, ConnectionError)


class RunCluster(KubeRayCluster):
    """The cluster of the run that this resource belongs to; nothing happens before ``join``."""

    _node: subprocess.Popen[bytes] | None = PrivateAttr(default=None)
    _address_before: str | None = PrivateAttr(default=None)

    def join(self, context: dg.AssetExecutionContext) -> None:
        """Make the cluster, wait for its head, and join it; does nothing if this run has done so.

        Raises:
            ServiceError: Kubernetes refuses or does not answer, the head is not ready in time, or this
                host cannot join; one line.
        """
        if self._node is not None:
            return
        try:
            self.create(context)
            self.wait(context)
        except (*_API_ERRORS, TimeoutError, RuntimeError) as error:
            raise ServiceError(self._explain(error)) from error
        address = f"{self.host}:{GCS_PORT}"
        context.log.info(f"{self._label} this host joins it, within {JOIN_SECONDS:g} s")
        self._node = _start_node(address)
        self._address_before = os.environ.get("RAY_ADDRESS")
        os.environ["RAY_ADDRESS"] = address

    def cleanup(self, context: AnyDagsterContext, exception: BaseException | None) -> None:
        """Leave the cluster and delete it, however the run ended.

        If Kubernetes does not delete it now, the log says so, and the sensor ``ray_clusters`` does it.
        """
        try:
            if self.created:  # first, as a cancelled run may have little time
                self.client.delete(self.name, namespace=self.namespace)
        except _API_ERRORS as error:
            if getattr(error, "status", None) != 404 and context.log is not None:
                later = "the sensor ray_clusters will"
                context.log.warning(f"{self._label} not deleted, {later}: {_reason(error)}")
        finally:
            self._leave()

    def _leave(self) -> None:
        """End what of Ray runs in this process and on this host, and restore RAY_ADDRESS."""
        if self._node is None:
            return
        if (ray := sys.modules.get("ray")) is not None:
            ray.shutdown()
        self._node.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._node.wait(10)
        self._node.kill()
        self._node = None
        os.environ.pop("RAY_ADDRESS", None)
        if self._address_before is not None:
            os.environ["RAY_ADDRESS"] = self._address_before

    def _get_step_name(self, context: Any) -> str:
        """Name of the cluster, the same whenever a process continues the run."""
        return f"fashion-ops-{context.run_id[:8]}"

    @property
    def _label(self) -> str:
        """What messages call the cluster."""
        return f"Ray cluster {self.namespace}/{self._name}:"

    def _explain(self, error: Exception) -> str:
        """One line: what failed, what Kubernetes says of the cluster, and what to check."""
        remedy = REMEDY.format(self.namespace)
        if isinstance(error, _API_ERRORS):
            return f"{self._label} {_reason(error)}; {remedy}"
        status: dict[str, Any] = {}
        with contextlib.suppress(*_API_ERRORS):
            status = self.client.get(self.name, self.namespace).get("status") or {}
        notes = [status.get("reason")]
        notes += [c.get("message") for c in status.get("conditions", []) if c.get("status") == "False"]
        said = one_line("; ".join(dict.fromkeys(filter(None, notes))) or "no reason given")
        state = status.get("state") or "no state"
        return f"{self._label} not ready within {self.timeout:g} s ({state}: {said}); {remedy}"


def make_run_cluster(manifest: Path, params: Params) -> RunCluster:
    """Make the resource.

    Args:
        manifest: a RayCluster of KubeRay, as YAML.
        params: ``distributed.wait_for_node`` may be longer than ``HEAD_SECONDS``.

    Raises:
        ValueError: the file is missing or not such a manifest.
    """
    try:
        document = yaml.safe_load(manifest.read_text(encoding="utf-8"))
        metadata, spec = dict(document["metadata"]), {**document["spec"]}
        if document["kind"] != "RayCluster" or not metadata.get("namespace"):
            raise ValueError("kind must be RayCluster, and metadata have a namespace")
        metadata.pop("name", None)  # each run's has its own
        auth = {_snake(key): value for key, value in spec.pop("authOptions", {}).items()}
        fields = {_snake(key): value for key, value in spec.items()} | {"auth_options": auth or None}
        cluster = RayClusterConfig(metadata=metadata, spec=fields)  # type: ignore[arg-type]
    except (OSError, ValueError, KeyError, TypeError, yaml.YAMLError) as error:
        mend = "must name a manifest such as infra/ray/runcluster.yaml"
        raise ValueError(f"{RUN_CLUSTER}={manifest}: {one_line(message(error))}; it {mend}") from error
    return RunCluster(
        ray_cluster=cluster,
        lifecycle=Lifecycle(create=False, wait=False, connect=False),  # `join` does this
        timeout=max(HEAD_SECONDS, params.distributed.wait_for_node),
    )


@dg.sensor(minimum_interval_seconds=60, default_status=dg.DefaultSensorStatus.RUNNING)
def ray_clusters(
    context: dg.SensorEvaluationContext, ray_cluster: dg.ResourceParam[Any]
) -> dg.SkipReason:
    """Deletes the Ray clusters of runs that have ended, such as those whose process was killed."""
    client, namespace = RayClusterClient(), ray_cluster.namespace
    try:
        clusters = client.list(namespace, f"{RUN_LABEL},{_PART_OF}").get("items", [])
        deleted = []
        for metadata in (cluster["metadata"] for cluster in clusters):
            run = context.instance.get_run_by_id(metadata["labels"][RUN_LABEL])
            if run is not None and run.status in ENDED and not metadata.get("deletionTimestamp"):
                client.delete(metadata["name"], namespace)
                deleted.append(metadata["name"])
    except _API_ERRORS as error:
        return dg.SkipReason(f"Kubernetes: {_reason(error)}")
    return dg.SkipReason(f"deleted {', '.join(deleted)}" if deleted else "no run left a cluster behind")


_PART_OF = "app.kubernetes.io/part-of=fashion-ops"  # label in the manifest


def _start_node(address: str) -> subprocess.Popen[bytes]:
    """Start a Ray node on this host, without CPUs and GPUs, that belongs to the cluster at ``address``.

    Raises:
        ServiceError: it has not joined within ``JOIN_SECONDS``.
    """
    with tempfile.TemporaryFile() as log:
        node = subprocess.Popen([*NODE, f"--address={address}"], stdout=log, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + JOIN_SECONDS
        while time.monotonic() < deadline and node.poll() is None:
            if b"Ray runtime started" in os.pread(log.fileno(), 1 << 20, 0):
                return node
            time.sleep(0.2)
        said = os.pread(log.fileno(), 1 << 20, 0).decode(errors="replace").strip().splitlines()
    node.kill()
    node.wait()
    last = said[-1].strip() if said else "it said nothing"
    raise ServiceError(f"Ray cluster at {address}: this host could not join: {last}; check the network")


def _reason(error: Exception) -> str:
    """What Kubernetes answered, or why it could not be asked, in one line."""
    if isinstance(error, ApiException):
        with contextlib.suppress(ValueError, TypeError, KeyError):
            return one_line(f"Kubernetes: {json.loads(error.body or '')['message']}")
        return one_line(f"Kubernetes: {error.status} {error.reason}")
    return one_line(f"Kubernetes does not answer: {message(error)}")


def _snake(key: str) -> str:
    """``workerGroupSpecs`` -> ``worker_group_specs``, as dagster-ray names its fields."""
    return re.sub(r"(?<!^)([A-Z])", r"_\1", key).lower()
