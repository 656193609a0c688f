"""The address of a webhook, which is a secret: whoever knows its path may post there.

It is checked before anything is posted, and nothing here or in an error message shows more of it than
the host.
"""

import base64
from dataclasses import dataclass
from urllib.parse import SplitResult, unquote, urlsplit

SCHEMES = ("http", "https")
MEND = "write https://HOST/PATH, percent-encoded"


@dataclass(frozen=True, repr=False)
class Webhook:
    """An address that can be posted to.

    Attributes:
        address: URL without user, password and fragment.
        headers: of every post: ``Authorization`` if the address had a user or a password.
        host: name of the host, all that may be shown.
    """

    address: str
    headers: dict[str, str]
    host: str

    def __repr__(self) -> str:
        return f"Webhook(host={self.host!r})"


def parse_webhook(text: str, source: str) -> Webhook:
    """Check the address of a webhook; white space around it, such as a line's end, is dropped.

    Args:
        text: a URL, maybe with user and password.
        source: where it is set, for the message: ``notify.webhook`` or the name of a variable.

    Raises:
        ValueError: nothing can be posted there; one line that shows the source and the host only.
    """
    text = text.strip()
    try:
        parts = urlsplit(text)
        port = parts.port
        host = parts.hostname or ""
    except ValueError:  # its message repeats parts of the address
        raise ValueError(f"{source}: host or port is not valid; {MEND}") from None
    if parts.scheme not in SCHEMES:
        raise ValueError(f"{source}: it must start with http:// or https://; {MEND}")
    if not host or not host.isascii() or set(host) - _HOST:
        raise ValueError(f"{source}: it names no valid host; {MEND}")
    if port == 0:
        raise ValueError(f"{source} (host {host}): port 0 cannot be reached; {MEND}")
    if not (text.isascii() and text.isprintable()) or set(text) & set(' \\"<>^`{|}'):
        raise ValueError(f"{source} (host {host}): a space or another character is not allowed; {MEND}")
    netloc = parts.netloc.rpartition("@")[2]
    address = parts._replace(netloc=netloc, path=parts.path or "/", fragment="").geturl()
    return Webhook(address, _authorization(parts), host)


_HOST = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-._:")


def _authorization(parts: SplitResult) -> dict[str, str]:
    """HTTP's basic authentication by the user and the password of a URL; empty if it has none."""
    if "@" not in parts.netloc:
        return {}
    pair = f"{unquote(parts.username or '')}:{unquote(parts.password or '')}"
    return {"Authorization": f"Basic {base64.b64encode(pair.encode()).decode()}"}
