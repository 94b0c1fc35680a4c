"""A response is sent in one piece, and no part is delayed."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvicorn
from uvicorn.server import ServerState

from serving.http.whole_answers import WholeAnswers

GET = b"%s / HTTP/1.1\r\nhost: x\r\n%s\r\n"
LENGTH = [(b"content-length", b"5")]


class Wire(asyncio.Transport):
    """Records what is written, write by write."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[bytes] = []
        self.is_closed = False

    def write(self, data: Any) -> None:
        self.pieces.append(bytes(data))

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


def answering(*bodies: bytes, headers: list[tuple[bytes, bytes]]) -> Callable[..., Any]:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for place, body in enumerate(bodies, start=1):
            await send({"type": "http.response.body", "body": body, "more_body": place < len(bodies)})

    return app


@asynccontextmanager
async def asked(app: Callable[..., Any], request: bytes) -> AsyncIterator[Wire]:
    config = uvicorn.Config(app, lifespan="off", log_level="error", http=WholeAnswers)
    protocol, wire = WholeAnswers(config, ServerState(), {}), Wire()
    protocol.connection_made(wire)
    protocol.data_received(request)
    await asyncio.sleep(0.01)
    yield wire
    protocol.connection_lost(None)


async def test_head_and_body_are_one_write() -> None:
    async with asked(answering(b"hello", headers=LENGTH), GET % (b"GET", b"")) as wire:
        [piece] = wire.pieces
    assert piece.startswith(b"HTTP/1.1 200 OK\r\n")
    assert piece.endswith(b"\r\n\r\nhello")


async def test_answers_to_pipelined_requests_are_one_write_each() -> None:
    async with asked(answering(b"hello", headers=LENGTH), 3 * (GET % (b"GET", b""))) as wire:
        assert len(wire.pieces) == 3
        assert all(piece.endswith(b"hello") for piece in wire.pieces)


async def test_a_head_without_a_body_is_not_delayed() -> None:
    async with asked(answering(b"hello", headers=LENGTH), GET % (b"HEAD", b"")) as wire:
        [piece] = wire.pieces
    assert piece.endswith(b"\r\n\r\n")
    async with asked(answering(b"", headers=[(b"content-length", b"0")]), GET % (b"GET", b"")) as wire:
        assert b"".join(wire.pieces).endswith(b"\r\n\r\n")


async def test_a_long_body_arrives_complete_and_in_order() -> None:
    async with asked(answering(b"he", b"l", b"lo", headers=LENGTH), GET % (b"GET", b"")) as wire:
        assert wire.pieces[0].endswith(b"\r\n\r\nhe")
        assert wire.pieces[1:] == [b"l", b"lo"]


async def test_a_stream_of_unknown_length_begins_at_once() -> None:
    async with asked(answering(b"he", b"llo", headers=[]), GET % (b"GET", b"")) as wire:
        assert wire.pieces[0].endswith(b"transfer-encoding: chunked\r\n\r\n")


@pytest.mark.parametrize("request_", [GET % (b"GET", b"connection: close\r\n"), b"no http at all\r\n\r\n"])
async def test_everything_is_sent_before_the_connection_closes(request_: bytes) -> None:
    async with asked(answering(b"hello", headers=LENGTH), request_) as wire:
        assert b"".join(wire.pieces).startswith(b"HTTP/1.1 ")
        assert wire.is_closed


async def test_a_caller_who_expects_100_continue_gets_it() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()

    async with asked(app, b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n") as wire:
        assert wire.pieces == [b"HTTP/1.1 100 Continue\r\n\r\n"]
