"""Rules over facts as Narwhals expressions: the answers of `compile_predicate`, column-wise.

The core's closures take one customer at a time. Stages are evaluated for every customer at several moments of the past,
so here the same rules become expressions over whole columns; a property test holds the two together.
"""

import operator
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import narwhals as nw

from decisioning.errors import InvalidPolicyError
from decisioning.rules.fact_names import LIVE_PREFIX
from decisioning.rules.predicate import AllOf, AnyOf, Compare, Comparison, FactValue, Not, Predicate, compile_predicate

type Kind = type[float] | type[str] | type[bool]
type Kinds = Mapping[str, Kind]

_ORDERINGS: Mapping[Comparison, Callable[[Any, Any], nw.Expr]] = {
    Comparison.AT_LEAST: operator.ge,
    Comparison.MORE_THAN: operator.gt,
    Comparison.AT_MOST: operator.le,
    Comparison.LESS_THAN: operator.lt,
}


def rule_expression(predicate: Predicate, kinds: Kinds, unfit: Collection[str] = ()) -> nw.Expr:
    """A boolean expression, never null, that is true where the rule holds.

    Args:
        predicate: The rule. What it asks of live state counts as missing: a column of the past has none.
        kinds: Python type of each fact's column: float, str or bool. A missing fact is null.
        unfit: Facts with a column `unfit_column` beside theirs, true where what is known is of another kind.

    Raises:
        InvalidPolicyError: The rule names a fact that `kinds` does not have, or a comparison's value does not fit it.
    """
    compile_predicate(predicate)
    return _expression(predicate, _Columns(kinds=kinds, unfit=frozenset(unfit)), holds=True)


def unfit_column(fact: str) -> str:
    """Name of the column that says where a fact is of another kind than declared.

    Example:
        >>> unfit_column("customer.age")
        'unfit:customer.age'
    """
    return f"unfit:{fact}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Columns:
    kinds: Kinds
    unfit: frozenset[str]

    def is_unfit(self, fact: str) -> nw.Expr:
        return nw.col(unfit_column(fact)).fill_null(value=False) if fact in self.unfit else nw.lit(value=False)


def _expression(predicate: Predicate, columns: _Columns, *, holds: bool) -> nw.Expr:
    """True where a rule surely holds, or where it surely does not, as in `decisioning.rules.predicate`."""
    match predicate:
        case AllOf(parts=()) | AnyOf(parts=()):
            return nw.lit(value=isinstance(predicate, AllOf) is holds)
        case AllOf(parts=parts) | AnyOf(parts=parts):
            inner = [_expression(part, columns, holds=holds) for part in parts]
            combine = nw.all_horizontal if isinstance(predicate, AllOf) is holds else nw.any_horizontal
            return combine(*inner, ignore_nulls=False)
        case Not(part=part):
            return _expression(part, columns, holds=not holds)
        case Compare():
            return _comparison(predicate, columns, holds=holds)


def _comparison(compare: Compare, columns: _Columns, *, holds: bool) -> nw.Expr:
    if compare.fact.startswith(LIVE_PREFIX):
        is_met = compare.comparison is Comparison.IS_MISSING and compare.value is True
        return nw.lit(value=is_met is holds)
    if compare.fact not in columns.kinds:
        raise InvalidPolicyError(
            f"fact of a stage's rule must be a feature or a declared customer attribute, got {compare.fact!r}"
        )
    fact, is_unfit = nw.col(compare.fact), columns.is_unfit(compare.fact)
    is_missing = fact.is_null() & ~is_unfit
    if compare.comparison is Comparison.IS_MISSING:
        return is_missing if bool(compare.value) is holds else ~is_missing
    values = compare.value if isinstance(compare.value, tuple) else (compare.value,)
    comparable = [value for value in values if _is_of_kind(value, columns.kinds[compare.fact])]
    if values and not comparable:  # values of different kinds never compare, not even as unequal
        return nw.lit(value=False) if holds else is_missing
    met = _answer(compare.comparison, fact, comparable) & ~fact.is_null()
    return met if holds else ~met & ~is_unfit


def _answer(comparison: Comparison, fact: nw.Expr, values: list[FactValue]) -> nw.Expr:
    if comparison in _ORDERINGS:
        return _ORDERINGS[comparison](fact, values[0]).fill_null(value=False)
    equal = [(fact == value).fill_null(value=False) for value in values] or [nw.lit(value=False)]
    is_any = nw.any_horizontal(*equal, ignore_nulls=False)  # side by side: a chain of thousands is too deep to walk
    return is_any if comparison in (Comparison.EQUALS, Comparison.ONE_OF) else ~is_any


def _is_of_kind(value: FactValue, kind: Kind) -> bool:
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, kind)
