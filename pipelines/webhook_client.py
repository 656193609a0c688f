"""Posts JSON to a webhook: a small client around Python's own HTTP handlers.

It follows no redirect (another host would learn the secret path), reads no body (a reply may be
endless), and knows no scheme but http and https. Proxies of the environment are used. ``urllib3`` and
``requests`` were left out because both log the path of what they retry. The whole post has one time
limit, name look-up included; Python's own time-out is for each single read.

Errors name the host and never the path, the query, a user or a password: texts of exceptions and of
servers are not repeated.
"""

import http
import http.client
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any
from urllib.error import URLError
from urllib.request import HTTPHandler, HTTPSHandler, OpenerDirector, ProxyHandler, Request

from fashion_ops.params.webhook import Webhook

TIMEOUT = 8.0  # seconds of one attempt
BOUND = 25.0  # seconds of all attempts and pauses together
PAUSES = (1.0, 3.0)  # seconds before the second and the third attempt
RETRIED = {408, 425, 429, 500, 502, 503, 504}


class NotDelivered(OSError):
    """The webhook did not accept a post; the message is one line without a secret.

    Attributes:
        refused: whether it answered, and another attempt would be answered the same.
    """

    def __init__(self, message: str, refused: bool) -> None:
        super().__init__(message)
        self.refused = refused


def post(webhook: Webhook, body: Mapping[str, Any]) -> None:
    """Post ``body`` as JSON; only a reply of 200 to 299 counts as delivered.

    Failed connections, time-outs and replies in ``RETRIED`` are tried again after ``PAUSES``, within
    ``BOUND``.

    Raises:
        NotDelivered: no attempt was accepted.
    """
    data = json.dumps(body, default=str).encode()
    end = time.monotonic() + BOUND
    for pause in (*PAUSES, None):
        try:
            _attempt(webhook, data, min(TIMEOUT, end - time.monotonic()))
        except NotDelivered as error:
            if error.refused or pause is None or time.monotonic() + pause >= end:
                raise
            time.sleep(pause)
        else:
            return


def _attempt(webhook: Webhook, data: bytes, seconds: float) -> None:
    """One attempt, in a thread whose connection is closed when the time is over."""
    connections: list[http.client.HTTPConnection] = []
    outcome: list[int | Exception] = []

    def exchange() -> None:
        try:
            outcome.append(_exchange(webhook, data, seconds, connections))
        except Exception as error:  # http.client raises what is no OSError, such as BadStatusLine
            outcome.append(error)

    thread = threading.Thread(target=exchange, name="webhook", daemon=True)
    thread.start()
    thread.join(max(seconds, 0.0))
    result = outcome[0] if outcome else TimeoutError()  # before the thread says that we closed it
    if thread.is_alive():  # a closed connection ends it
        for connection in connections:
            with suppress(OSError, AttributeError):
                connection.sock.shutdown(socket.SHUT_RDWR)
    if isinstance(result, Exception):
        raise NotDelivered(f"host {webhook.host}: {_cause(result)}", refused=False) from None
    if not 200 <= result < 300:
        raise NotDelivered(f"host {webhook.host}: {_meaning(result)}", refused=result not in RETRIED)


def _exchange(
    webhook: Webhook, data: bytes, seconds: float, connections: list[http.client.HTTPConnection]
) -> int:
    """Send one request; returns the status of the reply, whose body is not read."""

    def remembered(
        kind: type[http.client.HTTPConnection],
    ) -> Callable[..., http.client.HTTPConnection]:
        def make(*args: Any, **options: Any) -> http.client.HTTPConnection:
            connections.append(kind(*args, **options))
            return connections[-1]

        return make

    class Plain(HTTPHandler):
        def http_open(self, req: Request) -> Any:
            return self.do_open(remembered(http.client.HTTPConnection), req)  # type: ignore[arg-type]

    class Secure(HTTPSHandler):
        def https_open(self, req: Request) -> Any:
            made = remembered(http.client.HTTPSConnection)
            return self.do_open(made, req, context=ssl.create_default_context())  # type: ignore[arg-type]

    opener = OpenerDirector()
    for handler in (ProxyHandler(), Plain(), Secure()):
        opener.add_handler(handler)
    headers = {"Content-Type": "application/json", **webhook.headers}
    request = Request(webhook.address, data, headers, method="POST")
    with opener.open(request, timeout=seconds) as reply:
        return int(reply.status)


def _cause(error: Exception) -> str:
    """Why there was no reply, in fixed words and the operating system's."""
    reason = error.reason if isinstance(error, URLError) else error
    if isinstance(reason, TimeoutError):
        return "no reply in time"
    if isinstance(reason, ssl.SSLCertVerificationError):
        return f"its TLS certificate is not valid ({reason.verify_message})"
    if isinstance(reason, ssl.SSLError):
        return f"no TLS connection ({reason.reason or 'protocol error'})"
    if isinstance(reason, ConnectionError) and not reason.strerror:
        return "it closed the connection without a reply"
    if isinstance(reason, http.client.HTTPException):
        return f"its reply is not HTTP ({type(reason).__name__})"
    if isinstance(reason, OSError) and reason.strerror:
        return f"it cannot be reached ({reason.strerror})"
    return f"it cannot be reached ({type(reason).__name__})"


def _meaning(status: int) -> str:
    """A status in HTTP's words; the server's own words may repeat the path."""
    known = status in {known.value for known in http.HTTPStatus}
    words = f"it answered {status}" + (f" {http.HTTPStatus(status).phrase}" if known else "")
    return f"{words}; redirects are not followed" if 300 <= status < 400 else words
