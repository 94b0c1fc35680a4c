"""Proofs about rules agree with trying every value, and every example given is a real one."""

import math
from itertools import product

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from decisioning.errors import InvalidPolicyError
from decisioning.rules.predicate import (
    ALWAYS,
    AllOf,
    AnyOf,
    Compare,
    Comparison,
    FactValue,
    Not,
    Predicate,
    compile_predicate,
    facts_of,
)
from decisioning.rules.predicate_analysis import ProofVerdict, always_holds, can_hold, find_example
from decisioning.rules.value_cells import ANYTHING, Domain, ValueKind, cells_of

ORDERINGS = [Comparison.AT_LEAST, Comparison.MORE_THAN, Comparison.AT_MOST, Comparison.LESS_THAN]
NUMBERS = st.one_of(st.integers(-3, 3), st.sampled_from([-0.5, 0.0, 0.1, 2.5]))
WORDS = st.sampled_from(["", "a", "a\0", "ab", "b", "n\u00e9"])
CONSTANTS = st.one_of(NUMBERS, WORDS, st.booleans())
FACTS = ["n", "w", "f", "x"]
DOMAINS = {
    "n": Domain(kind=ValueKind.NUMBER, lowest=-2, highest=2.5),
    "w": Domain(kind=ValueKind.WORD, words=("a", "ab", "z")),
    "f": Domain(kind=ValueKind.FLAG, may_be_missing=False),
}
WHOLE = Domain(kind=ValueKind.NUMBER, is_whole=True, lowest=0, may_be_missing=False)


def comparison(fact: str, name: Comparison, value: FactValue | tuple[FactValue, ...]) -> Compare:
    return Compare(fact=fact, comparison=name, value=value)


def is_missing(fact: str, value: bool = True) -> Compare:
    return comparison(fact, Comparison.IS_MISSING, value)


def equals(fact: str, value: FactValue) -> Compare:
    return comparison(fact, Comparison.EQUALS, value)


def at_least(fact: str, value: FactValue) -> Compare:
    return comparison(fact, Comparison.AT_LEAST, value)


def less_than(fact: str, value: FactValue) -> Compare:
    return comparison(fact, Comparison.LESS_THAN, value)


def both(*parts: Predicate) -> AllOf:
    return AllOf(parts=parts)


def either(*parts: Predicate) -> AnyOf:
    return AnyOf(parts=parts)


COMPARES = st.one_of(
    st.builds(
        comparison, st.sampled_from(FACTS), st.sampled_from([Comparison.EQUALS, Comparison.NOT_EQUALS]), CONSTANTS
    ),
    st.builds(comparison, st.sampled_from(FACTS), st.sampled_from(ORDERINGS), st.one_of(NUMBERS, WORDS)),
    st.builds(
        comparison,
        st.sampled_from(FACTS),
        st.sampled_from([Comparison.ONE_OF, Comparison.NONE_OF]),
        st.lists(CONSTANTS, max_size=3).map(tuple),
    ),
    st.builds(is_missing, st.sampled_from(FACTS), st.booleans()),
)
PREDICATES = st.recursive(
    COMPARES,
    lambda inner: st.one_of(
        st.builds(lambda parts: AllOf(parts=tuple(parts)), st.lists(inner, max_size=3)),
        st.builds(lambda parts: AnyOf(parts=tuple(parts)), st.lists(inner, max_size=3)),
        st.builds(lambda part: Not(part=part), inner),
    ),
    max_leaves=8,
)

# Every answer that the constants above can distinguish, written by hand and not taken from the code under test.
TRIED_NUMBERS: list[FactValue] = [-2, -1.5, -1, -0.7, -0.5, -0.2, 0, 0.05, 0.1, 0.5, 1, 1.5, 2, 2.2, 2.5]
TRIED: dict[str, list[FactValue]] = {
    "n": [*TRIED_NUMBERS, None],
    "w": ["a", "ab", "z", None],
    "f": [True, False],
    "x": [*TRIED_NUMBERS, -9, -3, -2.5, 2.7, 3, 9, "", "\0", "a", "a\0", "a\0a", "aa", "ab", "aba", "b", "c",
          "n\u00e9", "o", True, False, None],
}  # fmt: skip


def holds_somewhere(predicate: Predicate) -> bool:
    rule, facts = compile_predicate(predicate), sorted(facts_of(predicate))
    return any(rule(dict(zip(facts, each, strict=True))) for each in product(*(TRIED[fact] for fact in facts)))


