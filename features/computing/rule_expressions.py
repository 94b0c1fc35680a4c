"""Rules over facts as Narwhals expressions: the answers of `decisioning.predicate.compile_predicate`, column-wise.

The core's closures take one customer at a time. Stages are evaluated for every customer at several moments of the past,
so here the same rules become expressions over whole columns; a property test holds the two together.
"""

import operator
from collections.abc import Callable, Mapping
from typing import Any

import narwhals as nw

from decisioning.errors import InvalidPolicyError
from decisioning.facts import LIVE_PREFIX
from decisioning.predicate import AllOf, AnyOf, Compare, Comparison, FactValue, Not, Predicate, compile_predicate

type Kind = type[float] | type[str] | type[bool]
type Kinds = Mapping[str, Kind]

_ORDERINGS: Mapping[Comparison, Callable[[Any, Any], nw.Expr]] = {
    Comparison.AT_LEAST: operator.ge,
    Comparison.MORE_THAN: operator.gt,
    Comparison.AT_MOST: operator.le,
    Comparison.LESS_THAN: operator.lt,
}


def rule_expression(predicate: Predicate, kinds: Kinds) -> nw.Expr:
    """A boolean expression, never null, that is true where the rule holds.

    Args:
        predicate: The rule. What it asks of live state counts as missing: a column of the past has none.
        kinds: Python type of each fact's column: float, str or bool. A missing fact is null.

    Raises:
        InvalidPolicyError: The rule names a fact that `kinds` does not have, or a comparison's value does not fit it.
    """
    compile_predicate(predicate)
    return _expression(predicate, kinds)


def _expression(predicate: Predicate, kinds: Kinds) -> nw.Expr:
    match predicate:
        case AllOf(parts=()):
            return nw.lit(value=True)
        case AnyOf(parts=()):
            return nw.lit(value=False)
        case AllOf(parts=parts):
            return nw.all_horizontal(*(_expression(part, kinds) for part in parts), ignore_nulls=False)
        case AnyOf(parts=parts):
            return nw.any_horizontal(*(_expression(part, kinds) for part in parts), ignore_nulls=False)
        case Not(part=part):
            return ~_expression(part, kinds)
        case Compare():
            return _comparison(predicate, kinds)


def _comparison(compare: Compare, kinds: Kinds) -> nw.Expr:
    if compare.fact.startswith(LIVE_PREFIX):
        return nw.lit(value=compare.comparison is Comparison.IS_MISSING and compare.value is True)
    if compare.fact not in kinds:
        raise InvalidPolicyError(
            f"fact of a stage's rule must be a feature or a declared customer attribute, got {compare.fact!r}"
        )
    fact = nw.col(compare.fact)
    if compare.comparison is Comparison.IS_MISSING:
        return fact.is_null() if compare.value else ~fact.is_null()
    values = compare.value if isinstance(compare.value, tuple) else (compare.value,)
    comparable = [value for value in values if _is_of_kind(value, kinds[compare.fact])]
    if values and not comparable:  # values of different kinds never compare, not even as unequal
        return nw.lit(value=False)
    return _answer(compare.comparison, fact, comparable) & ~fact.is_null()


def _answer(comparison: Comparison, fact: nw.Expr, values: list[FactValue]) -> nw.Expr:
    if comparison in _ORDERINGS:
        return _ORDERINGS[comparison](fact, values[0]).fill_null(value=False)
    is_any = nw.lit(value=False)
    for value in values:
        is_any = is_any | (fact == value).fill_null(value=False)
    return is_any if comparison in (Comparison.EQUALS, Comparison.ONE_OF) else ~is_any


def _is_of_kind(value: FactValue, kind: Kind) -> bool:
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, kind)
