"""The job that brings the repository into the workspace: real git, and stores in an S3 emulator."""

import base64
import importlib.util
import subprocess
from pathlib import Path
from types import ModuleType

import pytest
from hooks import Hook, listening

ROOT = Path(__file__).parents[2]
IDENTITY = ("-c", "user.name=test", "-c", "user.email=test@example.com")


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "infra" / "services" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


make_workspace = load("make_workspace").make_workspace


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *IDENTITY, *arguments], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def commit(folder: Path, name: str, text: str) -> str:
    (folder / name).write_text(text)
    git(folder, "add", name)
    git(folder, "commit", "--quiet", "--message", name)
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    origin = tmp_path / "origin"
    origin.mkdir()
    git(origin, "init", "--quiet", "--initial-branch=main")
    commit(origin, "params.yaml", "seed: 0\n")
    return origin


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """A new volume, which is not empty."""
    (tmp_path / "volume" / "lost+found").mkdir(parents=True)
    return tmp_path / "volume"


def test_a_new_volume_gets_the_repository_and_later_its_next_commits(
    origin: Path, volume: Path
) -> None:
    first = git(origin, "rev-parse", "HEAD")
    assert make_workspace(volume, str(origin), "main") == first
    assert (volume / "params.yaml").read_text() == "seed: 0\n"
    (volume / "data").write_text("made by a run")
    second = commit(origin, "new", "x")
    assert make_workspace(volume, str(origin), "main") == second
    assert (volume / "new").is_file() and (volume / "data").read_text() == "made by a run"
    assert make_workspace(volume, str(origin), first) == second  # never back


def test_a_change_or_a_commit_in_the_workspace_is_never_lost(origin: Path, volume: Path) -> None:
    make_workspace(volume, str(origin), "main")
    (volume / "params.yaml").write_text("seed: 1\n")
    commit(origin, "params.yaml", "seed: 2\n")
    with pytest.raises(ValueError, match=r"params\.yaml"):
        make_workspace(volume, str(origin), "main")
    assert (volume / "params.yaml").read_text() == "seed: 1\n"
    own = commit(volume, "params.yaml", "seed: 1\n")
    with pytest.raises(ValueError, match="fast-forward"):
        make_workspace(volume, str(origin), "main")
    assert git(volume, "rev-parse", "HEAD") == own


def test_a_token_is_sent_and_written_nowhere(volume: Path) -> None:
    hook: Hook
    with listening() as hook:
        hook.replies = [404] * 4
        with pytest.raises(ValueError, match="fetch") as caught:
            make_workspace(volume, f"http://127.0.0.1:{hook.port}/r.git", "main", "T0ken")
    sent = base64.b64encode(b"x-access-token:T0ken").decode()
    assert f"Authorization: Basic {sent}" in hook.requests[0]
    kept = b"".join(path.read_bytes() for path in volume.rglob("*") if path.is_file())
    assert b"T0ken" not in kept and sent.encode() not in kept and "T0ken" not in str(caught.value)
    with pytest.raises(ValueError, match="REPOSITORY_TOKEN") as caught:
        make_workspace(volume, "https://me:T0ken@git.example.com/r.git", "main")
    assert "T0ken" not in str(caught.value)


@pytest.mark.parametrize("region", ["us-east-1", "eu-central-1"])
def test_the_bucket_is_made_in_every_region(region: str, monkeypatch: pytest.MonkeyPatch) -> None:
    moto = pytest.importorskip("moto")
    monkeypatch.setenv("AWS_DEFAULT_REGION", region)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    stores = load("make_stores")
    with moto.mock_aws():
        for _ in range(2):
            stores.make_buckets(["fashion-ops"])
        buckets = stores.boto3.client("s3").list_buckets()["Buckets"]
    assert [bucket["Name"] for bucket in buckets] == ["fashion-ops"]
