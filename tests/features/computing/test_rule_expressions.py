"""Rules over columns give the same answers as the core's compiled rules."""

import narwhals as nw
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.errors import InvalidPolicyError
from decisioning.rules.predicate import AllOf, AnyOf, Compare, Comparison, Not, compile_predicate
from features.computing.rule_expressions import rule_expression

KINDS = {"number": float, "word": str, "flag": bool}
numbers = st.sampled_from([-1.0, 0.0, 1.0, 2.5])
words = st.sampled_from(["", "north", "south", "1"])
values = st.one_of(numbers, st.sampled_from([0, 1, 2]), words, st.booleans())
facts = st.sampled_from(sorted(KINDS))

equalities = st.builds(
    Compare, fact=facts, comparison=st.sampled_from([Comparison.EQUALS, Comparison.NOT_EQUALS]), value=values
)
orderings = st.builds(
    Compare,
    fact=facts,
    comparison=st.sampled_from([Comparison.AT_LEAST, Comparison.MORE_THAN, Comparison.AT_MOST, Comparison.LESS_THAN]),
    value=st.one_of(numbers, words),
)
memberships = st.builds(
    Compare,
    fact=facts,
    comparison=st.sampled_from([Comparison.ONE_OF, Comparison.NONE_OF]),
    value=st.lists(values, max_size=3).map(tuple),
)
absences = st.builds(Compare, fact=facts, comparison=st.just(Comparison.IS_MISSING), value=st.booleans())
predicates = st.recursive(
    st.one_of(equalities, orderings, memberships, absences),
    lambda parts: st.one_of(
        st.builds(AllOf, parts=st.lists(parts, max_size=3).map(tuple)),
        st.builds(AnyOf, parts=st.lists(parts, max_size=3).map(tuple)),
        st.builds(Not, part=parts),
    ),
    max_leaves=6,
)
rows = st.fixed_dictionaries(
    {
        "number": st.one_of(st.none(), numbers),
        "word": st.one_of(st.none(), words),
        "flag": st.one_of(st.none(), st.booleans()),
    }
)


@settings(max_examples=200, deadline=None)
@given(predicate=predicates, table=st.lists(rows, min_size=1, max_size=6))
def test_rules_over_columns_agree_with_rules_over_customers(predicate, table):
    frame = pl.DataFrame(table, schema={"number": pl.Float64, "word": pl.String, "flag": pl.Boolean})
    answers = nw.from_native(frame).with_columns(answer=rule_expression(predicate, KINDS)).to_native()["answer"]
    rule = compile_predicate(predicate)
    assert answers.to_list() == [rule(row) for row in table]


def test_a_fact_without_a_column_is_refused():
    with pytest.raises(InvalidPolicyError, match=r"context\.basket"):
        rule_expression(Compare(fact="context.basket", comparison=Comparison.EQUALS, value=1), KINDS)


def test_a_live_fact_counts_as_missing_in_the_past():
    frame = pl.DataFrame({"spend": [1.0, 2.0]})
    live = Compare(fact="live.browse_count_1h", comparison=Comparison.AT_LEAST, value=0)
    gone = Compare(fact="live.care", comparison=Comparison.IS_MISSING, value=True)
    known = Compare(fact="live.care", comparison=Comparison.IS_MISSING, value=False)
    for rule in (live, Not(part=live), gone, known):
        answers = nw.from_native(frame).with_columns(answer=rule_expression(rule, {"spend": float})).to_native()
        assert answers["answer"].to_list() == [compile_predicate(rule)({})] * 2
