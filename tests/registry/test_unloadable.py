"""A champion that today's code can't load keeps serving, and there is a way out."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from movers import aliases, make, measured
from typer.testing import CliRunner

from fashion_ops.cli import app
from fashion_ops.registry import client as registry
from fashion_ops.registry import transitions
from fashion_ops.steps import promote
from fashion_ops.workspace import Workspace

WHY = "RuntimeError: size mismatch for heads: 14 categories"


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """One registry for the module: MLflow needs seconds to set one up."""
    root = tmp_path_factory.mktemp("unloadable")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setenv("FASHION_OPS_ROOT", str(root))
        registry.connect(root)
        yield root


@pytest.fixture
def name(workspace: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """A model whose version 1 is champion and can't be loaded, and whose version 2 is challenger."""
    name = str(request.node.name)[-30:]
    monkeypatch.chdir(workspace)
    (workspace / "params.yaml").write_text(f"register: {{model: {name}}}\n")
    client = make(registry.connect(workspace), name, 2)
    with transitions.begin_transition(client, name, "setup") as transition:
        transition.promote("1", "")
    monkeypatch.setattr(promote, "measure", lambda *_: replace(measured(), champion_unloadable=WHY))
    return name


def test_the_old_champion_keeps_serving_until_it_is_replaced_on_request(
    workspace: Path, name: str
) -> None:
    client = registry.connect(workspace)
    refused = CliRunner().invoke(app, ["promote"])
    assert refused.exit_code == 1 and aliases(client, name) == ("1", None)
    event = transitions.history(client, name)[-1]
    assert event.what == "refusal" and WHY in event.why and "--replace-unloadable" in event.why
    assert "it keeps serving" in event.why
    for _ in range(2):  # every further promote says the same, and none raises
        assert CliRunner().invoke(app, ["promote"]).exit_code == 1

    done = CliRunner().invoke(app, ["promote", "--replace-unloadable"])
    assert done.exit_code == 0 and aliases(client, name) == ("2", "1")
    event = transitions.history(client, name)[-1]
    assert event.what == "promotion" and WHY in event.why
    kept = (Workspace(workspace).promotions / "promotion.json").read_text()
    assert "was replaced without a comparison" in kept and '"promoted": true' in kept
    assert WHY in (Workspace(workspace).promotions / "promotion.html").read_text()
    with transitions.begin_transition(client, name, "rollback") as transition:  # and the way back
        transition.roll_back("worse")
    assert aliases(client, name) == ("1", None)


def test_the_other_rules_hold_for_a_replacement_too(
    workspace: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    low = replace(measured().facts, metrics={"landmark_ap": {"refined": 0.1}, "box_ap": 0.9})
    poor = replace(measured(), champion_unloadable=WHY, facts=low)
    monkeypatch.setattr(promote, "measure", lambda *_: poor)
    assert CliRunner().invoke(app, ["promote", "--replace-unloadable"]).exit_code == 1
    client = registry.connect(workspace)
    assert aliases(client, name) == ("1", None)
    assert "0.1000 is below promote.min_ap" in transitions.history(client, name)[-1].why


def test_a_champion_that_loads_is_never_replaced_without_a_comparison(
    workspace: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(promote, "measure", measured)  # loads, but was not compared
    assert CliRunner().invoke(app, ["promote", "--replace-unloadable"]).exit_code == 1
    assert aliases(registry.connect(workspace), name) == ("1", None)
