"""Rules as data: structured predicates over facts, compiled once to closures.

A rule language that cannot loop, call or import cannot be an attack surface, and a tree of comparisons can be checked
for names, drawn, and turned into other forms. A comparison with a missing fact is false, whichever way it points: a
rule that nobody can answer does not let anybody in. `is_missing` asks for that case by name.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

type FactValue = float | int | str | bool | None
type Facts = Mapping[str, FactValue]
type Rule = Callable[[Facts], bool]


class Comparison(StrEnum):
    """How a fact is compared; the names are those of the YAML files."""

    EQUALS = "equals"
    NOT_EQUALS = "not_equals"
    AT_LEAST = "at_least"
    MORE_THAN = "more_than"
    AT_MOST = "at_most"
    LESS_THAN = "less_than"
    ONE_OF = "one_of"
    NONE_OF = "none_of"
    IS_MISSING = "is_missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class Compare:
    """One comparison of a fact with a value; `value` is a tuple for `one_of` and `none_of`, a bool for `is_missing`."""

    fact: str
    comparison: Comparison
    value: FactValue | tuple[FactValue, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AllOf:
    """True where every part is; an empty one is true."""

    parts: tuple["Predicate", ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class AnyOf:
    """True where at least one part is; an empty one is false."""

    parts: tuple["Predicate", ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Not:
    """True where its part is false, so also where its part met a missing fact."""

    part: "Predicate"


type Predicate = Compare | AllOf | AnyOf | Not

ALWAYS = AllOf(parts=())
