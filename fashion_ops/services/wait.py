"""Asks a service whether it answers, before a library with minutes of retries is let loose on it.

A service that is down refuses connections; one that hangs accepts them and never answers. Both end,
after the seconds in the environment variable ``FASHION_OPS_SERVICE_WAIT``, in a ``ServiceError``: one
line that names the service, its address and what to check. Until then it is asked again, because it may
just be starting.
"""

import os
import re
import socket
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

WAIT = "FASHION_OPS_SERVICE_WAIT"  # environment variable: seconds
DEFAULT_WAIT = 10.0
NOTICE_AFTER = 3.0  # seconds of silence before we say what we are waiting for

Probe = Callable[[float], None]  # asks once, within so many seconds; OSError: there was no answer


class ServiceError(OSError):
    """A service does not answer; the message is one line and says what to check."""


@dataclass(frozen=True)
class Service:
    """A service as messages name it."""

    name: str
    address: str  # without credentials
    remedy: str  # what to check, as an imperative: "start it, or correct MLFLOW_TRACKING_URI"


def patience() -> float:
    """Seconds that a service has to answer: ``FASHION_OPS_SERVICE_WAIT``, by default ``DEFAULT_WAIT``.

    Raises:
        ValueError: the variable is not a number of seconds above 0.
    """
    text = os.environ.get(WAIT) or str(DEFAULT_WAIT)
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise ValueError(f"{WAIT}={text}: must be a number of seconds above 0")
    return seconds


def await_answer(service: Service, probe: Probe) -> None:
    """Ask a service until it answers, for at most ``patience()`` seconds.

    Raises:
        ServiceError: it did not answer.
        ValueError: see ``patience``.
    """
    limit = patience()
    start, noticed = time.monotonic(), False
    while True:
        left = start + limit - time.monotonic()
        try:
            probe(max(left if noticed else min(left, NOTICE_AFTER), 0.1))
            return
        except ServiceError:
            raise
        except OSError as error:
            left = start + limit - time.monotonic()
            if left <= 0.2:
                raise ServiceError(
                    f"{service.name} at {service.address} does not answer ({reason(error)}, for "
                    f"{limit:g} s): {service.remedy}. {WAIT} sets how long to wait"
                ) from error
        if not noticed and sys.stderr.isatty():
            print(
                f"{service.name} at {service.address} does not answer yet; waiting up to {left:.0f} s",
                file=sys.stderr,
                flush=True,
            )
        noticed = True
        time.sleep(min(0.5, left / 2))


def limit_postgres() -> None:
    """Let libpq give up a connection after ``patience()`` seconds, here and in processes started here.

    By default it waits for ever. The operator's ``PGCONNECT_TIMEOUT`` wins.
    """
    os.environ.setdefault("PGCONNECT_TIMEOUT", f"{max(2, round(patience()))}")  # 1 counts as 2


def reason(error: BaseException) -> str:
    """Why there was no answer, in a few words."""
    text = " ".join(str(error).split())
    if isinstance(error, TimeoutError) or "timed out" in text.lower():
        return "it accepts no connection, or accepts and says nothing"
    for words in ("Connection refused", "No route to host", "Network is unreachable"):
        if words in text:
            return words.lower()
    if isinstance(error, socket.gaierror) or re.search(r"getaddrinfo|[Nn]ame.*(known|resol)", text):
        return "unknown host"
    return text.rpartition("] ")[2][:200] or type(error).__name__
