"""How much a template may make: its texts, lists and numbers, and the work of one rendering.

The library limits what a template writes and stores, and not what a filter makes on the way: `replace` in a row makes
gigabytes of a short text. All bounds are counts, never the clock: what renders today renders tomorrow.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from math import isfinite

from liquid.exceptions import LiquidError

MAX_TEXT = 100_000
"""Longest text that a filter takes or makes, in characters."""

MAX_ITEMS = 1_000
"""Longest list or range."""

MAX_NUMBER = 10**18
"""Largest number, whatever its sign."""

MAX_WORK = 5_000_000
"""Characters that the filters of one rendering may take and make together."""

_ITEM_WORK = 50
_CALL_WORK = 100


class BoundError(LiquidError):
    """A template broke a rule of ours; the message is the rule."""

    def __init__(self, rule: str) -> None:
        """Say the rule in words that complete 'template must'."""
        super().__init__(rule, token=None)
        self.rule = rule


_WORK: ContextVar[int | None] = ContextVar("work", default=None)
"""What is left of one rendering's work."""


@contextmanager
def bounded_work() -> Iterator[None]:
    """One rendering: its filters share what work they may do."""
    token = _WORK.set(MAX_WORK)
    try:
        yield
    finally:
        _WORK.reset(token)


def spend(amount: int) -> None:
    """Count a filter's work, in characters taken and made.

    Raises:
        BoundError: The rendering has done too much.
    """
    if (left := _WORK.get()) is None:
        return
    if left < _CALL_WORK + amount:
        raise BoundError(f"take and make at most {MAX_WORK:,} characters in its filters")
    _WORK.set(left - _CALL_WORK - amount)


def checked_size(value: object) -> int:
    """What a value weighs, in characters.

    Raises:
        BoundError: It is too long or too large.
    """
    if isinstance(value, str):
        if len(value) > MAX_TEXT:
            raise too_long()
        return len(value)
    if isinstance(value, list | tuple | range):
        return _checked_items(value)
    if isinstance(value, int | float) and not (isfinite(value) and abs(value) <= MAX_NUMBER):
        raise BoundError(f"keep numbers within {MAX_NUMBER:,}")
    return 1


def _checked_items(items: Sequence[object]) -> int:
    if len(items) > MAX_ITEMS:
        raise BoundError(f"keep lists and ranges within {MAX_ITEMS:,} entries")
    size = sum(_ITEM_WORK + checked_size(item) for item in items)
    if size > MAX_TEXT + _ITEM_WORK * MAX_ITEMS:
        raise too_long()
    return size


def too_long() -> BoundError:
    """The refusal of a text."""
    return BoundError(f"keep texts within {MAX_TEXT:,} characters")
