"""A service that is down or hangs costs the waiting limit, then one line says what to check."""

import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import grpc
import pytest
from dead_services import KINDS, dead_port, speaker, tracking_server
from typer.testing import CliRunner

from fashion_ops import services
from fashion_ops.cli import app
from fashion_ops.params import Distributed
from fashion_ops.services import Service, ServiceError, await_answer
from pipelines import run

LIMIT = 0.4  # seconds in place of 15
ANSWER = 30.0  # seconds in which everybody must have an answer
runner = CliRunner()
each_kind = pytest.mark.parametrize("kind", KINDS)
COMMANDS = {
    "promote": ["promote"],
    "rollback": ["rollback", "--why", "it is slow"],
    "history": ["history"],
    "restore": ["restore", "champion"],
    "predict": ["predict", "photo.jpg", "--out", "out", "--model", "models:/garments@champion"],
}


@pytest.fixture(autouse=True)
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "params.yaml").write_text("{}\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FASHION_OPS_ROOT", str(tmp_path))
    monkeypatch.setenv(services.WAIT, str(LIMIT))
    for name in ("MLFLOW_TRACKING_URI", "RAY_ADDRESS", "AWS_ENDPOINT_URL", "DAGSTER_SETTINGS"):
        monkeypatch.delenv(name, raising=False)
    yield tmp_path


def one_line(command: str) -> str:
    """What a command answers; it must be one line, in time, with exit status 2."""

    start = time.monotonic()
    done = runner.invoke(app, COMMANDS[command])
    assert time.monotonic() - start < ANSWER
    assert done.exit_code == 2, done.output
    [line] = done.output.splitlines()
    return line


