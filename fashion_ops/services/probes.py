"""How to ask a service whether it answers: one probe a protocol, and addresses.

A probe says as little as the protocol allows and needs no credentials. Whether those are right is for
the service's library to find out.
"""

import http.client
import socket
import ssl
import time
import urllib.error
import urllib.request
from urllib.parse import urlsplit

from fashion_ops.services.wait import Probe, ServiceError

POSTGRES_PORT = 5432

# An SSLRequest, which PostgreSQL answers with one byte before anybody logs in (its manual, 54.7).
_TO_POSTGRES = bytes.fromhex("0000000804d2162f")
# The preface of HTTP/2 and empty settings, which a gRPC server answers with its own (RFC 9113, 3.4).
_TO_GRPC = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes.fromhex("000000040000000000")


def without_credentials(address: str) -> str:
    """An address without the name and password that may stand before its host, and without a query."""
    try:
        parts = urlsplit(address)
    except ValueError:  # such as half an IPv6 address
        return address.rpartition("@")[2]
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


def split_host(address: str, default_port: int | None = None) -> tuple[str, int]:
    """Host and port of ``HOST:PORT``, ``[HOST]:PORT`` or of a URL.

    Raises:
        ValueError: there is no host, or no port and no default.
    """
    try:
        parts = urlsplit(address if "//" in address else f"//{address}")
        host, port = parts.hostname, parts.port or default_port
    except ValueError:  # half an IPv6 address; a port that is no number, or one above 65535
        host = port = None
    if not host or port is None:
        raise ValueError("must be HOST:PORT")
    return host, port


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


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Takes a redirection for the answer that it is."""

    def redirect_request(self, *_: object) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Follow none."""


def speaks_http(url: str) -> Probe:
    """The probe of a web server; any status is an answer. It goes through the proxies that are set."""
    opener = urllib.request.build_opener(_NoRedirect)

    def probe(seconds: float) -> None:
        try:
            opener.open(url, timeout=seconds).close()
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
