"""The registry's champion followed: versions that fail, faults of the machine, webhooks, a folder."""

import errno
import json
import time
from pathlib import Path

import pytest
import requests
from running_service import Fixed, running

from fashion_ops.inference.example import Example
from fashion_ops.methods.pickles import UnsafeModel
from fashion_ops.registry.followed import FollowedModel
from fashion_ops.services import ServiceError
from fashion_ops.serving import champion
from fashion_ops.serving.champion import Champion, FixedFolder, Follower, Loader
from fashion_ops.serving.sharing import alone


class Registry:
    """A registry of versions that lie in folders."""

    def __init__(self, bundle):
        self.bundle, self.champion, self.alive, self.broken = bundle, 1, True, ()

    def number(self, root):
        if not self.alive:
            raise ServiceError("the registry is down")
        return self.champion

    def fetch(self, name, number, folder):
        (folder / "model").symlink_to(self.bundle if number not in self.broken else folder)
        return Path("model")


@pytest.fixture
def registry(bundle, monkeypatch):
    registry = Registry(bundle)
    monkeypatch.setattr(
        "fashion_ops.registry.followed.FollowedModel.number", lambda _, r: registry.number(r)
    )
    monkeypatch.setattr("fashion_ops.serving.champion.fetch_version", registry.fetch)
    return registry


class Ready:
    """A loader of models that are loaded already; a broken version has no detector."""

    engine = "torch"

    def __init__(self, predictor):
        self.predictor, self.hindered = predictor, None

    def load(self, bundle, networks):
        if self.hindered:
            raise self.hindered
        if not (bundle / "detector").is_dir():
            raise FileNotFoundError(f"{bundle}: no detector")
        return self.predictor


def follower(tmp_path, predictor):
    model = FollowedModel.parse("models:/garments@champion")
    return Follower(model, tmp_path, tmp_path / "state", Ready(predictor), 0.05)


def until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_broken_version_stays_out_and_the_last_good_one_survives_a_dead_registry(
    registry, predictor, tmp_path
):
    first = follower(tmp_path, predictor)
    first.start()
    try:
        until(lambda: first.champion.served)
        registry.broken, registry.champion = (2,), 2
        until(lambda: first.champion.rejected == 2)
        assert first.champion.served.version == 1 and "version 2 stays out" in first.champion.failure
        registry.champion = 3
        until(lambda: first.champion.served.version == 3)
        assert first.champion.rejected == 0
    finally:
        first.stop()
    registry.alive = False
    second = follower(tmp_path, predictor)
    second.start()
    try:
        until(lambda: second.champion.served)
        assert second.champion.served.version == 3
        until(lambda: second.champion.failure)
    finally:
        second.stop()


def test_what_requests_read_never_changes_in_part(registry, predictor, tmp_path):
    """A version that is refused is told with its reason, and one in use without the old refusal."""
    source = follower(tmp_path, predictor)
    source.follow_once()
    before = source.champion
    registry.broken, registry.champion = (2,), 2
    with pytest.raises(ValueError, match="version 2 stays out"):
        source.follow_once()
    refused = source.champion
    assert (refused.rejected, refused.served) == (2, before.served) and "stays out" in refused.failure
    registry.champion = 3
    source.follow_once()
    assert (before.rejected, before.failure, refused.rejected) == (0, "", 2)  # what was read stays
    now = source.champion
    assert (now.served.version, now.rejected, now.failure, now.switches) == (3, 0, "", 2)


def full_disk(*_):
    raise OSError(errno.ENOSPC, "No space left on device", "current.json")


def test_a_good_version_stays_in_use_where_only_its_record_cannot_be_written(
    registry, predictor, tmp_path, monkeypatch, caplog
):
    source = follower(tmp_path, predictor)
    source.follow_once()
    with monkeypatch.context() as patch:
        patch.setattr(champion, "write_whole", full_disk)
        registry.champion = 2
        source.follow_once()
    now = source.champion
    assert (now.served.version, now.rejected, now.failure) == (2, 0, "")
    assert "current.json: no space left" in caplog.text and source._folder(2).is_dir()


@pytest.mark.parametrize("error", [TimeoutError("another service exports"), MemoryError()])
def test_a_version_that_the_machine_hinders_is_kept_and_tried_again(
    registry, predictor, tmp_path, error
):
    source = follower(tmp_path, predictor)
    source.loader.hindered = error
    source._guard(source.follow_once)
    now = source.champion
    assert (now.served, now.rejected) == (None, 0) and now.failure and now.registry_answers
    assert source._folder(1).is_dir()
    source.loader.hindered = None
    source.follow_once()
    assert (source.champion.served.version, source.champion.failure) == (1, "")


def test_a_version_with_a_pickle_is_fetched_once(registry, predictor, tmp_path, monkeypatch):
    fetched = []

    def fetch(name, number, folder):
        fetched.append(number)
        raise UnsafeModel("a.pkl: could run code")

    monkeypatch.setattr(champion, "fetch_version", fetch)
    source = follower(tmp_path, predictor)
    source._guard(source.follow_once)
    source._guard(source.follow_once)
    assert fetched == [1] and source.champion.rejected == 1


