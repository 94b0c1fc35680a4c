"""Rules over facts: right on known facts, false on missing ones, and never an exception."""

import operator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.errors import InvalidPolicyError
from decisioning.rules.predicate import (
    ALWAYS,
    AllOf,
    AnyOf,
    Compare,
    Comparison,
    Not,
    Predicate,
    compile_predicate,
    describe,
    explain,
    facts_of,
    is_missing,
)

NAN = float("nan")
ORDERED = {
    Comparison.AT_LEAST: operator.ge,
    Comparison.MORE_THAN: operator.gt,
    Comparison.AT_MOST: operator.le,
    Comparison.LESS_THAN: operator.lt,
}
NUMBERS = st.one_of(st.integers(), st.floats(allow_nan=False))
VALUES = st.one_of(NUMBERS, st.text(max_size=4), st.booleans())
NAMES = st.sampled_from(["a", "b", "customer.age", "stage"])
ANYTHING = st.one_of(
    VALUES,
    st.none(),
    st.just(NAN),
    st.binary(max_size=3),
    st.lists(st.integers(), max_size=2),
    st.complex_numbers(),
    st.just(np.array([1.0, 2.0])),
    st.just(object()),
    st.dates(),
)


def comparison(fact: str, name: Comparison, value: Any) -> Compare:
    return Compare(fact=fact, comparison=name, value=value)


def holds(name: Comparison, value: Any, found: Any) -> bool:
    return compile_predicate(comparison("x", name, value))({"x": found})


COMPARES = st.one_of(
    st.builds(comparison, NAMES, st.sampled_from([Comparison.EQUALS, Comparison.NOT_EQUALS]), VALUES),
    st.builds(comparison, NAMES, st.sampled_from(sorted(ORDERED)), st.one_of(NUMBERS, st.text(max_size=4))),
    st.builds(
        comparison,
        NAMES,
        st.sampled_from([Comparison.ONE_OF, Comparison.NONE_OF]),
        st.lists(VALUES, max_size=4).map(tuple),
    ),
    st.builds(comparison, NAMES, st.just(Comparison.IS_MISSING), st.booleans()),
)
PREDICATES: st.SearchStrategy[Predicate] = st.recursive(
    COMPARES,
    lambda parts: st.one_of(
        st.builds(lambda found: AllOf(parts=tuple(found)), st.lists(parts, max_size=3)),
        st.builds(lambda found: AnyOf(parts=tuple(found)), st.lists(parts, max_size=3)),
        st.builds(lambda found: Not(part=found), parts),
    ),
    max_leaves=8,
)
FACTS = st.dictionaries(NAMES, ANYTHING, max_size=4)


@settings(max_examples=200, deadline=None)
@given(predicate=PREDICATES, facts=FACTS)
def test_a_rule_answers_yes_or_no_whatever_the_facts_hold(predicate: Predicate, facts: dict[str, Any]) -> None:
    answer = compile_predicate(predicate)(facts)
    assert answer is True or answer is False
    assert (explain(predicate, facts) == "") is answer
    assert facts_of(predicate) <= {"a", "b", "customer.age", "stage"}


@settings(max_examples=100, deadline=None)
@given(predicate=PREDICATES, facts=FACTS)
def test_a_rule_reads_only_the_facts_it_names(predicate: Predicate, facts: dict[str, Any]) -> None:
    named = {name: value for name, value in facts.items() if name in facts_of(predicate)}
    assert compile_predicate(predicate)(facts) is compile_predicate(predicate)(named)


@settings(max_examples=100, deadline=None)
@given(name=st.sampled_from(sorted(ORDERED)), value=NUMBERS, found=NUMBERS)
def test_numbers_compare_as_numbers_do(name: Comparison, value: float, found: float) -> None:
    assert holds(name, value, found) is ORDERED[name](found, value)
    assert holds(Comparison.EQUALS, value, found) is (found == value)
    assert holds(Comparison.NOT_EQUALS, value, found) is (found != value)


@settings(max_examples=100, deadline=None)
@given(predicates=st.lists(PREDICATES, max_size=4), facts=FACTS)
def test_all_any_and_not_have_their_usual_meaning(predicates: list[Predicate], facts: dict[str, Any]) -> None:
    answers = [compile_predicate(predicate)(facts) for predicate in predicates]
    assert compile_predicate(AllOf(parts=tuple(predicates)))(facts) is all(answers)
    assert compile_predicate(AnyOf(parts=tuple(predicates)))(facts) is any(answers)
    for predicate, answer in zip(predicates, answers, strict=True):
        assert not (answer and compile_predicate(Not(part=predicate))(facts))