def fails_somewhere(predicate: Predicate) -> bool:
    rule, facts = compile_predicate(predicate), sorted(facts_of(predicate))
    return not all(rule(dict(zip(facts, each, strict=True))) for each in product(*(TRIED[fact] for fact in facts)))


def tries(predicate: Predicate) -> int:
    return math.prod(len(TRIED[fact]) for fact in facts_of(predicate))


@given(predicate=PREDICATES)
@settings(max_examples=200, deadline=None)
def test_a_rule_can_hold_exactly_if_some_value_makes_it_hold(predicate: Predicate) -> None:
    assume(tries(predicate) <= 3_000)
    assert (can_hold(predicate, DOMAINS) is ProofVerdict.YES) is holds_somewhere(predicate)


@given(predicate=PREDICATES)
@settings(max_examples=150, deadline=None)
def test_a_rule_always_holds_exactly_if_no_value_makes_it_fail(predicate: Predicate) -> None:
    assume(tries(predicate) <= 3_000)
    assert (always_holds(predicate, DOMAINS) is ProofVerdict.YES) is not fails_somewhere(predicate)


@given(predicate=PREDICATES)
@settings(max_examples=150)
def test_an_example_makes_the_rule_hold_and_is_possible(predicate: Predicate) -> None:
    found = find_example(predicate, DOMAINS)
    if found.example is None:
        assert found.verdict is ProofVerdict.NO
        return
    assert compile_predicate(predicate)(found.example)
    for fact, value in found.example.items():
        assert is_within(DOMAINS.get(fact, ANYTHING), value)


def is_within(domain: Domain, value: FactValue) -> bool:
    if value is None:
        return domain.may_be_missing
    if domain.kind is ValueKind.NUMBER:
        return isinstance(value, int | float) and -2 <= value <= 2.5
    return value in (domain.words or (value,)) and (domain.kind is not ValueKind.FLAG or isinstance(value, bool))


ANY_NUMBER = st.one_of(
    st.integers(), st.floats(allow_nan=False), st.sampled_from([2**53, 2**60 + 1, 1.7976931348623157e308, 10**400])
)
CLOSE_NUMBERS = st.floats(allow_nan=False, allow_infinity=False, max_value=1e300, min_value=-1e300).flatmap(
    lambda value: st.sampled_from([value, math.nextafter(value, math.inf), math.nextafter(value, -math.inf)])
)


@given(
    constants=st.lists(st.one_of(ANY_NUMBER, CLOSE_NUMBERS, st.text(max_size=2), st.booleans()), max_size=5),
    value=st.one_of(ANY_NUMBER, CLOSE_NUMBERS, st.text(max_size=3), st.booleans(), st.none()),
)
@settings(max_examples=250)
def test_every_value_has_a_cell_that_answers_like_it(constants: list[FactValue], value: FactValue) -> None:
    rules = [
        compile_predicate(comparison("x", name, constant))
        for constant in constants
        for name in (Comparison.EQUALS, *([] if isinstance(constant, bool) else ORDERINGS))
    ]
    answers = {tuple(rule({"x": cell}) for rule in rules) for cell in cells_of(ANYTHING, constants)}
    assert tuple(rule({"x": value}) for rule in rules) in answers


@given(low=CLOSE_NUMBERS, constants=st.lists(CLOSE_NUMBERS, max_size=3), span=st.floats(0, 10))
@settings(max_examples=200)
def test_cells_of_bounded_numbers_stay_within_their_bounds(low: float, constants: list[float], span: float) -> None:
    domain = Domain(kind=ValueKind.NUMBER, lowest=low, highest=low + span, may_be_missing=False)
    cells = cells_of(domain, constants)
    assert cells
    assert all(low <= cell <= low + span for cell in cells if isinstance(cell, int | float))


def test_there_is_no_cell_between_neighbouring_whole_numbers() -> None:
    more_than_two = comparison("orders", Comparison.MORE_THAN, 2)
    assert can_hold(both(more_than_two, less_than("orders", 3)), {"orders": WHOLE}) is ProofVerdict.NO
    assert can_hold(both(more_than_two, less_than("orders", 3)), {}) is ProofVerdict.YES
    assert can_hold(equals("orders", 2.5), {"orders": WHOLE}) is ProofVerdict.NO
    assert can_hold(less_than("orders", 0), {"orders": WHOLE}) is ProofVerdict.NO


