"""Rules as data: structured predicates over facts, compiled once to closures.

A rule language that cannot loop, call or import cannot be an attack surface, and a tree of comparisons can be checked
for names, drawn, and turned into other forms. A comparison with a missing fact is false, whichever way it points: a
rule that cannot be checked lets nobody in. `is_missing` asks for that case by name. A comparison with a value of
another kind (text where a number belongs) is unknown: neither it nor its negation holds.
"""

import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from decisioning.errors import InvalidPolicyError
from decisioning.rules.number_words import number_words

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
    """True where its part is false, so also where its part met a missing fact; not where it met another kind."""

    part: "Predicate"


type Predicate = Compare | AllOf | AnyOf | Not

ALWAYS = AllOf(parts=())


def compile_predicate(predicate: Predicate) -> Rule:
    """Turn a predicate into a function of facts, once.

    The function never raises, whatever the facts hold. A fact is missing where it is absent, None or NaN. Values of
    different kinds (number, text, flag) never compare, not even as unequal, and `Not` makes nothing of it: what is
    unknown permits nobody. Flags are not numbers, and have no order. Text is ordered by code points, which is right for
    ISO 8601 dates.

    Raises:
        InvalidPolicyError: A comparison whose value does not fit it, so that it could never be true.

    Example:
        >>> adult = compile_predicate(Compare(fact="customer.age", comparison=Comparison.AT_LEAST, value=18))
        >>> adult({"customer.age": 20}), adult({"customer.age": "20"}), adult({})
        (True, False, False)
        >>> grown = compile_predicate(Not(part=Compare(fact="customer.age", comparison=Comparison.LESS_THAN, value=18)))
        >>> grown({"customer.age": 20}), grown({"customer.age": "12"}), grown({"customer.age": "20"})
        (True, False, False)
    """
    return _compile(predicate, holds=True)


def _compile(predicate: Predicate, *, holds: bool) -> Rule:
    """A function that is true where the predicate surely holds, or where it surely does not.

    Negation goes down to the comparisons, so that what is unknown stays unknown through any nesting.
    """
    match predicate:
        case Compare():
            return _compile_compare(predicate) if holds else _compile_refuted(predicate)
        case AllOf(parts=parts) if holds:
            return _all_of(tuple(_compile(part, holds=True) for part in _flat(parts)))
        case AnyOf(parts=parts) if not holds:
            return _all_of(tuple(_compile(part, holds=False) for part in parts))
        case AllOf(parts=parts) | AnyOf(parts=parts):
            return _any_of(tuple(_compile(part, holds=holds) for part in parts))
        case _:
            return _compile(predicate.part, holds=not holds)


def facts_of(predicate: Predicate) -> frozenset[str]:
    """Names of every fact that a predicate looks at.

    Example:
        >>> sorted(facts_of(Not(part=Compare(fact="stage", comparison=Comparison.EQUALS, value="new"))))
        ['stage']
    """
    match predicate:
        case Compare(fact=fact):
            return frozenset({fact})
        case AllOf(parts=parts) | AnyOf(parts=parts):
            return frozenset[str]().union(*map(facts_of, parts))
        case _:
            return facts_of(predicate.part)


def explain(predicate: Predicate, facts: Facts) -> str:
    """Say in plain words why a predicate is false; an empty string where it is true.

    The words hold the customer's facts: show them only to people who may see those.

    Raises:
        InvalidPolicyError: As `compile_predicate`.

    Example:
        >>> explain(Compare(fact="customer.age", comparison=Comparison.AT_LEAST, value=18), {"customer.age": 17})
        'customer.age must be at least 18, is 17'
    """
    if compile_predicate(predicate)(facts):
        return ""
    match predicate:
        case Compare(fact=fact):
            return f"{_requirement(predicate)}, {_state(facts.get(fact))}"
        case AllOf(parts=parts):
            return "; and ".join(words for part in parts if (words := explain(part, facts)))
        case AnyOf(parts=parts):
            return "; or ".join(explain(part, facts) for part in parts) or "nothing can meet this rule"
        case _ if compile_predicate(predicate.part)(facts):
            return f"must not hold: {describe(predicate.part)}"
        case _:
            return f"cannot be told, since a fact is of another kind: {describe(predicate.part)}"


def describe(predicate: Predicate) -> str:
    """A rule in plain words, without the facts of anybody.

    Example:
        >>> describe(Not(part=Compare(fact="customer.age", comparison=Comparison.AT_LEAST, value=18)))
        'not (customer.age must be at least 18)'
    """
    match predicate:
        case Compare():
            return _requirement(predicate)
        case AllOf(parts=parts):
            return "; and ".join(map(describe, parts)) or "anything"
        case AnyOf(parts=parts):
            return "; or ".join(map(describe, parts)) or "nothing"
        case _:
            return f"not ({describe(predicate.part)})"


def is_missing(value: object) -> bool:
    """True where a fact is None or NaN.

    Example:
        >>> is_missing(None), is_missing(float("nan")), is_missing(0.0)
        (True, True, False)
    """
    return _kind(value) is _Kind.MISSING


class _Kind(StrEnum):
    NUMBER = "number"
    TEXT = "word"
    FLAG = "flag"
    MISSING = "missing"
    OTHER = "other"  # nothing that a rule can compare


_KINDS: Mapping[type, _Kind] = {
    float: _Kind.NUMBER,
    int: _Kind.NUMBER,
    str: _Kind.TEXT,
    bool: _Kind.FLAG,
    type(None): _Kind.MISSING,
}


