"""What a service needs of the registry: the version that an alias names, its files, news of changes."""

import base64
import hashlib
import hmac
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from mlflow.exceptions import MlflowException
from mlflow.webhooks.constants import (
    WEBHOOK_DELIVERY_ID_HEADER,
    WEBHOOK_SIGNATURE_HEADER,
    WEBHOOK_SIGNATURE_VERSION,
    WEBHOOK_TIMESTAMP_HEADER,
)

from fashion_ops.registry.client import fetch_bundle, find_version
from fashion_ops.registry.connection import connect, failures_in_one_line

_SOURCE = re.compile(r"models:/(?P<name>[^/@]+)(?:@(?P<alias>[^/@]+)|/(?P<number>\d+))")
_OLDEST = 300  # seconds after which a signed message is refused


@dataclass(frozen=True)
class FollowedModel:
    """A model in the registry, by the alias that is followed or a number that never changes.

    Attributes:
        name: of the registered model.
        version: its alias or number.
    """

    name: str
    version: str

    @classmethod
    def parse(cls, source: str) -> "FollowedModel":
        """Parse ``models:/NAME@ALIAS`` or ``models:/NAME/VERSION``.

        Raises:
            ValueError: it is neither.
        """
        match = _SOURCE.fullmatch(source)
        if match is None:
            raise ValueError(f"{source}: must be models:/NAME@ALIAS or models:/NAME/VERSION")
        return cls(match["name"], match["alias"] or match["number"])

    def number(self, root: Path) -> int:
        """Ask the registry which version this is now.

        Raises:
            ServiceError: the registry does not answer.
            ValueError: there is no such version or alias.
        """
        with failures_in_one_line():
            return int(find_version(connect(root), self.name, self.version).version)


def fetch_version(name: str, number: int, folder: Path) -> Path:
    """Copy the models of a version into the existing ``folder``.

    Returns:
        Path of the models, relative to ``folder``.

    Raises:
        FileNotFoundError: the version is gone, or fashion-ops did not register it.
        ServiceError: the registry does not answer.
        UnsafeModel: there is a pickle in it.
    """
    bundle = fetch_bundle(f"models:/{name}/{number}", folder / "model")
    return bundle.resolve().relative_to(folder.resolve())  # MLflow makes a relative folder absolute


def subscribe(root: Path, name: str, url: str, secret: str) -> bool:
    """Ask the server to post changes of aliases to ``url``; False where it has no webhooks.

    A webhook of this name and address that was made before is replaced.
    """
    client = connect(root)
    try:
        for hook in client.list_webhooks():
            if hook.name == name and hook.url == url:  # other services have their own
                client.delete_webhook(hook.webhook_id)
        client.create_webhook(
            name, url, ["model_version_alias.created", "model_version_alias.deleted"], secret=secret
        )
    except (MlflowException, NotImplementedError):
        return False
    return True


def is_signed(secret: str, headers: Mapping[str, str], body: bytes) -> bool:
    """Whether MLflow signed a message with this secret in the last five minutes."""
    sent = headers.get(WEBHOOK_TIMESTAMP_HEADER, "")
    if not sent.isdecimal() or abs(time.time() - int(sent)) > _OLDEST:
        return False
    signed = f"{headers.get(WEBHOOK_DELIVERY_ID_HEADER, '')}.{sent}.".encode() + body
    digest = hmac.new(secret.encode(), signed, hashlib.sha256).digest()
    expected = f"{WEBHOOK_SIGNATURE_VERSION},{base64.b64encode(digest).decode()}"
    return hmac.compare_digest(
        expected.encode(), headers.get(WEBHOOK_SIGNATURE_HEADER, "").encode("utf-8", "replace")
    )
