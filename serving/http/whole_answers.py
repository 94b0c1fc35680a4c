"""Answers that leave in one piece: uvicorn sends the head of an answer and its body by themselves.

Two pieces are two calls of the system, and the caller wakes up twice, at first for a head alone: 10 to 30 microseconds
of a small request.
"""

import asyncio
from typing import Any, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_LENGTH = b"\r\ncontent-length: "


class WholeAnswers(HttpToolsProtocol):
    """uvicorn's protocol, with the head of an answer of known length held back until its body comes."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """asyncio: a caller has connected."""
        super().connection_made(transport)
        self._whole = _Whole(transport)
        self.transport = cast("asyncio.Transport", self._whole)

    def on_response_complete(self) -> None:
        """Uvicorn: an answer is complete, be it one without a body."""
        self._whole.flush()
        super().on_response_complete()


class _Whole:
    """A transport that holds the head of an answer back until the next piece."""

    __slots__ = ("_head", "_transport")

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head = b""

    def write(self, data: bytes) -> None:
        """Send; a head that says how long its body is waits for it."""
        if data.startswith(b"HTTP/1.1 ") and _LENGTH in data:
            self.flush()
            self._head = data
        elif self._head:
            head, self._head = self._head, b""
            self._transport.write(head + data)
        else:
            self._transport.write(data)

    def flush(self) -> None:
        """Send what waits."""
        if self._head:
            head, self._head = self._head, b""
            self._transport.write(head)

    def close(self) -> None:
        """Hang up, after everything was sent."""
        self.flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
