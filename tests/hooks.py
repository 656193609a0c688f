"""A webhook on this machine that answers what a test tells it to."""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

Reply = int | bytes | None  # status; raw bytes; None closes the connection without a word


class Hook:
    """A server at ``url``; ``replies`` are given in turn, and then 200.

    Attributes:
        accepted: bodies of the posts that were answered with a status of 200 to 299.
        requests: request lines and headers of all posts.
        replies: the next replies.
        hold: an event; while it is not set, replies wait.
        wrap: wraps each connection, in TLS for example.
    """

    def __init__(self) -> None:
        self.accepted: list[dict[str, Any]] = []
        self.requests: list[str] = []
        self.replies: list[Reply] = []
        self.hold = threading.Event()
        self.hold.set()
        self.wrap: Callable[[socket.socket], socket.socket] = lambda connection: connection
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._server.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}/hook"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self.hold.set()
        self._server.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._server.accept()
                threading.Thread(target=self._answer, args=(connection,), daemon=True).start()

    def _answer(self, accepted: socket.socket) -> None:
        with suppress(OSError), accepted, self.wrap(accepted) as connection:
            head, _, body = _read_until(connection, b"\r\n\r\n").partition(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0] or b"0")
            while len(body) < length:
                body += connection.recv(65536)
            self.requests.append(head.decode("latin-1"))
            self.hold.wait(60)
            reply = self.replies.pop(0) if self.replies else 200
            if reply is None:
                return
            if isinstance(reply, bytes):
                connection.sendall(reply)
                return
            if 200 <= reply < 300:
                self.accepted.append(json.loads(body or b"{}"))
            location = "Location: http://127.0.0.1:9/elsewhere\r\n" if 300 <= reply < 400 else ""
            connection.sendall(
                f"HTTP/1.1 {reply} /hook is a secret\r\n{location}Content-Length: 0\r\n\r\n".encode()
            )


def _read_until(connection: socket.socket, end: bytes) -> bytes:
    data = b""
    while end not in data:
        part = connection.recv(65536)
        if not part:
            raise OSError("closed")
        data += part
    return data


@contextmanager
def listening() -> Iterator[Hook]:
    """A hook that stops at the end."""
    hook = Hook()
    try:
        yield hook
    finally:
        hook.close()
