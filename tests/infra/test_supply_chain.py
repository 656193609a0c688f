"""The lock, its audit, and the workflow that runs both: nothing is left out without a word."""

import importlib.metadata
import importlib.util
import json
import os
import re
import socket
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
LOCK = (ROOT / "requirements.lock").read_text()
WORKFLOW = yaml.safe_load((ROOT / ".github" / "workflows" / "test.yml").read_text())


@pytest.fixture(scope="module")
def audit() -> ModuleType:
    spec = importlib.util.spec_from_file_location("audit", ROOT / "infra" / "audit.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def service() -> Any:
    """A vulnerability service on this machine; ``vulnerable`` has versions by name."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            name, version = asked["package"]["name"], asked["version"]
            server.asked.append((name, version))  # type: ignore[attr-defined]
            ranges = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "9"}]}]
            affected = [{"package": {"name": name, "ecosystem": "PyPI"}, "ranges": ranges}]
            known = [{"id": "PYSEC-1", "aliases": [], "affected": affected}]
            body = json.dumps(
                {"vulns": known} if server.vulnerable.get(name) == version else {}
            ).encode()  # type: ignore[attr-defined]
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.asked, server.vulnerable = [], {}  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_packages_of_other_systems_and_pythons_are_audited_too(
    audit: ModuleType, service: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lock = tmp_path / "lock"
    lock.write_text(
        "numpy==2.4.6 ; python_full_version < '3.12' \\\n    --hash=sha256:00\n"
        "numpy==2.5.5 ; python_full_version >= '3.12'\n"
        "pywin32==312 ; sys_platform == 'win32'\nsix==1.17.0\n"
    )
    url = f"http://127.0.0.1:{service.server_port}/"
    options = ["--vulnerability-service=osv", f"--osv-url={url}", f"--cache-dir={tmp_path / 'cache'}"]
    service.vulnerable["pywin32"] = "312"
    assert audit.audit(lock, options) == 1
    said = capsys.readouterr().out
    assert "4 of 4 packages audited, 1 vulnerabilities" in said and "pywin32 312: PYSEC-1" in said
    assert sorted(service.asked) == [
        ("numpy", "2.4.6"), ("numpy", "2.5.5"), ("pywin32", "312"), ("six", "1.17.0"),
    ]  # fmt: skip


def test_an_audit_without_an_answer_fails_and_says_so(
    audit: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    lock = tmp_path / "lock"
    lock.write_text("six==1.17.0\n")
    options = ["--vulnerability-service=osv", f"--osv-url=http://127.0.0.1:{port}/"]
    assert audit.audit(lock, [*options, f"--cache-dir={tmp_path}"]) == 2
    said = capsys.readouterr()
    assert "0 of 1 packages audited" in said.out and "nothing is known of: six 1.17.0" in said.err


def test_a_package_that_the_service_does_not_know_fails_the_audit(
    audit: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, calls = tmp_path / "lock", []

    def skipped(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        calls.append(command)
        known = {"name": "six", "version": "1.17.0", "vulns": []}
        answers = [known, {"name": "torch", "skip_reason": "not found"}]
        return subprocess.CompletedProcess(command, 0, json.dumps({"dependencies": answers}), "")

    monkeypatch.setattr(subprocess, "run", skipped)
    lock.write_text("six==1.17.0\ntorch==2.13.0\n")
    assert audit.audit(lock, []) == 2 and "--strict" in calls[0]
    lock.write_text("six==1.17.0\n")
    assert audit.audit(lock, []) == 0
    with pytest.raises(ValueError, match="not a package with its exact version"):
        audit.pins_of("six>=1\n")


def test_every_package_of_the_lock_is_pinned_with_hashes_and_no_address(audit: ModuleType) -> None:
    pins = audit.pins_of(LOCK)
    assert len(pins) > 280 and "://" not in LOCK
    entries = re.split(r"(?m)^(?=\S)", LOCK)
    without = [entry.split("==")[0] for entry in entries if entry and "--hash=sha256:" not in entry]
    assert without == []
    makefile = (ROOT / "Makefile").read_text()
    assert "--generate-hashes" in makefile and "--require-hashes -r requirements.lock" in makefile
    assert "infra/audit.py" in makefile and re.search(r"^UV := uv==[\d.]+$", makefile, re.M)


def test_the_lock_has_what_the_documented_mlflow_server_needs() -> None:
    """``--app-name basic-auth`` needs the extra ``auth`` of MLflow."""
    pins = dict(re.findall(r"^([\w.-]+)==([^\s;\\]+)", LOCK, re.M))
    needed = [Requirement(text) for text in importlib.metadata.requires("mlflow") or ()]
    auth = [r for r in needed if r.marker is not None and r.marker.evaluate({"extra": "auth"})]
    auth = [r for r in auth if not r.marker.evaluate({"extra": ""})]  # type: ignore[union-attr]
    assert auth
    for requirement in auth:
        assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)])


@pytest.mark.skipif(
    "FASHION_OPS_LONG" not in os.environ, reason="half a minute; set FASHION_OPS_LONG=1"
)
def test_mlflow_refuses_whoever_has_no_password(tmp_path: Path) -> None:
    pytest.importorskip("flask_wtf")
    code = (
        "from mlflow.server import app\nfrom mlflow.server.auth import create_app\n"
        "client = create_app(app).test_client()\n"
        "url = '/api/2.0/mlflow/experiments/search?max_results=1'\n"
        "known = client.get(url, auth=('admin', 'long enough 1'))\n"
        "print(client.get(url).status_code, known.status_code)"
    )
    store = f"sqlite:///{tmp_path / 'mlflow.db'}"
    env = {
        "PATH": "/usr/bin:/bin",
        "MLFLOW_FLASK_SERVER_SECRET_KEY": "secret",
        "MLFLOW_AUTH_ADMIN_PASSWORD": "long enough 1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "_MLFLOW_SERVER_FILE_STORE": store,
        "_MLFLOW_SERVER_ARTIFACT_ROOT": str(tmp_path),
    }
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300
    )
    assert done.stdout.split()[-2:] == ["401", "200"], done.stderr[-2000:]


def test_the_workflow_runs_long_faults_every_night_and_audits_every_change() -> None:
    triggers, jobs = WORKFLOW[True], WORKFLOW["jobs"]  # YAML reads `on` as true
    [night] = triggers["schedule"]
    minute, hour, *rest = night["cron"].split()
    assert minute.isdigit() and hour.isdigit() and rest == ["*", "*", "*"]
    faults = jobs["faults"]
    assert faults["env"] == {"FASHION_OPS_LONG": "1"} and "schedule" in faults["if"]
    assert faults["steps"][-1] == {"run": "bash .ci/run"}
    assert any("postgresql" in step.get("run", "") for step in faults["steps"])  # else its tests skip
    assert "if" not in jobs["audit"] and jobs["audit"]["steps"][-1] == {"run": "make audit"}
    assert {"push", "pull_request"} <= set(triggers)


def test_the_workflow_can_only_read_and_its_actions_are_pinned_by_commit() -> None:
    assert WORKFLOW["permissions"] == {"contents": "read"}
    text = (ROOT / ".github" / "workflows" / "test.yml").read_text()
    for job in WORKFLOW["jobs"].values():
        assert "permissions" not in job and job["timeout-minutes"]
        for step in job["steps"]:
            if action := step.get("uses"):
                assert re.search(r"@[0-9a-f]{40}$", action) and f"{action} # v" in text
                if "checkout" in action:
                    assert step["with"] == {"persist-credentials": False}