def test_a_copy_that_another_service_works_on_is_not_deleted(registry, predictor, tmp_path):
    source = follower(tmp_path, predictor)
    registry.broken = (1, 2)
    with (
        pytest.raises(ValueError, match="version 1 stays out"),
        alone(source._folder(1) / champion.NETWORKS),
    ):
        source.follow_once()
    assert source._folder(1).is_dir()
    registry.champion = 2
    with pytest.raises(ValueError, match="version 2 stays out"):
        source.follow_once()
    assert not source._folder(2).exists()


def test_a_failure_that_is_over_is_not_told_any_more(registry, predictor, bundle, tmp_path):
    """The registry comes back: without a version while a folder serves, and with a rejected one."""

    def none(_):
        raise ValueError("there is none")

    source = follower(tmp_path, predictor)
    source.fallback, number = bundle, registry.number
    for answers in (none, None, none):  # None: it is down
        registry.alive, registry.number = answers is not None, answers or number
        source._guard(source.follow_once)
        assert source.champion.served.version == 0
        assert source.champion.registry_answers == (source.champion.failure == "") == registry.alive
    registry.alive, registry.number, registry.broken = True, number, (1,)
    source._guard(source.follow_once)
    refused = source.champion
    registry.alive = False
    source._guard(source.follow_once)
    assert source.champion.failure == "the registry is down" and source.champion.rejected == 1
    registry.alive = True
    source._guard(source.follow_once)
    assert source.champion == refused and "stays out" in refused.failure


def test_ready_tells_what_fails_a_version_the_registry_or_the_machine(predictor):
    source = Fixed(predictor)
    with running(source) as address:
        for failing, told in (
            ({"failure": "no space left"}, {"champion"}),
            ({"failure": "no answer", "registry_answers": False}, {"registry"}),
            ({"failure": "version 8 stays out", "rejected": 8}, {"rejected"}),
            ({"failure": "x", "rejected": 8, "registry_answers": False}, {"rejected", "registry"}),
        ):
            source.champion = Champion(source.champion.served, **failing)
            ready = requests.get(f"{address}/ready", timeout=9).json()
            assert ready.keys() - {"ready", "model"} == told


def test_a_predictor_that_predicts_the_example_otherwise_is_refused(predictor):
    example = Example.of(predictor)
    for garments in example.garments:
        garments.append(
            {
                "category": "skirt",
                "score": 0.9,
                "box": [0, 0, 9, 9],
                "landmarks": {"a": {"x": 0, "y": 0}},
            }
        )
    with pytest.raises(ValueError, match="example photo 0: skirt"):
        example.check(predictor)


def test_mlflow_s_webhook_wakes_the_follower_only_with_its_signature(predictor):
    from mlflow.webhooks.delivery import _generate_hmac_signature

    source = Fixed(predictor)
    with running(source, webhook_secret="s3") as address:
        now, body = str(int(time.time())), json.dumps({"entity": "model_version_alias"})
        headers = {"X-MLflow-Delivery-Id": "1", "X-MLflow-Timestamp": now}
        headers["X-MLflow-Signature"] = _generate_hmac_signature("s3", "1", now, body)
        post = f"{address}/v1/champion"
        assert requests.post(post, data=body + " ", headers=headers, timeout=9).status_code == 401
        assert source.woken == 0
        assert requests.post(post, data=body, headers=headers, timeout=9).status_code == 202
    assert source.woken == 1


def test_a_folder_of_models_is_served_without_a_registry(bundle, tmp_path):
    source = FixedFolder(bundle, tmp_path, Loader("torch", "cpu"))
    source.start()
    assert source.champion.served.version == 0


def test_who_waits_for_another_service_says_so_and_gives_up(tmp_path, caplog):
    folder = tmp_path / "state" / "networks"
    with (
        alone(folder),
        caplog.at_level("INFO"),
        pytest.raises(TimeoutError, match=r"networks: another service has not made it in 0\.001 min"),
        alone(folder, minutes=0.001),
    ):
        pass
    assert "networks: another service makes it; waiting" in caplog.text
    with alone(folder):  # and whoever comes later finds it free
        pass


def test_networks_of_a_folder_are_kept_by_its_content_beside_those_of_others(tmp_path):
    """Two services may share a state folder, which may hold files of the user's."""
    made = []

    class Exporting:
        engine = "openvino"

        def load(self, bundle, networks):
            if not networks.is_dir():
                made.append(networks.name)
                networks.mkdir(parents=True)

    for name, content in (("a", b"1"), ("b", b"2"), ("a", b"1"), ("c", b"1")):
        (tmp_path / name).mkdir(exist_ok=True)
        (tmp_path / name / "weights").write_bytes(content)
        FixedFolder(tmp_path / name, tmp_path / "state", Exporting()).start()
    assert len(made) == len(set(made)) == 2
    assert {path.name for path in (tmp_path / "state").iterdir()} == set(made)
