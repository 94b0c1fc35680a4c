"""One connection to Redis: an asyncio protocol on hiredis, which answers in the order it was asked.

All requests of a worker share the connection, so commands that arrive together are sent together; a caller that stops
waiting leaves nothing behind, because its replies are still read, in order, and dropped.
"""

import asyncio
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any, cast

import hiredis
from redis.asyncio.connection import parse_url

from decisioning.errors import InvalidInputError, UnavailableError

type Command = tuple[str | bytes | int, ...]
type Reply = Any


class LostLinkError(UnavailableError):
    """The connection was lost while commands were under way: they may have run."""


class RedisLink(asyncio.Protocol):
    """A connection that is up until it is lost; make another one then.

    Attributes:
        heard: How often Redis sent something.
    """

    def __init__(self) -> None:
        self._reader = hiredis.Reader()
        self._waiting: deque[tuple[int, list[Reply], asyncio.Future[list[Reply]]]] = deque()
        self._transport: asyncio.Transport | None = None
        self.heard = 0

    @property
    def is_up(self) -> bool:
        """Whether commands can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    def send(self, commands: Sequence[Command]) -> "asyncio.Future[list[Reply]]":
        """Write commands in one go; the future holds their replies, where a refused one is a `hiredis.ReplyError`.

        Raises:
            UnavailableError: The connection is not up.
        """
        transport = self._transport
        if transport is None or transport.is_closing():
            raise UnavailableError("Redis must be connected, got a lost connection; retry")
        answer: asyncio.Future[list[Reply]] = asyncio.get_running_loop().create_future()
        self._waiting.append((len(commands), [], answer))
        transport.write(b"".join([hiredis.pack_command(command) for command in commands]))  # pyright: ignore[reportArgumentType] - its stub wants 1-tuples
        return answer

    def close(self) -> None:
        """Drop the connection at once; what waits for an answer gets an error."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: the connection is up."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by name

    def data_received(self, data: bytes) -> None:
        """asyncio: hand replies to those who wait, first come first served."""
        self.heard += 1
        self._reader.feed(data)
        while self._waiting:
            count, replies, answer = self._waiting[0]
            while len(replies) < count:
                reply = self._reader.gets()
                if reply is False:
                    return
                replies.append(reply)
            self._waiting.popleft()
            if not answer.done():
                answer.set_result(replies)

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio: nobody who waits will get an answer."""
        self._transport = None
        while self._waiting:
            answer = self._waiting.popleft()[2]
            if not answer.done():
                answer.set_exception(LostLinkError(f"Redis must stay connected, got {exc or 'end of stream'}; retry"))
                answer.exception()  # a caller that gave up must not leave a warning


async def connect(url: str) -> RedisLink:
    """Connect, authenticate and choose the database that the URL names.

    Args:
        url: `redis://`, `rediss://` (TLS) or `unix://`, as redis-py reads them.

    Raises:
        InvalidInputError: The URL is not one of these.
        UnavailableError: Nothing answers there, or it refuses the login.
    """
    try:
        where = parse_url(url)
    except ValueError as error:
        raise InvalidInputError(f"redis_url must be redis://, rediss:// or unix://, got {error}") from error
    loop = asyncio.get_running_loop()
    try:
        if path := where.get("path"):
            _, link = await loop.create_unix_connection(RedisLink, path)
        else:
            tls = True if url.startswith("rediss://") else None
            host, port = where.get("host", "localhost"), where.get("port", 6379)
            _, link = await loop.create_connection(RedisLink, host, port, ssl=tls)
    except OSError as error:
        raise UnavailableError(f"Redis must be reachable, got {error}; is it running?") from error
    await _greet(link, _greeting(where))
    return link


def _greeting(where: Mapping[str, Any]) -> list[Command]:
    commands: list[Command] = [("PING",)]
    if password := where.get("password"):
        login = (where["username"], password) if where.get("username") else (password,)
        commands.insert(0, ("AUTH", *login))
    if database := where.get("db"):
        commands.append(("SELECT", database))
    return commands


async def _greet(link: RedisLink, commands: list[Command]) -> None:
    refused = [reply for reply in await link.send(commands) if isinstance(reply, hiredis.ReplyError)]
    if refused:
        link.close()
        raise UnavailableError(f"Redis must accept the connection, got {refused[0]}")


async def look_up(url: str, key: str, timeout_s: float) -> bytes | None:
    """Read one value over a connection of its own; None where there is none.

    Raises:
        UnavailableError: Redis is away, slow, or no Redis can be at that URL.
    """
    try:
        async with asyncio.timeout(timeout_s):
            link = await connect(url)
            try:
                [found] = await link.send([("GET", key)])
            finally:
                link.close()
    except (TimeoutError, InvalidInputError) as error:
        raise UnavailableError(f"Redis cannot be read: {error or 'it takes too long'}") from error
    if isinstance(found, Exception):
        raise UnavailableError(f"Redis cannot be read: {found}") from found
    return found
