"""Facts that rules can ask about, and those withheld for customers who opted out of profiling."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest

from decisioning.catalogue.care import DEFAULT_CARE, CarePolicy, Case, care_standing
from decisioning.consent import is_profiled
from decisioning.customer import Consent
from decisioning.decision import Inputs
from decisioning.errors import InvalidInputError
from decisioning.gates.facts import gather_facts
from decisioning.live import LiveState, RecentEvent
from decisioning.policy import Policy
from decisioning.rules.fact_names import is_behaviour, is_feature
from decisioning.rules.predicate import Compare, Comparison, FactValue, Not, compile_predicate

type MakeInputs = Callable[..., Inputs]


def facts_of(inputs: Inputs, *, care: CarePolicy = DEFAULT_CARE, **known: Any) -> dict[str, FactValue]:
    standing = care_standing(care, inputs.live.cases, inputs.now)
    return gather_facts(inputs, is_profiled=is_profiled(inputs), care=standing, **known)


@pytest.fixture
def eventful(plain_policy: Policy, inputs_of: MakeInputs, now: datetime) -> Inputs:
    """A customer with features who browsed ten minutes ago and has an outage."""
    case = Case(case_id="c", kind="outage", severity="normal", opened_at=now)
    event = RecentEvent(event_type="browse", at=now - timedelta(minutes=10))
    return inputs_of(plain_policy, context={"basket_value": 5.0}, live=LiveState(events=(event,), cases=(case,)))


def test_facts_come_from_features_profile_request_and_live_state(eventful: Inputs) -> None:
    facts = facts_of(eventful, event_types=("purchase",))
    assert facts["purchase_count_90d"] == 3.0
    assert facts["customer.age"] == 30
    assert facts["context.basket_value"] == 5.0
    assert facts["live.browse_recency_minutes"] == 10.0
    assert facts["live.purchase_count_24h"] == 0
    assert facts["live.open_case_kind"] == "outage"
    assert facts_of(eventful, care=CarePolicy())["live.open_case_count"] == 0


@pytest.mark.parametrize(
    "names",
    [
        {"purchase_count_90d", "customer.age", "live.browse_count_1h"},
        {"live.purchase_count_24h", "live.message_count_24h", "context.basket_value"},
        {"live.browse_recency_minutes", "live.open_case_kind", "live.purchase_recency_minutes"},
    ],
)
def test_wanted_facts_are_the_same_whether_others_are_gathered_or_not(eventful: Inputs, names: set[str]) -> None:
    known = facts_of(eventful, event_types=("browse", "purchase"))
    few = facts_of(eventful, event_types=("browse", "purchase"), wanted=frozenset(names))
    assert {name: few[name] for name in names & few.keys()} == {name: known[name] for name in names & known.keys()}
    assert len(few) < len(known)


def test_without_profiling_neither_features_nor_behaviour_are_used(eventful: Inputs) -> None:
    said_live = replace(eventful, live=replace(eventful.live, has_opted_out_of_profiling=True))
    assert eventful.customer is not None
    said_before = replace(eventful, customer=replace(eventful.customer, has_opted_out_of_profiling=True))
    refusal = Consent(channel_id="email", purpose="profiling", is_granted=False)
    refused = replace(eventful, customer=replace(eventful.customer, consents=(refusal,)))
    for inputs in (said_live, said_before, refused):
        facts = facts_of(inputs, event_types=("purchase",))
        assert not [name for name in facts if is_feature(name) or is_behaviour(name)]
        assert facts["live.open_case_kind"] == "outage"
        assert facts["customer.age"] == 30
    back = replace(said_before, live=replace(eventful.live, has_opted_out_of_profiling=False))
    assert facts_of(back)["purchase_count_90d"] == 3.0


def test_live_facts_are_not_features() -> None:
    assert [is_feature(name) for name in ("live.browse_count_1h", "stage", "context.x", "browse_count_30d")] == [
        False,
        False,
        False,
        True,
    ]


def test_missing_data_give_no_facts(plain_policy: Policy, inputs_of: MakeInputs) -> None:
    facts = facts_of(replace(inputs_of(plain_policy), customer=None, features=None))
    assert facts == {"live.message_count_24h": 0, "live.open_case_count": 0}


def test_features_and_values_of_different_length_are_refused(
    plain_policy: Policy, inputs_of: MakeInputs, eventful: Inputs
) -> None:
    assert eventful.features is not None
    short = replace(eventful.features, values=np.array([1.0]))
    with pytest.raises(InvalidInputError, match="one value per name"):
        facts_of(replace(eventful, features=short))


def test_an_undeclared_category_value_makes_a_rule_and_its_negation_false(eventful: Inputs) -> None:
    words = {"region": ("north", "south")}
    is_north = Compare(fact="customer.region", comparison=Comparison.EQUALS, value="north")
    assert eventful.customer is not None
    for word, holds, refuted in (("north", True, False), ("south", False, True), ("nroth", False, False)):
        told = replace(eventful, customer=replace(eventful.customer, attributes={"region": word}))
        facts = facts_of(told, words=words)
        assert (compile_predicate(is_north)(facts), compile_predicate(Not(part=is_north))(facts)) == (holds, refuted)
    assert str(facts_of(told, words=words)["customer.region"]) == "an undeclared word"