def test_infinite_constants_have_a_cell_on_one_side_only() -> None:
    beyond = comparison("n", Comparison.MORE_THAN, math.inf)
    below = less_than("n", -math.inf)
    assert can_hold(either(beyond, below), {}) is ProofVerdict.NO
    assert can_hold(less_than("n", math.inf), {}) is ProofVerdict.YES


def test_a_rule_and_its_opposite_about_a_missing_fact_exclude_each_other() -> None:
    assert can_hold(both(is_missing("x"), at_least("x", 1)), {}) is ProofVerdict.NO
    assert can_hold(both(is_missing("x"), Not(part=at_least("x", 1))), {}) is ProofVerdict.YES
    assert always_holds(either(at_least("x", 1), less_than("x", 1)), {"x": WHOLE}) is ProofVerdict.YES
    assert always_holds(either(at_least("x", 1), less_than("x", 1)), {}) is ProofVerdict.NO


def test_conjunctions_of_several_rules_are_proven_together() -> None:
    stages = either(equals("stage", "new"), equals("stage", "active"))
    assert can_hold(both(stages, equals("stage", "lapsed")), {}) is ProofVerdict.NO
    earlier, entry = less_than("tenure", 30), less_than("tenure", 20)
    assert can_hold(both(entry, Not(part=earlier)), {}) is ProofVerdict.NO
    assert can_hold(both(earlier, Not(part=entry)), {}) is ProofVerdict.YES


def test_the_search_tries_a_second_alternative_if_the_first_fails() -> None:
    small, large = less_than("n", 0), at_least("n", 2)
    found = find_example(
        both(
            either(both(small, either(equals("w", "a"), equals("w", "z"))), equals("x", 1)),
            either(both(large, is_missing("f")), equals("w", "ab"), equals("w", "never")),
        ),
        DOMAINS,
    )
    assert found.verdict is ProofVerdict.YES


def test_an_empty_all_always_holds_and_an_empty_any_never_does() -> None:
    assert always_holds(ALWAYS, {}) is ProofVerdict.YES
    assert can_hold(AnyOf(parts=()), {}) is ProofVerdict.NO


def test_no_rule_holds_for_a_fact_without_possible_values() -> None:
    nothing = Domain(kind=ValueKind.WORD, words=(), may_be_missing=False)
    assert can_hold(either(equals("x", "a"), is_missing("x")), {"x": nothing}) is ProofVerdict.NO


def pigeons(count: int) -> AllOf:
    """The pigeonhole problem, hard for every search: count facts with count - 1 words, and no two the same."""
    words = [f"w{index}" for index in range(count - 1)]
    each = [comparison(f"p{index}", Comparison.ONE_OF, tuple(words)) for index in range(count)]
    apart = [
        either(Not(part=equals(f"p{a}", word)), Not(part=equals(f"p{b}", word)))
        for a in range(count)
        for b in range(a)
        for word in words
    ]
    return both(*each, *apart)


@pytest.mark.no_cover
def test_a_search_that_reaches_its_limit_says_so() -> None:
    assert can_hold(pigeons(3), {}) is ProofVerdict.NO
    assert find_example(pigeons(6), {}, most_steps=50).verdict is ProofVerdict.UNKNOWN
    assert can_hold(pigeons(9), {}) is ProofVerdict.UNKNOWN
    assert always_holds(Not(part=pigeons(9)), {}) is ProofVerdict.UNKNOWN


def test_a_thousand_nested_alternatives_do_not_overflow_the_stack() -> None:
    wide = both(*(either(equals(f"x{index}", 1), equals(f"y{index}", 1)) for index in range(1_000)))
    assert can_hold(wide, {}) is ProofVerdict.UNKNOWN


def test_a_comparison_that_could_never_be_true_is_refused() -> None:
    with pytest.raises(InvalidPolicyError, match="use is_missing"):
        can_hold(equals("x", None), {})


def test_cells_are_readable_values() -> None:
    assert cells_of(Domain(kind=ValueKind.NUMBER), [1, 2]) == (1, 2, 0, 1.5, 3, None)
    assert cells_of(Domain(kind=ValueKind.FLAG), ["ignored"]) == (True, False, None)
    assert cells_of(Domain(kind=ValueKind.WORD), ["", "b"]) == ("", "b", "\0", "b\0", None)
    assert cells_of(Domain(kind=ValueKind.NUMBER, may_be_missing=False), []) == (0,)
