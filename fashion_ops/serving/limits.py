"""What one request may cost, and the refusals of requests that would cost more."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from pydantic import BaseModel, ConfigDict, Field


class Limits(BaseModel):
    """Limits of the service; a request beyond one of them is refused with its reason.

    Attributes:
        body_mb: megabytes of a body (413).
        photos: of one request (413).
        megapixels: of one photo; four times as many are decoded at once (413, 429).
        queue: requests in the service at once (429).
        seconds: that a request may take (503).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    body_mb: float = Field(default=32.0, gt=0)
    photos: int = Field(default=16, ge=1)
    megapixels: float = Field(default=24.0, gt=0)
    queue: int = Field(default=64, ge=1)
    seconds: float = Field(default=30.0, gt=0)

    @property
    def body_bytes(self) -> int:
        """Bytes of one body."""
        return int(self.body_mb * 1e6)

    @property
    def pixels(self) -> int:
        """Pixels of one photo."""
        return int(self.megapixels * 1e6)


class Refusal(Exception):
    """A request that is answered with an error.

    Args:
        status: of HTTP.
        code: a word for programs.
        reason: a sentence for people; it holds no path and nothing of the program's state.
    """

    def __init__(self, status: int, code: str, reason: str) -> None:
        super().__init__(reason)
        self.status, self.code, self.reason = status, code, reason


class Budget:
    """An amount that requests in work share; one that finds too little left is refused with 429."""

    def __init__(self, total: int, name: str) -> None:
        self.total, self.name, self.used = total, name, 0
        self._lock = threading.Lock()

    @contextmanager
    def hold(self, amount: int) -> Iterator[None]:
        """Hold a part of the amount within the block.

        Raises:
            Refusal: too little is left.
        """
        with self._lock:
            if self.used + amount > self.total:
                reason = f"the service is busy ({self.name}); try again in a second"
                raise Refusal(429, "busy", reason)
            self.used += amount
        try:
            yield
        finally:
            with self._lock:
                self.used -= amount
