"""Rules over facts as Narwhals expressions: the answers of `decisioning.predicate.compile_predicate`, column-wise."""

from collections.abc import Callable, Mapping

import narwhals as nw

from decisioning.errors import InvalidPolicyError
from decisioning.predicate import AllOf, AnyOf, Compare, Comparison, FactValue, Not, Predicate

type Kind = type[float] | type[str] | type[bool]
type Kinds = Mapping[str, Kind]

_ORDERINGS: Mapping[Comparison, Callable[[nw.Expr, float], nw.Expr]] = {
    Comparison.AT_LEAST: lambda fact, value: fact >= value,
    Comparison.MORE_THAN: lambda fact, value: fact > value,
    Comparison.AT_MOST: lambda fact, value: fact <= value,
    Comparison.LESS_THAN: lambda fact, value: fact < value,
}


def rule_expression(predicate: Predicate, kinds: Kinds) -> nw.Expr:
    """A boolean expression, never null, that is true where the rule holds.

    Args:
        predicate: The rule.
        kinds: Python type of each fact's column: float, str or bool. A missing fact is null.

    Raises:
        InvalidPolicyError: The rule names a fact that `kinds` does not have, or orders something without an order.
    """
    match predicate:
        case AllOf(parts=parts):
            return _joined(parts, kinds, empty=True)
        case AnyOf(parts=parts):
            return _joined(parts, kinds, empty=False)
        case Not(part=part):
            return ~rule_expression(part, kinds)
        case Compare():
            return _comparison(predicate, kinds)


def _joined(parts: tuple[Predicate, ...], kinds: Kinds, *, empty: bool) -> nw.Expr:
    rules = [rule_expression(part, kinds) for part in parts]
    if not rules:
        return nw.lit(empty)
    return nw.all_horizontal(*rules, ignore_nulls=False) if empty else nw.any_horizontal(*rules, ignore_nulls=False)


def _comparison(compare: Compare, kinds: Kinds) -> nw.Expr:
    if compare.fact not in kinds:
        raise InvalidPolicyError(
            f"fact of a stage's rule must be a feature or a declared customer attribute, got {compare.fact!r}"
        )
    fact = nw.col(compare.fact)
    if compare.comparison is Comparison.IS_MISSING:
        return fact.is_null() if compare.value else ~fact.is_null()
    return _answer(compare, fact, kinds[compare.fact]) & ~fact.is_null()


def _answer(compare: Compare, fact: nw.Expr, kind: Kind) -> nw.Expr:
    values = compare.value if isinstance(compare.value, tuple) else (compare.value,)
    if compare.comparison in (Comparison.EQUALS, Comparison.ONE_OF):
        return _equals_any(fact, values, kind)
    if compare.comparison in (Comparison.NOT_EQUALS, Comparison.NONE_OF):
        return ~_equals_any(fact, values, kind)
    if not _is_number(compare.value) or kind is not float:
        raise InvalidPolicyError(f"{compare.comparison} must compare numbers, got fact {compare.fact!r}")
    return _ORDERINGS[compare.comparison](fact, float(compare.value))  # pyright: ignore[reportArgumentType] - a number


def _equals_any(fact: nw.Expr, values: tuple[FactValue, ...], kind: Kind) -> nw.Expr:
    """A value of another type than the column's equals nothing in it."""
    of_kind = [value for value in values if (_is_number(value) if kind is float else isinstance(value, kind))]
    answer = nw.lit(value=False)
    for value in of_kind:
        answer = answer | (fact == value).fill_null(value=False)
    return answer


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