def truth(predicate: Predicate, facts: dict[str, Any]) -> bool | None:
    """Reference: Kleene's logic, with None for a comparison with a fact of another kind."""
    match predicate:
        case AllOf(parts=parts):
            found = [truth(part, facts) for part in parts]
            return False if False in found else None if None in found else True
        case AnyOf(parts=parts):
            found = [truth(part, facts) for part in parts]
            return True if True in found else None if None in found else False
        case Not(part=part):
            inner = truth(part, facts)
            return None if inner is None else not inner
        case Compare():
            return compared(predicate, facts)


def compared(compare: Compare, facts: dict[str, Any]) -> bool | None:
    found = facts.get(compare.fact)
    values = compare.value if isinstance(compare.value, tuple) else (compare.value,)
    if compare.comparison is not Comparison.IS_MISSING and values and not is_missing(found):
        kinds = {kind_of(value) for value in values}
        if kind_of(found) not in kinds:
            return None
    elif not is_missing(found) and not values and kind_of(found) is object:
        return None
    return compile_predicate(compare)(facts)


def kind_of(value: Any) -> type:
    """The kind of a value: number, text or flag; anything else is `object`."""
    return next((kind for kind in (bool, str) if isinstance(value, kind)), float if is_number(value) else object)


def is_number(value: Any) -> bool:
    return isinstance(value, int | float | np.floating)


@settings(max_examples=300, deadline=None)
@given(predicate=PREDICATES, facts=FACTS)
def test_a_fact_of_another_kind_is_unknown_and_an_unknown_rule_does_not_hold(
    predicate: Predicate, facts: dict[str, Any]
) -> None:
    assert compile_predicate(predicate)(facts) is (truth(predicate, facts) is True)


@pytest.mark.parametrize("found", ["12", "20", True, ["x"]])
def test_a_negated_rule_does_not_hold_for_a_value_of_another_kind(found: Any) -> None:
    minor = comparison("customer.age", Comparison.LESS_THAN, 18)
    rules = [Not(part=minor), Not(part=AnyOf(parts=(minor, comparison("customer.age", Comparison.ONE_OF, (1, 2)))))]
    for rule in rules:
        assert not compile_predicate(rule)({"customer.age": found})
        assert not compile_predicate(Not(part=Not(part=rule)))({"customer.age": found})
        assert compile_predicate(rule)({"customer.age": 20})
        assert explain(rule, {"customer.age": found}).startswith("cannot be told, since a fact is of another kind: ")


@pytest.mark.parametrize("missing", [None, NAN, np.float64("nan")])
@pytest.mark.parametrize("name", [name for name in Comparison if name is not Comparison.IS_MISSING])
def test_a_comparison_with_a_missing_fact_is_false(name: Comparison, missing: Any) -> None:
    value = ("a", 1) if name in {Comparison.ONE_OF, Comparison.NONE_OF} else 1
    rule = compile_predicate(comparison("x", name, value))
    assert not rule({"x": missing})
    assert not rule({})


@pytest.mark.parametrize("of", [AllOf, AnyOf])
def test_a_list_of_one_rule_equals_that_rule(of: type[AllOf | AnyOf]) -> None:
    rule = compile_predicate(of(parts=(comparison("x", Comparison.MORE_THAN, 1),)))
    assert (rule({"x": 2}), rule({"x": 1}), rule({})) == (True, False, False)


def test_a_rule_can_ask_whether_a_fact_is_missing() -> None:
    for missing in (None, NAN):
        assert holds(Comparison.IS_MISSING, True, missing)
        assert not holds(Comparison.IS_MISSING, False, missing)
    assert holds(Comparison.IS_MISSING, False, 0.0)
    assert not holds(Comparison.IS_MISSING, True, "")
    assert is_missing(None)


@pytest.mark.parametrize(
    ("value", "found"), [(18, "20"), ("20", 18), (1, True), (True, 1), ("true", True), (0.0, False), ("", 0)]
)
@pytest.mark.parametrize("name", [Comparison.EQUALS, Comparison.NOT_EQUALS])
def test_values_of_different_kinds_are_neither_equal_nor_unequal(name: Comparison, value: Any, found: Any) -> None:
    assert not holds(name, value, found)


@pytest.mark.parametrize("name", sorted(ORDERED))
def test_text_and_flags_are_never_above_or_below_a_number(name: Comparison) -> None:
    assert not holds(name, 0, "1")
    assert not holds(name, 0, True)
    assert not holds(name, "0", 1)


