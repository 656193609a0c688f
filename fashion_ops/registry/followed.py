"""What a service needs of the registry: the version that an alias names, its files, news of changes."""

import base64
import hashlib
import hmac
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import mlflow
from mlflow.exceptions import MlflowException
from mlflow.webhooks.constants import (
    WEBHOOK_DELIVERY_ID_HEADER,
    WEBHOOK_SIGNATURE_HEADER,
    WEBHOOK_SIGNATURE_VERSION,
    WEBHOOK_TIMESTAMP_HEADER,
)

from fashion_ops import services
from fashion_ops.errors.failures import one_line
from fashion_ops.registry.client import fetch_bundle, find_version
from fashion_ops.registry.connection import connect, failures_in_one_line

_SOURCE = re.compile(r"models:/(?P<name>[^/@]+)(?:@(?P<alias>[^/@]+)|/(?P<number>\d+))")
_OLDEST = 300  # seconds after which a signed message is refused
_UNKNOWN_ROUTE = ("ENDPOINT_NOT_FOUND", "NOT_IMPLEMENTED")  # codes of a server without webhooks
_REFUSED = ("INVALID_PARAMETER_VALUE", "BAD_REQUEST")


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
        with _failures_of_a_service():
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
    with _failures_of_a_service():
        bundle = fetch_bundle(f"models:/{name}/{number}", folder / "model")
    return bundle.resolve().relative_to(folder.resolve())  # MLflow makes a relative folder absolute


def subscribe(root: Path, name: str, url: str, secret: str) -> bool:
    """Ask the server to post changes of aliases to ``url``; False where it has no webhooks.

    Webhooks of this name and address that were made before are deleted once the new one is there.

    Raises:
        ServiceError: the registry does not answer, or fails.
        ValueError: it refuses the name or the address.
    """
    with _failures_of_a_service():
        client = connect(root)
        try:
            hooks = client.list_webhooks()
            old = [h for h in hooks if h.name == name and h.url == url]  # other services have their own
            client.create_webhook(
                name, url, ["model_version_alias.created", "model_version_alias.deleted"], secret=secret
            )
        except NotImplementedError:
            return False
        except MlflowException as error:
            if error.error_code in _UNKNOWN_ROUTE or "failed with error code 405" in str(error):
                return False
            if error.error_code in _REFUSED:
                raise ValueError(f"MLflow refuses the webhook {name} to {url}: {error}") from error
            raise
        for hook in old:
            client.delete_webhook(hook.webhook_id)
    return True


@contextmanager
def _failures_of_a_service() -> Iterator[None]:
    """Turn what MLflow raises within the block into the failure of a service.

    Raises:
        ServiceError: in one line.
    """
    try:
        with failures_in_one_line():
            yield
    except MlflowException as error:
        address = services.without_credentials(mlflow.get_tracking_uri())
        raise services.ServiceError(
            f"MLflow at {address} failed ({one_line(str(error))}); look at its log and its database"
        ) from error


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
