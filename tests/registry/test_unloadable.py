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
NAME = "garments"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FASHION_OPS_ROOT", str(tmp_path))
    (tmp_path / "params.yaml").write_text(f"register: {{model: {NAME}}}\n")
    client = make(registry.connect(tmp_path), NAME, 1)
    with transitions.begin_transition(client, NAME, "setup") as transition:
        transition.promote("1", "")
    run = client.create_run(client.get_experiment_by_name(registry.EXPERIMENT).experiment_id)  # type: ignore[union-attr]
    client.create_model_version(NAME, str(run.info.artifact_uri), run.info.run_id)
    client.set_registered_model_alias(NAME, registry.CHALLENGER, "2")
    monkeypatch.setattr(promote, "measure", lambda *_: replace(measured(), champion_unloadable=WHY))
    yield tmp_path


def test_the_old_champion_keeps_serving_until_it_is_replaced_on_request(root: Path) -> None:
    client = registry.connect(root)
    refused = CliRunner().invoke(app, ["promote"])
    assert refused.exit_code == 1 and aliases(client, NAME) == ("1", None)
    event = transitions.history(client, NAME)[-1]
    assert event.what == "refusal" and WHY in event.why and "--replace-unloadable" in event.why
    assert "it keeps serving" in event.why
    for _ in range(2):  # every further promote says the same, and none raises
        assert CliRunner().invoke(app, ["promote"]).exit_code == 1

    done = CliRunner().invoke(app, ["promote", "--replace-unloadable"])
    assert done.exit_code == 0 and aliases(client, NAME) == ("2", "1")
    event = transitions.history(client, NAME)[-1]
    assert event.what == "promotion" and WHY in event.why
    kept = (Workspace(root).promotions / "promotion.json").read_text()
    assert "was replaced without a comparison" in kept and '"promoted": true' in kept
    assert WHY in (Workspace(root).promotions / "promotion.html").read_text()
    with transitions.begin_transition(client, NAME, "rollback") as transition:  # and the way back
        transition.roll_back("worse")
    assert aliases(client, NAME) == ("1", None)


def test_the_other_rules_hold_for_a_replacement_too(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    low = replace(measured().facts, metrics={"landmark_ap": {"refined": 0.1}, "box_ap": 0.9})
    poor = replace(measured(), champion_unloadable=WHY, facts=low)
    monkeypatch.setattr(promote, "measure", lambda *_: poor)
    assert CliRunner().invoke(app, ["promote", "--replace-unloadable"]).exit_code == 1
    client = registry.connect(root)
    assert aliases(client, NAME) == ("1", None)
    assert "0.1000 is below promote.min_ap" in transitions.history(client, NAME)[-1].why


def test_a_champion_that_loads_is_never_replaced_without_a_comparison(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(promote, "measure", measured)  # loads, but was not compared
    assert CliRunner().invoke(app, ["promote", "--replace-unloadable"]).exit_code == 1
    assert aliases(registry.connect(root), NAME) == ("1", None)