@each_kind
@pytest.mark.parametrize("command", COMMANDS)
def test_a_dead_tracking_server_is_named(
    command: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with dead_port(kind) as port:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:secret@127.0.0.1:{port}")
        line = one_line(command)
    assert line.startswith(f"MLflow at http://127.0.0.1:{port} does not answer")
    assert "correct MLFLOW_TRACKING_URI" in line and "secret" not in line
    assert ("connection refused" in line) == (kind == "refuses")


@pytest.mark.parametrize("command", ["promote", "restore", "predict"])
@pytest.mark.parametrize("kind", ["is broken", "is silent"])
def test_a_dead_store_of_artifacts_is_told_from_its_server(
    command: str, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tracking_server(kind) as port:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
        line = one_line(command)
    assert line.startswith("the store of artifacts behind MLflow") and "check the S3 address" in line


def test_a_server_without_its_database_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with tracking_server("has no database") as port:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{port}")
        assert (
            "HTTP 500" in (line := one_line("history")) and "look at its log and its database" in line
        )


@each_kind
def test_a_dead_postgresql_of_mlflow_is_named(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with dead_port(kind) as port:
        address = f"postgresql+psycopg2://me:secret@127.0.0.1:{port}/mlflow"
        monkeypatch.setenv("MLFLOW_TRACKING_URI", address)
        line = one_line("history")
    assert line.startswith(f"MLflow's PostgreSQL at 127.0.0.1:{port} does not answer")
    assert "secret" not in line


@each_kind
def test_a_dead_postgresql_of_dagster_starts_no_run(
    kind: str, workspace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(run, "prepare_home", lambda root: root)
    with dead_port(kind) as port:
        for name, value in (("SETTINGS", "postgres"), ("POSTGRES_HOST", "127.0.0.1")):
            monkeypatch.setenv(f"DAGSTER_{name}", value)
        monkeypatch.setenv("DAGSTER_POSTGRES_PORT", str(port))
        with pytest.raises(SystemExit, match="2"):
            run.main([])
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"Dagster's PostgreSQL at 127.0.0.1:{port} does not answer")
    assert "DAGSTER_POSTGRES_HOST" in line


@each_kind
@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_a_dead_head_of_a_ray_cluster_is_named(
    scheme: str, kind: str, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fashion_ops.distributed.fan_out import Job, fan_out

    job = Job("skirt", "key", 1.0, lambda: 1)
    with dead_port(kind) as port:
        monkeypatch.setenv("RAY_ADDRESS", f"{scheme}127.0.0.1:{port}")
        start = time.monotonic()
        with pytest.raises(
            ServiceError, match=f"^Ray at {scheme}127.0.0.1:{port} .*check that the head"
        ):
            fan_out("finetune", [job], print, lambda *_: None, Distributed(), workspace)
        assert time.monotonic() - start < ANSWER


@pytest.mark.parametrize("address", ["head", "head:port", "127.0.0.1:99999"])
def test_what_is_no_address_of_a_ray_cluster_is_named(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fashion_ops.distributed.cluster import connect

    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(ServiceError, match=f"^RAY_ADDRESS={address}: .*head:6379"):
        connect(Distributed())


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A DVC repository with one recorded stage and no remote yet."""
    from fashion_ops.ledger import Ledger

    root = tmp_path_factory.mktemp("repository")
    for command in (["git", "init", "-q"], [sys.executable, "-m", "dvc", "init", "-q"]):
        subprocess.run(command, cwd=root, check=True)
    (root / "dvc.yaml").write_text("stages:\n  train: {cmd: make it, outs: [models.txt]}\n")
    (root / "models.txt").write_text("models")
    ledger = Ledger(root)
    ledger.commit("train", ledger.snapshot("train"))
    return root


@each_kind
@pytest.mark.parametrize(
    "remote", ["s3://store/dvc", "http://127.0.0.1:PORT/dvc", "ssh://127.0.0.1:PORT/dvc"]
)
def test_a_dead_remote_of_dvc_is_named(
    remote: str, kind: str, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fashion_ops.ledger import Ledger, push

    if remote.startswith("ssh") and kind == "is silent":
        pytest.skip("ssh is only asked whether it listens")
    if remote.startswith("s3"):
        pytest.importorskip("botocore")
    with dead_port(kind) as port:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
        url = remote.replace("PORT", str(port))
        settings = f"[core]\n    remote = store\n['remote \"store\"']\n    url = {url}\n"
        (repository / ".dvc" / "config.local").write_text(settings)
        start = time.monotonic()
        with pytest.raises(ServiceError, match=r"^DVC's remote 'store' at .*does not answer") as error:
            push(Ledger(repository))
        assert time.monotonic() - start < ANSWER
    assert f"127.0.0.1:{port}" in str(error.value) and "\n" not in str(error.value)


def test_a_damaged_cache_is_repaired_as_far_as_it_goes_although_the_remote_is_down(
    repository: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from fashion_ops.ledger import Ledger, repair_cache

    with dead_port("refuses") as port:
        settings = (
            f"[core]\n    remote = store\n['remote \"store\"']\n    url = http://127.0.0.1:{port}\n"
        )
        (repository / ".dvc" / "config.local").write_text(settings)
        ledger = Ledger(repository)
        cached = ledger.cached(ledger.entries()["train"].outs["models.txt"])
        cached.chmod(0o644)
        cached.write_text("rotten")
        assert repair_cache(ledger) == {"train": ["models.txt"]}
        assert cached.read_text() == "models" and not caplog.text  # nobody need be asked
        (repository / "models.txt").write_text("other")
        cached.chmod(0o644)
        cached.write_text("rotten")
        assert repair_cache(ledger) == {"train": ["models.txt"]}
    assert not cached.exists() and "DVC's remote 'store'" in caplog.text


def test_whoever_answers_is_alive(tmp_path: Path) -> None:
    """PostgreSQL by one byte, gRPC by its settings, a web server by any status or certificate."""
    someone = Service("it", "here", "look")
    server = grpc.server(ThreadPoolExecutor(1))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        await_answer(someone, services.speaks_grpc("127.0.0.1", port))
    finally:
        server.stop(None)
    with ExitStack() as stack:
        postgres, web, tls = (
            stack.enter_context(speaker(answer))
            for answer in (b"N", b"HTTP/1.0 403 Forbidden\r\n\r\n", b"\x15\x03\x03\x00\x02\x02\x28")
        )
        await_answer(someone, services.speaks_postgres("127.0.0.1", postgres))
        await_answer(someone, services.speaks_http(f"http://127.0.0.1:{web}"))
        await_answer(someone, services.speaks_http(f"https://127.0.0.1:{tls}"))
        await_answer(someone, services.listens("127.0.0.1", web))


def test_a_service_that_starts_late_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(services.WAIT, "20")
    with speaker(b"N", after=0.7) as port:
        await_answer(Service("it", "here", "look"), services.speaks_postgres("127.0.0.1", port))


@pytest.mark.parametrize("text", ["soon", "0", "-1", "nan", "inf"])
def test_a_limit_that_is_no_number_of_seconds_is_refused(
    text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(services.WAIT, text)
    with pytest.raises(ValueError, match=f"^{services.WAIT}={text}: must be a number of seconds"):
        services.patience()


def test_the_answer_comes_within_30_seconds_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(services.WAIT)
    assert services.patience() == services.DEFAULT_WAIT <= ANSWER / 2  # the rest is for the imports
