"""Alarms: to the log at once, and to a webhook, if one is set, until it has accepted them.

An alarm for the webhook is first written to a file of the folder ``.alarms`` of the workspace. What
cannot be delivered now, because the webhook is down, its address is wrong or this process ends, is
posted at a later tick of a sensor. A delivered alarm becomes ``NAME.done``, which is kept for a month:
the file's name is made of what the alarm is about, so that the same alarm is neither queued nor
delivered twice.
"""

import fcntl
import hashlib
import json
import logging
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg

from fashion_ops.params import Notify
from fashion_ops.params.webhook import Webhook, parse_webhook
from fashion_ops.workspace import Workspace, write_whole
from pipelines.webhook_client import BOUND, NotDelivered, post

log = logging.getLogger(__name__)
WEBHOOK = "FASHION_OPS_WEBHOOK"  # environment variable: the address holds a key and belongs in no file
STAMP = "%Y%m%dT%H%M%S%f"
KEEP_DAYS = 30  # delivered alarms
PASSWORD = re.compile(r"(?<=://)[^/\s@]+@")  # user and password of a URL in an error's text


def find_webhook(notify: Notify) -> Webhook | None:
    """The webhook of the environment variable ``WEBHOOK``, else of the parameters; None without one.

    Raises:
        ValueError: the address cannot be posted to; the message shows its host only.
    """
    if address := os.environ.get(WEBHOOK):
        return parse_webhook(address, WEBHOOK)
    if notify.webhook is None:
        return None
    return parse_webhook(notify.webhook.get_secret_value(), "notify.webhook")


class AlarmLost(dg.DagsterError):
    """An alarm could be neither queued nor delivered.

    It ends the tick of a sensor before the sensor's cursor moves, so that the next tick raises the
    alarm again. In a run failure sensor only an error of Dagster's own does so; after any other one
    Dagster counts the run as reported.
    """


def raise_alarm(
    ws: Workspace, notify: Notify, event: str, about: str, text: str, **facts: Any
) -> str | None:
    """Log an alarm, queue it if a webhook is set, and try to deliver all that is queued.

    Args:
        ws: the workspace with the queue.
        notify: has the address of the webhook; the environment variable ``WEBHOOK`` overrides it.
        event: kind of the event, ``run_failed`` or ``overdue``.
        about: what the alarm is about, such as the id of a run; the same event about the same is
            delivered once.
        text: the alert.
        facts: further fields of the JSON object that is posted.

    Returns:
        What ``deliver`` returns.

    Raises:
        AlarmLost: the alarm could be neither queued nor posted.
    """
    body = _body(event, text, facts)
    log.error("%s", body["text"])
    if os.environ.get(WEBHOOK) or notify.webhook is not None:
        identity = hashlib.sha256(f"{event} {about}".encode()).hexdigest()[:16]
        name = f"{datetime.now(UTC):{STAMP}}-{event}-{identity}.json"
        body = {"id": identity, **body}
        try:
            if not list(ws.alarms.glob(f"*-{identity}.*")):
                write_whole(ws.alarms / name, json.dumps(body).encode())
        except OSError as error:  # a full or read-only disk
            log.error("an alarm cannot be queued: %s", error)
            _post_now(notify, body, error)
            return None
    return deliver(ws, notify)


def deliver(ws: Workspace, notify: Notify) -> str | None:
    """Post the queued alarms, oldest first, until the webhook cannot be reached.

    An alarm that the webhook refuses stays queued and does not stop the ones after it.

    Returns:
        One line that says how many alarms wait and why, which is also logged; None if none waits.
    """
    reason = "no webhook is set"
    try:
        with _only_one(ws) as alone:
            queued = _queued(ws)
            if not alone:
                return f"alarms that are being delivered: {len(queued)}"
            if queued and (webhook := find_webhook(notify)):
                reason = _post_all(webhook, queued)
    except (OSError, ValueError) as error:  # a read-only disk, before anything is posted; the address
        reason = str(error)
    if waiting := len(_queued(ws)):
        message = f"undelivered alarms in {ws.alarms}: {waiting}; {reason}"
        log.error("%s", message)
        return message
    return None


def _post_all(webhook: Webhook, queued: list[Path]) -> str:
    """Post queued alarms and mark those that were accepted; returns why the others were not."""
    reason, end = "", time.monotonic() + BOUND
    for path in queued:
        if time.monotonic() > end:  # a tick of a sensor lasts a minute at most
            return reason or f"host {webhook.host}: it is slow; the others follow at the next tick"
        try:
            body = json.loads(path.read_bytes())
        except (OSError, ValueError) as error:
            reason = f"{path} cannot be read: {error}"
            continue
        try:
            post(webhook, body)
        except NotDelivered as error:
            reason = str(error)
            if not error.refused:
                return reason
        else:
            path.rename(path.with_suffix(".done"))
    oldest = f"{datetime.now(UTC) - timedelta(days=KEEP_DAYS):{STAMP}}"
    for path in queued[0].parent.glob("*.done"):
        if path.name < oldest:
            path.unlink(missing_ok=True)
    return reason


def _post_now(notify: Notify, body: dict[str, Any], why: OSError) -> None:
    """Post a body that cannot be queued to the webhook that is set.

    Raises:
        AlarmLost: it was not accepted.
    """
    try:
        webhook = find_webhook(notify)
        assert webhook is not None
        post(webhook, body)
    except (NotDelivered, ValueError) as error:
        raise AlarmLost(f"an alarm is neither queued ({why}) nor delivered ({error})") from error


def _queued(ws: Workspace) -> list[Path]:
    """Files of the alarms that wait, oldest first."""
    return sorted(ws.alarms.glob("*.json"))


@contextmanager
def _only_one(ws: Workspace) -> Iterator[bool]:
    """Whether this is the only one that delivers: sensors tick in parallel."""
    if not ws.alarms.is_dir():
        yield True
        return
    with (ws.alarms / ".lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            yield False
            return
        yield True


def _body(event: str, text: str, facts: dict[str, Any]) -> dict[str, Any]:
    """The JSON object that is posted, without users and passwords of URLs."""
    body = {"text": text, "event": event, "time": datetime.now(UTC).isoformat(timespec="seconds")}
    plain = json.dumps({**body, **facts}, default=str)
    return json.loads(PASSWORD.sub("", plain))


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