def test_text_is_ordered_as_iso_dates_are() -> None:
    assert holds(Comparison.AT_LEAST, "2026-01-01", "2026-02-01")
    assert not holds(Comparison.LESS_THAN, "2026-01-01", "2026-02-01")


def test_membership_keeps_kinds_apart() -> None:
    assert holds(Comparison.ONE_OF, ("north", 1), 1.0)
    assert not holds(Comparison.ONE_OF, (1, 0), True)
    assert holds(Comparison.NONE_OF, ("north", "south"), "east")
    assert not holds(Comparison.NONE_OF, ("north", "south"), "north")
    assert not holds(Comparison.NONE_OF, ("north", "south"), 3)
    assert not holds(Comparison.ONE_OF, (), "north")
    assert holds(Comparison.NONE_OF, (), "north")
    assert not holds(Comparison.NONE_OF, (), None)


def test_numpy_numbers_and_string_enums_compare_like_plain_values() -> None:
    assert holds(Comparison.AT_LEAST, 1, np.float64(2))
    assert holds(Comparison.EQUALS, "equals", Comparison.EQUALS)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (Comparison.EQUALS, None),
        (Comparison.EQUALS, NAN),
        (Comparison.NOT_EQUALS, ("a",)),
        (Comparison.AT_LEAST, True),
        (Comparison.LESS_THAN, None),
        (Comparison.ONE_OF, "north"),
        (Comparison.ONE_OF, ("north", None)),
        (Comparison.NONE_OF, (NAN,)),
        (Comparison.IS_MISSING, "yes"),
        (Comparison.IS_MISSING, 1),
    ],
)
def test_a_comparison_that_could_never_be_true_is_refused_at_once(name: Comparison, value: Any) -> None:
    with pytest.raises(InvalidPolicyError, match=f"{name} of age must be"):
        compile_predicate(Not(part=AllOf(parts=(comparison("age", name, value),))))


def test_an_empty_rule_lets_everybody_in() -> None:
    assert compile_predicate(ALWAYS)({})
    assert facts_of(ALWAYS) == frozenset()


def test_a_refusal_is_explained_in_plain_words() -> None:
    age = comparison("customer.age", Comparison.AT_LEAST, 18)
    region = comparison("customer.region", Comparison.ONE_OF, ("north", "south"))
    facts = {"customer.age": 17, "customer.region": None}
    assert explain(age, facts) == "customer.age must be at least 18, is 17"
    assert explain(region, facts) == "customer.region must be one of north, south, is missing"
    assert explain(AllOf(parts=(age, region, ALWAYS)), facts) == f"{explain(age, facts)}; and {explain(region, facts)}"
    assert explain(AnyOf(parts=(age, region)), facts) == f"{explain(age, facts)}; or {explain(region, facts)}"
    assert explain(AnyOf(parts=()), facts) == "nothing can meet this rule"


@pytest.mark.parametrize(
    ("part", "words"),
    [
        (comparison("x", Comparison.EQUALS, 1), "must not hold: x must be 1"),
        (comparison("x", Comparison.NOT_EQUALS, 2), "must not hold: x must be other than 2"),
        (comparison("x", Comparison.IS_MISSING, False), "must not hold: x must be known"),
        (Not(part=comparison("x", Comparison.IS_MISSING, True)), "must not hold: not (x must be missing)"),
        (AllOf(parts=()), "must not hold: anything"),
        (
            AnyOf(parts=(AnyOf(parts=()), comparison("x", Comparison.EQUALS, 1))),
            "must not hold: nothing; or x must be 1",
        ),
    ],
)
def test_a_failed_negation_is_explained_by_the_rule_it_negates(part: Predicate, words: str) -> None:
    assert explain(Not(part=part), {"x": 1}) == words


def test_a_rule_is_described_without_any_customers_facts() -> None:
    rule = AllOf(
        parts=(
            comparison("customer.age", Comparison.AT_LEAST, 18.0),
            AnyOf(parts=(comparison("stage", Comparison.ONE_OF, ("new", 2.5)), AnyOf(parts=()))),
            Not(part=ALWAYS),
        )
    )
    assert describe(rule) == (
        "customer.age must be at least 18; and stage must be one of new, 2.5; or nothing; and not (anything)"
    )


def test_whole_numbers_are_written_without_a_point() -> None:
    rule = comparison("customer.age", Comparison.AT_LEAST, 18.0)
    assert explain(rule, {"customer.age": 17.0}) == "customer.age must be at least 18, is 17"
    assert explain(rule, {"customer.age": 17.5}) == "customer.age must be at least 18, is 17.5"
