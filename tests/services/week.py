"""A workspace whose pipeline runs through the services of ``stack``, and what a test asks of them."""

import json
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import boto3
import dagster as dg
import psutil
from clone import Clone
from mortal_runs import Nursery, Order
from stack import BUCKET, Stack, postgres_binaries, wait_for

from fashion_ops.ledger import Ledger
from pipelines.jobs import stale_only_tags

MODEL = "garment-landmarks"
LOCATION = {"repositoryLocationName": "fashion-ops", "repositoryName": "__repository__"}
SCHEDULES = """{ repositoriesOrError { ... on RepositoryConnection { nodes {
  location { name } schedules { name } } } } }"""
LAUNCH = """mutation($given: ExecutionParams!) { launchRun(executionParams: $given) {
  __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
AGAIN = """mutation($parent: String!) {
  launchRunReexecution(reexecutionParams: {parentRunId: $parent, strategy: FROM_FAILURE}) {
    __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"""
SWITCH_ON = """mutation($selector: ScheduleSelector!) {
  startSchedule(scheduleSelector: $selector) { __typename ... on PythonError { message } } }"""


@dataclass
class Week:
    """The workspace, its services, and Dagster's memory of the runs."""

    clone: Clone
    stack: Stack
    instance: dg.DagsterInstance

    @property
    def ledger(self) -> Ledger:
        return Ledger(self.clone.root)

    def nursery(self) -> Nursery:
        """Processes for runs that fail and models that are loaded."""
        return Nursery(self.clone.root, self.stack.env, self.stack.folder / "nursery.log")

    def change(self, category: str) -> None:
        """A new learning rate: this category, and what follows from it, is stale."""
        params = self.clone.params
        params["categories"][category]["finetune"]["lr"] *= 1.5
        self.clone.set_params(params)

    def last_run(self) -> dg.DagsterRun:
        [run] = self.instance.get_runs(limit=1)
        return run

    def status(self, run_id: str) -> dg.DagsterRunStatus:
        run = self.instance.get_run_by_id(run_id)
        assert run is not None
        return run.status

    def finish(self, run_id: str) -> None:
        """Wait until a run has succeeded."""
        wait_for("end of the run", lambda: self.instance.get_run_by_id(run_id).is_finished)  # type: ignore[union-attr]
        assert self.status(run_id) == dg.DagsterRunStatus.SUCCESS, self.stack.log("dagster-code")[
            -3000:
        ]

    def failed_steps(self) -> list[str]:
        stats = self.instance.get_run_step_stats(self.last_run().run_id)
        return [s.step_key for s in stats if s.status is not None and s.status.value == "FAILURE"]

    def spans(self) -> list[tuple[float, float]]:
        """Start and end of each run, 0 where there is none."""
        records = self.instance.get_run_records(ascending=True)
        return [(r.start_time or 0.0, r.end_time or 0.0) for r in records]

    def overlap(self) -> bool:
        """Whether two runs shared the workspace; a killed one ended when it was found dead."""
        spans = self.spans()
        return not all(end for _, end in spans) or any(a[1] > b[0] for a, b in pairwise(spans))

    def mlflow(self, path: str, **query: str) -> dict[str, Any]:
        """What the server answers; empty for what it does not know."""
        url = f"{self.stack.env['MLFLOW_TRACKING_URI']}/api/2.0/mlflow/{path}"
        try:
            with urllib.request.urlopen(f"{url}?{urllib.parse.urlencode(query)}", timeout=60) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError:
            return {}

    def versions(self) -> list[int]:
        found = self.mlflow("model-versions/search", filter=f"name='{MODEL}'")
        return sorted(int(version["version"]) for version in found.get("model_versions", []))

    def alias(self, name: str) -> int | None:
        found = self.mlflow("registered-models/alias", name=MODEL, alias=name)
        return int(found["model_version"]["version"]) if found else None

    def graphql(self, query: str, **variables: Any) -> dict[str, Any]:
        """What the webserver answers."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.stack.ports['webserver']}/graphql",
            json.dumps({"query": query, "variables": variables}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=120) as answer:
            found = json.loads(answer.read())
        assert "errors" not in found, found["errors"]
        return found["data"]

    def repositories(self) -> list[dict[str, Any]]:
        """What the webserver has from the code server."""
        return self.graphql(SCHEDULES)["repositoriesOrError"].get("nodes", [])

    def launch(self) -> str:
        """Ask the webserver for a run of all that is stale; returns its id."""
        tags = [{"key": k, "value": v} for k, v in stale_only_tags("pipeline").items()]
        job = {**LOCATION, "jobName": "pipeline"}
        given = {"selector": job, "runConfigData": {}, "executionMetadata": {"tags": tags}}
        return self._launched(self.graphql(LAUNCH, given=given)["launchRun"])

    def launch_again(self, parent: str) -> str:
        """Ask the webserver to execute a failed run from its failure; returns the new run's id."""
        return self._launched(self.graphql(AGAIN, parent=parent)["launchRunReexecution"])

    def _launched(self, answer: dict[str, Any]) -> str:
        assert answer["__typename"] == "LaunchRunSuccess", answer
        return answer["run"]["runId"]

    def held(self, nursery: Nursery, order: Order, meanwhile: Callable[[], None]) -> str:
        """Run until the moment of ``order``, do something, let it go on and fail; returns its id."""
        reached, go = self.clone.root / ".held", self.clone.root / ".go"
        for flag in (reached, go):
            flag.unlink(missing_ok=True)
        nursery.begin(order)
        wait_for(str(order.moment), reached.exists)
        meanwhile()
        go.touch()
        assert nursery.end() == 1
        assert self.failed_steps() == ["register"]
        return self.last_run().run_id

    def of_processes(self, ask: Callable[[psutil.Process], Any]) -> dict[str, list[Any]]:
        """An answer of each process of each service; those that end meanwhile give none."""
        answers: dict[str, list[Any]] = {}
        for name, first in self.stack.processes.items():
            root = psutil.Process(first.pid)
            for process in (root, *root.children(recursive=True)):
                with suppress(psutil.NoSuchProcess):
                    answers.setdefault(name, []).append(ask(process))
        return answers

    def objects(self) -> dict[str, bytes]:
        """All that lies in the bucket, by key; address and credentials are the environment's."""
        s3 = boto3.client("s3")
        pages = s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET)
        keys = [item["Key"] for page in pages for item in page.get("Contents", ())]
        return {key: s3.get_object(Bucket=BUCKET, Key=key)["Body"].read() for key in keys}

    def told(self) -> dict[str, bytes]:
        """All that is written or shown anywhere: files, logs, databases, objects, command lines."""
        found = {
            f"command lines of {name}": repr(lines).encode()
            for name, lines in self.of_processes(lambda p: p.cmdline()).items()
        }
        for where in (self.clone.root, self.stack.folder):
            for path in where.rglob("*"):
                if path.is_file() and not path.is_symlink():
                    found[str(path)] = path.read_bytes()
        for database in ("dagster", "mlflow"):
            dump = [str(postgres_binaries() / "pg_dump"), "--username=fashion_ops", database]  # type: ignore[operator]
            done = subprocess.run(dump, env=self.stack.env, check=True, capture_output=True)
            found[f"database {database}"] = done.stdout
        for key, content in self.objects().items():
            found[f"s3:{key}"] = content
        return found
