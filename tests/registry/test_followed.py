"""Webhooks of the registry: made before older ones are deleted, and refusals told from failures."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import ENDPOINT_NOT_FOUND, INVALID_PARAMETER_VALUE

from fashion_ops.registry import followed
from fashion_ops.services import ServiceError
from fashion_ops.serving.sources import WEBHOOK


class Hooks:
    """The client of a registry that has webhooks of two services, and fails if it is told to."""

    def __init__(self):
        self.hooks = [self.hook(host) for host in ("a", "b")]
        self.failing = {}

    def hook(self, name):
        return SimpleNamespace(name=WEBHOOK, url=f"https://{name}/v1/champion", webhook_id=name)

    def list_webhooks(self):
        if error := self.failing.get("list"):
            raise error
        return [*self.hooks]

    def delete_webhook(self, number):
        self.hooks = [hook for hook in self.hooks if hook.webhook_id != number]

    def create_webhook(self, name, url, events, secret):
        if error := self.failing.get("create"):
            raise error
        self.hooks.append(SimpleNamespace(name=name, url=url, webhook_id="new"))

    def subscribe(self):
        """Ask for a webhook as the first service; returns what is answered and who has webhooks."""
        try:
            answer = followed.subscribe(Path(), WEBHOOK, "https://a/v1/champion", "s3")
        except (ServiceError, ValueError) as error:
            answer = error
        return answer, [hook.webhook_id for hook in self.hooks]


@pytest.fixture
def hooks(monkeypatch):
    hooks = Hooks()
    monkeypatch.setattr(followed, "connect", lambda root: hooks)
    return hooks


def test_a_webhook_of_another_service_stays(hooks):
    assert hooks.subscribe() == (True, ["b", "new"])


@pytest.mark.parametrize("call", ["list", "create"])
def test_a_registry_that_fails_keeps_its_webhooks_and_is_told_from_one_that_has_none(hooks, call):
    hooks.failing[call] = MlflowException("the database is locked")
    failed, left = hooks.subscribe()
    assert isinstance(failed, ServiceError) and "locked" in str(failed) and left == ["a", "b"]
    hooks.failing[call] = MlflowException("URL must be public", INVALID_PARAMETER_VALUE)
    refused, left = hooks.subscribe()
    assert isinstance(refused, ValueError) and "must be public" in str(refused) and left == ["a", "b"]
    for none in (
        NotImplementedError(),
        MlflowException("no route", ENDPOINT_NOT_FOUND),
        MlflowException("API request to endpoint /x failed with error code 405"),
    ):
        hooks.failing[call] = none
        assert hooks.subscribe() == (False, ["a", "b"])
