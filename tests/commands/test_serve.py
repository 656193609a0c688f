"""``fashion-ops serve`` as typed: what it serves, and what it says before it begins."""

import socket

import pytest
from typer.testing import CliRunner

from fashion_ops.cli import app
from fashion_ops.services import ServiceError
from fashion_ops.serving.champion import FixedFolder, Follower
from fashion_ops.serving.settings import ServiceSettings


@pytest.fixture
def served(tmp_path, monkeypatch):
    """Runs the command up to the point where it would listen; returns the sources of its services."""
    (tmp_path / "models").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FASHION_OPS_ROOT", str(tmp_path))
    sources = []
    make = ServiceSettings.make

    def made(settings):
        service = make(settings)
        sources.append(service.source)
        return service

    monkeypatch.setattr("fashion_ops.serving.settings.ServiceSettings.make", made)
    monkeypatch.setattr("uvicorn.run", lambda *_, **__: None)
    monkeypatch.setattr("fashion_ops.serving.observing.log_json", lambda: None)

    def run(*words):
        done = CliRunner().invoke(app, ["serve", "--port", "0", *words])
        assert done.exit_code == 0, done.output
        return sources.pop()

    return run


def test_without_a_model_the_champion_is_followed(served):
    source = served()
    assert isinstance(source, Follower)
    assert (source.model.name, source.model.version) == ("garment-landmarks", "champion")
    assert isinstance(ServiceSettings().make().source, Follower)  # as Ray Serve makes one


def test_a_version_is_followed_and_a_folder_is_served(served):
    assert served("--model", "models:/garment-landmarks/3").model.version == "3"
    assert isinstance(ServiceSettings(model="models").make().source, FixedFolder)


def test_models_that_cannot_be_loaded_are_named_before_anything_listens(served, monkeypatch):
    monkeypatch.setattr("uvicorn.run", lambda *_, **__: pytest.fail("it listens"))
    done = CliRunner().invoke(app, ["serve", "--port", "0", "--model", "models"])
    assert done.exit_code == 2 and "Traceback" not in done.stderr
    assert "models/detector" in done.stderr and len(done.stderr.strip().splitlines()) == 1


def test_a_port_that_is_taken_is_said_before_models_are_loaded(served):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = CliRunner().invoke(app, ["serve", "--port", str(port), "--model", "models"])
    assert done.exit_code == 2 and f"--port {port}: cannot be listened on: " in done.stderr
    done = CliRunner().invoke(app, ["serve", "--host", "no.such.host.invalid", "--model", "models"])
    assert done.exit_code == 2 and "no.such.host.invalid" in done.stderr


@pytest.mark.parametrize("error", [ServiceError("MLflow does not answer"), ValueError("not public")])
def test_without_a_webhook_the_service_starts_and_says_why(served, monkeypatch, error):
    def subscribe(*_):
        raise error

    monkeypatch.setenv("FASHION_OPS_WEBHOOK_SECRET", "s3")
    monkeypatch.setattr("fashion_ops.serving.sources.subscribe", subscribe)
    done = CliRunner().invoke(app, ["serve", "--port", "0", "--webhook", "https://host/v1/champion"])
    assert done.exit_code == 0 and len(done.stderr.strip().splitlines()) == 1
    assert f"--webhook https://host/v1/champion: {error}; the registry is asked" in done.stderr
