"""The processes of a batch: each works on some parts of the audience at a time, and results come in order.

While one part is at Redis, a process decides the next: it always has some parts ahead. Nothing piles up, since no more
parts are handed out than results can be kept for. A process ends when its pipe does, so also when the command was
killed.
"""

import asyncio
import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from typing import Any

from decisioning.errors import UnavailableError
from features.zone_rules import use_newest_rules
from pipelines.batch.worker import AudiencePart, Run, Worker

AHEAD = 3
"""Parts that a process has at a time."""

KEPT = 4
"""Parts per process that may be handed out beyond the one whose result is next."""

STOP_S = 10.0
"""How long a process may take to end."""

type Work = Callable[[Worker, AudiencePart], Any]
"""What is done with a part: a coroutine function of `Worker`."""

type Over = Callable[[Work, Iterable[AudiencePart]], Iterator[Any]]
"""Does work over parts; results come in the order of the parts."""


@contextmanager
def alone(run: Run) -> Iterator[Over]:
    """Work in this very process, one part at a time."""
    with asyncio.Runner() as runner:
        worker = Worker(run)
        runner.run(worker.start())
        try:
            yield lambda what, parts: (runner.run(what(worker, part)) for part in parts)
        finally:
            runner.run(worker.stop())


@contextmanager
def together(run: Run, count: int) -> Iterator[Over]:
    """Work in so many processes."""
    with ExitStack() as stack:
        members = [stack.enter_context(_member(run)) for _ in range(count)]
        yield lambda what, parts: _in_order(members, what, parts)


@dataclass(slots=True, kw_only=True)
class _Member:
    """One process, as the command sees it."""

    pipe: Connection
    process: Any
    busy: int = 0


@contextmanager
def _member(run: Run) -> Iterator[_Member]:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(run, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        yield _Member(pipe=ours, process=process)
    finally:
        ours.close()
        process.join(STOP_S)
        if process.is_alive():
            process.terminate()
            process.join()


@dataclass(slots=True)
class _Results:
    """What came back, in any order."""

    first: int = 0
    found: dict[int, Any] = field(default_factory=dict[int, Any])

    def ready(self) -> Iterator[Any]:
        """Those that come next."""
        while self.first in self.found:
            yield self.found.pop(self.first)
            self.first += 1


def _in_order(members: list[_Member], what: Work, parts: Iterable[AudiencePart]) -> Iterator[Any]:
    """Raises `UnavailableError` where a process ended by itself."""
    results, numbered = _Results(), enumerate(parts)
    handed_out, is_over = 0, False
    while not is_over or results.first < handed_out:
        for member in sorted(members, key=lambda one: one.busy):
            while not is_over and member.busy < AHEAD and handed_out < results.first + KEPT * len(members) + AHEAD:
                following = next(numbered, None)
                if following is None:
                    is_over = True
                    break
                _send(member, (following[0], what, following[1]))
                handed_out += 1
        if results.first < handed_out:
            _receive(members, results)
        yield from results.ready()


def _send(member: _Member, task: tuple[int, Work, AudiencePart]) -> None:
    try:
        member.pipe.send(task)
    except OSError as error:
        raise _ended(member) from error
    member.busy += 1


def _receive(members: list[_Member], results: _Results) -> None:
    by_pipe: dict[Any, _Member] = {member.pipe: member for member in members}
    for pipe in wait(list(by_pipe)):
        member = by_pipe[pipe]
        try:
            number, result = member.pipe.recv()
        except (EOFError, OSError) as error:
            raise _ended(member) from error
        if isinstance(result, Exception):
            raise result
        member.busy -= 1
        results.found[number] = result


def _ended(member: _Member) -> UnavailableError:
    member.process.join(STOP_S)
    return UnavailableError(
        f"every process of a batch must stay alive, but one ended with code {member.process.exitcode}; "
        "is there enough memory? Run it again: with a key it goes on where it stopped"
    )


def _serve(run: Run, pipe: Connection) -> None:
    """The life of a process: parts in, results out, until the pipe ends."""
    use_newest_rules()
    try:
        asyncio.run(_work(run, pipe))
    except KeyboardInterrupt:  # the command was told, too, and says so
        return


async def _work(run: Run, pipe: Connection) -> None:
    under_way: set[asyncio.Task[None]] = set()
    try:
        worker = Worker(run)
        await worker.start()
    except Exception as error:  # noqa: BLE001 - it is raised in the command
        _tell(pipe, 0, error)
        return
    try:
        while (task := await asyncio.to_thread(_next, pipe)) is not None:
            work = asyncio.create_task(_one(worker, pipe, *task))
            under_way.add(work)
            work.add_done_callback(under_way.discard)
    finally:
        await worker.stop()


def _next(pipe: Connection) -> tuple[int, Work, AudiencePart] | None:
    try:
        return pipe.recv()
    except (EOFError, OSError):
        return None


async def _one(worker: Worker, pipe: Connection, number: int, what: Work, part: AudiencePart) -> None:
    try:
        result = await what(worker, part)
    except Exception as error:  # noqa: BLE001 - it is raised in the command
        result = error
    _tell(pipe, number, result)


def _tell(pipe: Connection, number: int, result: Any) -> None:
    try:
        pipe.send((number, result))
    except OSError:  # the command has ended
        return
