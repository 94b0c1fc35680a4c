"""Stages: the first entry rule that holds; without features no stage is guessed."""

import pytest

from decisioning.catalogue.journey import JourneyStage, compile_stages, standing
from decisioning.errors import InvalidPolicyError
from decisioning.rules.predicate import AllOf, Compare, Comparison


def _stage(stage_id: str, fact: str, comparison: Comparison, value: float) -> JourneyStage:
    return JourneyStage(
        stage_id=stage_id, goal_id="loyalty", entry=Compare(fact=fact, comparison=comparison, value=value)
    )


MINOR = _stage("minor", "customer.age", Comparison.LESS_THAN, 18)
NEW = _stage("new", "customer_tenure_days", Comparison.LESS_THAN, 30)
ACTIVE = _stage("active", "purchase_count_90d", Comparison.AT_LEAST, 1)
LAPSED = JourneyStage(stage_id="lapsed", goal_id="loyalty")


@pytest.mark.parametrize(
    ("facts", "stage"),
    [
        ({"customer_tenure_days": 10.0, "purchase_count_90d": 3.0}, "new"),
        ({"customer_tenure_days": 100.0, "purchase_count_90d": 3.0}, "active"),
        ({"customer_tenure_days": 100.0, "purchase_count_90d": 0.0}, "lapsed"),
        ({"customer_tenure_days": float("nan"), "purchase_count_90d": 1.0}, "active"),
    ],
)
def test_the_first_rule_that_holds_names_the_stage(facts: dict[str, float], stage: str) -> None:
    found = standing(compile_stages((NEW, ACTIVE, LAPSED)), facts)
    assert (found.stage_id, found.is_known) == (stage, True)


def test_if_no_rule_holds_there_is_no_stage() -> None:
    found = standing(compile_stages((NEW, ACTIVE)), {"customer_tenure_days": 90.0, "purchase_count_90d": float("nan")})
    assert (found.stage_id, found.is_known) == (None, True)
    assert standing((), {}).stage_id is None


def test_without_features_no_customer_falls_through_to_the_stage_for_everybody() -> None:
    found = standing(compile_stages((NEW, ACTIVE, LAPSED)), {"customer.age": 40})
    assert (found.stage_id, found.is_known) == (None, False)


def test_a_feature_that_was_not_read_ends_the_search_and_a_missing_value_does_not() -> None:
    stages = compile_stages((NEW, ACTIVE, LAPSED))
    assert standing(stages, {"customer_tenure_days": 90.0}).is_known is False
    facts = {"customer_tenure_days": 90.0, "purchase_count_90d": float("nan")}
    assert standing(stages, facts).stage_id == "lapsed"


def test_without_features_a_stage_that_needs_none_is_still_found() -> None:
    found = standing(compile_stages((MINOR, NEW, LAPSED)), {"customer.age": 17})
    assert (found.stage_id, found.is_known) == ("minor", True)


def test_without_profiling_a_rule_over_behaviour_ends_the_search() -> None:
    browsing = _stage("browsing", "live.browse_count_1h", Comparison.AT_LEAST, 1)
    facts = {"live.browse_count_1h": 2.0}
    assert standing(compile_stages((browsing, LAPSED)), facts).stage_id == "browsing"
    found = standing(compile_stages((browsing, LAPSED)), {}, has_behaviour=False)
    assert (found.stage_id, found.is_known) == (None, False)


def test_an_entry_rule_that_could_never_be_true_is_refused() -> None:
    with pytest.raises(InvalidPolicyError):
        compile_stages((_stage("odd", "x", Comparison.IS_MISSING, 3),))


def test_a_stage_set_by_an_event_comes_before_every_rule() -> None:
    facts = {"customer_tenure_days": 10.0, "purchase_count_90d": 3.0}
    stages = compile_stages((NEW, ACTIVE, LAPSED))
    assert standing(stages, facts, moved_to="lapsed").stage_id == "lapsed"
    unread = standing(stages, {}, moved_to="active")
    assert (unread.stage_id, unread.is_known) == ("active", True)


def test_an_undeclared_stage_moves_no_customer() -> None:
    facts = {"customer_tenure_days": 10.0}
    assert standing(compile_stages((NEW, LAPSED)), facts, moved_to="retired").stage_id == "new"


def test_a_rule_that_uses_a_feature_cannot_be_checked_without_features() -> None:
    for fact in ("purchase_count_90d", "live.browse_count_1h"):
        both = AllOf(
            parts=(
                Compare(fact="customer.age", comparison=Comparison.AT_LEAST, value=18),
                Compare(fact=fact, comparison=Comparison.AT_LEAST, value=1),
            )
        )
        stages = compile_stages((JourneyStage(stage_id="adult", goal_id="loyalty", entry=both), LAPSED))
        facts = {"customer.age": 30, fact: 2.0}
        assert standing(stages, facts).stage_id == "adult"
        found = standing(stages, {"customer.age": 30}, has_behaviour=False)
        assert (found.stage_id, found.is_known) == (None, False)
