"""A tuple that is built on first access, since most decisions are logged and never inspected."""

from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import overload, override


class Expanding[T](Sequence[T]):
    """A sequence that is equal to the tuple of its items, and makes them once, at first use."""

    __slots__ = ("_items",)

    def __init__(self) -> None:
        """Make nothing yet."""
        self._items: tuple[T, ...] | None = None

    @abstractmethod
    def expand(self) -> Iterable[T]:
        """Make the items."""

    def items(self) -> tuple[T, ...]:
        """All items, as a tuple."""
        if self._items is None:
            self._items = tuple(self.expand())
        return self._items

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[T, ...]: ...
    @override
    def __getitem__(self, index: int | slice) -> T | tuple[T, ...]:
        return self.items()[index]

    @override
    def __iter__(self) -> Iterator[T]:
        return iter(self.items())

    @override
    def __eq__(self, other: object) -> bool:
        return self.items() == (other.items() if isinstance(other, Expanding) else other)

    @override
    def __hash__(self) -> int:
        return hash(self.items())

    @override
    def __repr__(self) -> str:
        return repr(self.items())
