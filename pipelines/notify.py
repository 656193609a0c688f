"""Alerts: to the log, and to a webhook if one is set."""

import json
import logging
import os
import urllib.request
from typing import Any

from fashion_ops.params import Notify
from fashion_ops.workspace import Workspace

log = logging.getLogger(__name__)
WEBHOOK = "FASHION_OPS_WEBHOOK"  # environment variable: the address holds a key and belongs in no file
TIMEOUT = 10.0  # seconds


def send_alert(notify: Notify, event: str, text: str, **facts: Any) -> bool:
    """Log ``text``, and post it to the webhook if one is set.

    It never raises: if the webhook can't be reached, that is only logged.

    Args:
        notify: has the address of the webhook; the environment variable ``WEBHOOK`` overrides it.
        event: kind of the event, ``run_failed`` or ``overdue``.
        text: the alert.
        facts: further fields of the JSON object that is posted.

    Returns:
        Whether a webhook is set and accepted the post.
    """
    log.error("%s", text)
    address = os.environ.get(WEBHOOK) or notify.webhook
    if not address:
        return False
    body = json.dumps({"text": text, "event": event, **facts}).encode()
    headers = {"Content-Type": "application/json"}
    try:
        request = urllib.request.Request(address, body, headers)  # a POST, as it has a body
        with urllib.request.urlopen(request, timeout=TIMEOUT):
            return True
    except (OSError, ValueError) as error:  # HTTP errors are OSErrors; the address is not logged
        log.error("the webhook could not be reached: %s", error)
        return False


def champion_status(ws: Workspace, model: str) -> str:
    """Say which version is champion, there is none, or the registry does not answer; never raises.

    Args:
        ws: the workspace.
        model: name of the registered model.
    """
    try:
        from fashion_ops.registry import client as registry

        version = registry.with_alias(registry.connect(ws.root), model, registry.CHAMPION)
    except Exception as error:  # tracking servers raise many kinds of errors
        return f"the registry does not say which version is champion: {error}"
    return f"the champion is still version {version.version}" if version else "there is no champion yet"
