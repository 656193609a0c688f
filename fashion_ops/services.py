"""Asks a service whether it answers, before a library with minutes of retries is let loose on it.

A service that is down refuses connections; one that hangs accepts them and never answers. Both end,
after the seconds in the environment variable ``FASHION_OPS_SERVICE_WAIT``, in a ``ServiceError``: one
line that names the service, its address and what to check. Until then it is asked again, because it may
just be starting. A probe speaks as little as the protocol allows and needs no credentials. Whether they
are right is for the library to say.
"""

import http.client
import os
import re
import socket
import ssl
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import urlsplit

WAIT = "FASHION_OPS_SERVICE_WAIT"  # environment variable: seconds
DEFAULT_WAIT = 15.0
NOTICE_AFTER = 3.0  # seconds of silence before we say what we are waiting for
POSTGRES_PORT = 5432

Probe = Callable[[float], None]  # asks once, within so many seconds; OSError: there was no answer

# An SSLRequest, which PostgreSQL answers with one byte before anybody logs in (its manual, 54.7).
_TO_POSTGRES = bytes.fromhex("0000000804d2162f")
# The preface of HTTP/2 and empty settings, which a gRPC server answers with its own (RFC 9113, 3.4).
_TO_GRPC = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000040000000000")


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


def without_credentials(address: str) -> str:
    """An address without the name and password that may stand before its host, and without a query."""
    parts = urlsplit(address)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def split_host(address: str, default_port: int | None = None) -> tuple[str, int]:
    """Host and port of ``HOST:PORT``, ``[HOST]:PORT`` or of a URL.

    Raises:
        ValueError: there is no host, or no port and no default.
    """
    parts = urlsplit(address if "//" in address else f"//{address}")
    try:
        port = parts.port or default_port
    except ValueError:  # no number, or one above 65535
        port = None
    if not parts.hostname or port is None:
        raise ValueError("must be HOST:PORT")
    return parts.hostname, port


def listens(host: str, port: int) -> Probe:
    """The probe of a service that accepts connections; all that can be asked of an unknown protocol."""

    def probe(seconds: float) -> None:
        socket.create_connection((host, port), timeout=seconds).close()

    return probe


def speaks(host: str, port: int, greeting: bytes) -> Probe:
    """The probe of a service that answers ``greeting`` with anything."""

    def probe(seconds: float) -> None:
        deadline = time.monotonic() + seconds
        with socket.create_connection((host, port), timeout=seconds) as connection:
            connection.settimeout(max(deadline - time.monotonic(), 0.1))
            connection.sendall(greeting)
            if not connection.recv(1):
                raise ConnectionError("it closes the connection without a word")

    return probe


def speaks_postgres(host: str, port: int) -> Probe:
    """The probe of a PostgreSQL server."""
    return speaks(host, port, _TO_POSTGRES)


def speaks_grpc(host: str, port: int) -> Probe:
    """The probe of a gRPC server, such as the head of a Ray cluster."""
    return speaks(host, port, _TO_GRPC)


def speaks_http(url: str) -> Probe:
    """The probe of a web server; any status is an answer. It goes through the proxies that are set."""

    def probe(seconds: float) -> None:
        try:
            urllib.request.urlopen(url, timeout=seconds).close()
        except urllib.error.HTTPError as error:
            error.close()
        except urllib.error.URLError as error:
            if isinstance(error.reason, ssl.SSLError):  # the library has the operator's certificates
                return
            raise error.reason if isinstance(error.reason, OSError) else error from error
        except http.client.HTTPException:  # an answer, though none that a library will like
            return
        except ValueError as error:
            raise ServiceError(f"{url} is no address: {error}") from error

    return probe
