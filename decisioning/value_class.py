"""Classes of values that every decision makes many of."""

from dataclasses import dataclass, field
from typing import dataclass_transform


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(field,))
def value_class[T](cls: type[T]) -> type[T]:
    """A dataclass that type checkers take for frozen, with slots, keywords only, and a hash of its fields.

    What Python does to refuse assignments makes objects take five times as long to build; type checkers refuse them
    without it.

    Example:
        >>> @value_class
        ... class Point:
        ...     x: float
        ...     y: float = 0.0
        >>> Point(x=1.0), {Point(x=1.0)} == {Point(x=1.0, y=0.0)}
        (Point(x=1.0, y=0.0), True)
    """
    return dataclass(slots=True, kw_only=True, unsafe_hash=True)(cls)