def _kind(value: object) -> _Kind:
    kind = _KINDS.get(type(value))
    if kind is None:  # a subclass, such as numpy's float64 or an enumeration's text
        kind = next((_KINDS[known] for known in (float, int, str) if isinstance(value, known)), _Kind.OTHER)
    is_nan = kind is _Kind.NUMBER and value != value  # noqa: PLR0124
    return _Kind.MISSING if is_nan else kind


# Plain loops: any() and all() over a generator cost twice as much, and rules are most of a decision's time.


def _all_of(rules: tuple[Rule, ...]) -> Rule:
    if len(rules) == 1:
        return rules[0]

    def rule(facts: Facts) -> bool:
        for part in rules:  # noqa: SIM110
            if not part(facts):
                return False
        return True

    return rule


def _any_of(rules: tuple[Rule, ...]) -> Rule:
    if len(rules) == 1:
        return rules[0]

    def rule(facts: Facts) -> bool:
        for part in rules:  # noqa: SIM110
            if part(facts):
                return True
        return False

    return rule


def _flat(parts: tuple[Predicate, ...]) -> Iterator[Predicate]:
    for part in parts:
        if isinstance(part, AllOf):
            yield from _flat(part.parts)
        else:
            yield part


def _compile_compare(compare: Compare) -> Rule:
    match compare.comparison:
        case Comparison.IS_MISSING:
            return _missing_rule(compare)
        case Comparison.ONE_OF | Comparison.NONE_OF:
            return _membership_rule(compare)
        case Comparison.EQUALS | Comparison.NOT_EQUALS:
            return _comparison_rule(compare, kinds=(_Kind.NUMBER, _Kind.TEXT, _Kind.FLAG))
        case _:
            return _comparison_rule(compare, kinds=(_Kind.NUMBER, _Kind.TEXT))


def _compile_refuted(compare: Compare) -> Rule:
    """Whether a comparison surely does not hold: its fact is missing, or of the value's kind and elsewhere."""
    rule = _compile_compare(compare)
    if compare.comparison is Comparison.IS_MISSING:
        return lambda facts: not rule(facts)
    fact, value = compare.fact, compare.value
    values = value if isinstance(value, tuple) else (value,)
    kinds = frozenset({_Kind.MISSING, *map(_kind, values)}) if values else _COMPARABLE | {_Kind.MISSING}
    return lambda facts: _kind(facts.get(fact)) in kinds and not rule(facts)


_COMPARABLE = frozenset({_Kind.NUMBER, _Kind.TEXT, _Kind.FLAG})

_OPERATORS: Mapping[Comparison, Callable[[Any, Any], bool]] = {
    Comparison.EQUALS: operator.eq,
    Comparison.NOT_EQUALS: operator.ne,
    Comparison.AT_LEAST: operator.ge,
    Comparison.MORE_THAN: operator.gt,
    Comparison.AT_MOST: operator.le,
    Comparison.LESS_THAN: operator.lt,
}


def _comparison_rule(compare: Compare, kinds: tuple[_Kind, ...]) -> Rule:
    fact, value, compares = compare.fact, compare.value, _OPERATORS[compare.comparison]
    kind = _kind(value)
    if kind not in kinds:
        raise _unfit(compare, f"a {' or '.join(kinds)}")

    def rule(facts: Facts) -> bool:
        found = facts.get(fact)
        return _kind(found) is kind and compares(found, value)

    return rule


def _membership_rule(compare: Compare) -> Rule:
    fact, values = compare.fact, compare.value
    if not isinstance(values, tuple) or not {_kind(value) for value in values} <= _COMPARABLE:
        raise _unfit(compare, "a list of numbers, words or flags")
    # True equals 1 in a plain set, so members carry their kind.
    members = frozenset((_kind(value), value) for value in values)
    kinds = frozenset(kind for kind, _ in members) or _COMPARABLE
    wants_member = compare.comparison is Comparison.ONE_OF

    def rule(facts: Facts) -> bool:
        found = facts.get(fact)
        kind = _kind(found)
        return kind in kinds and ((kind, found) in members) is wants_member

    return rule


def _missing_rule(compare: Compare) -> Rule:
    fact, wants_missing = compare.fact, compare.value
    if not isinstance(wants_missing, bool):
        raise _unfit(compare, "true or false")
    return lambda facts: (_kind(facts.get(fact)) is _Kind.MISSING) is wants_missing


def _unfit(compare: Compare, rule: str) -> InvalidPolicyError:
    return InvalidPolicyError(
        f"{compare.comparison} of {compare.fact} must be {rule}, got {compare.value!r}; "
        "use is_missing to ask for a fact that is not there"
    )


def _requirement(compare: Compare) -> str:
    if compare.comparison is Comparison.IS_MISSING:
        return f"{compare.fact} must be {'missing' if compare.value else 'known'}"
    words = {Comparison.EQUALS: "", Comparison.NOT_EQUALS: "other than "}
    word = words.get(compare.comparison, compare.comparison.replace("_", " ") + " ")
    value = compare.value
    shown = ", ".join(map(_shown, value)) if isinstance(value, tuple) else _shown(value)
    return f"{compare.fact} must be {word}{shown}"


def _state(value: FactValue) -> str:
    return "is missing" if is_missing(value) else f"is {_shown(value)}"


def _shown(value: FactValue) -> str:
    return number_words(value) if isinstance(value, float) else str(value)
