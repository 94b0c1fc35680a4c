"""Rules, stages and validity of offers and creatives at the gates, and offers that exclude each other."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from decisioning.catalogue.catalogue import Catalogue
from decisioning.decision import Exclusion
from decisioning.live import LiveState
from decisioning.policy import Policy
from decisioning.rules.predicate import Compare, Comparison, Not
from tests.decisioning.gates.judging import DAY, MakeInputs, contact, excluded, judge, reasons, with_offer

TEENAGER = Compare(fact="customer.age", comparison=Comparison.LESS_THAN, value=18)


@pytest.mark.parametrize(
    ("bounds", "expected"),
    [
        ({"valid_from": timedelta(0)}, ()),
        ({"valid_from": timedelta(microseconds=1)}, (Exclusion.NOT_YET_VALID,)),
        ({"valid_until": timedelta(0)}, (Exclusion.EXPIRED,)),
        ({"valid_until": timedelta(microseconds=1)}, ()),
        ({"valid_from": timedelta(-1), "valid_until": timedelta(1)}, ()),
    ],
)
def test_validity_includes_its_start_and_excludes_its_end(
    plain_catalogue: Catalogue,
    inputs_of: MakeInputs,
    now: datetime,
    bounds: dict[str, timedelta],
    expected: tuple[Exclusion, ...],
) -> None:
    policy = with_offer(plain_catalogue, **{name: now + offset for name, offset in bounds.items()})
    assert reasons(judge(policy, inputs_of)) == expected


def test_an_offer_for_other_stages_is_refused(
    plain_policy: Policy, inputs_of: MakeInputs, features_of: Callable[..., Any]
) -> None:
    features = features_of(purchase_count_90d=0.0)
    lapsed = judge(plain_policy, inputs_of, features=features)
    assert reasons(lapsed, "free-coffee/email/plain") == (Exclusion.WRONG_STAGE,)
    named = judge(plain_policy, inputs_of, features=features, stage_id="new")
    assert reasons(named, "free-coffee/email/plain") == ()


def test_a_creative_can_have_its_own_rule(plain_catalogue: Catalogue, inputs_of: MakeInputs) -> None:
    german = Compare(fact="context.language", comparison=Comparison.EQUALS, value="de")
    creatives = tuple(
        replace(one, eligibility=german) if one.offer_id == "ten-percent" and one.channel_id == "email" else one
        for one in plain_catalogue.creatives
    )
    policy = Policy(replace(plain_catalogue, creatives=creatives))
    assert reasons(judge(policy, inputs_of)) == (Exclusion.NOT_ELIGIBLE,)
    assert reasons(judge(policy, inputs_of, context={"language": "de"})) == ()
    assert reasons(judge(policy, inputs_of), "ten-percent/push/plain") == ()


@pytest.mark.parametrize(
    "rule",
    [
        Compare(fact="complaint_count_90d", comparison=Comparison.AT_LEAST, value=1),
        Not(part=Compare(fact="complaint_count_90d", comparison=Comparison.AT_LEAST, value=1)),
        Compare(fact="complaint_count_90d", comparison=Comparison.IS_MISSING, value=True),
        Compare(fact="stage", comparison=Comparison.IS_MISSING, value=True),
        Not(part=Compare(fact="stage", comparison=Comparison.EQUALS, value="new")),
    ],
)
def test_a_rule_that_cannot_be_checked_without_features_is_not_met(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, rule: Any
) -> None:
    screening = judge(with_offer(plain_catalogue, eligibility=rule), inputs_of, features=None)
    assert reasons(screening) == (Exclusion.NOT_ELIGIBLE,)
    assert excluded(screening).details == ("the offer's rule cannot be checked",)
    assert reasons(screening, "free-coffee/email/plain") == (Exclusion.WRONG_STAGE,)
    assert reasons(screening, "double-stamps/email/plain") == ()


def test_a_rule_over_the_stage_can_be_checked_if_the_caller_names_the_stage(
    plain_catalogue: Catalogue, inputs_of: MakeInputs
) -> None:
    rule = Not(part=Compare(fact="stage", comparison=Comparison.EQUALS, value="new"))
    policy = with_offer(plain_catalogue, eligibility=rule)
    assert reasons(judge(policy, inputs_of, features=None, stage_id="active")) == ()
    assert reasons(judge(policy, inputs_of, features=None, stage_id="new")) == (Exclusion.NOT_ELIGIBLE,)


def test_an_offer_must_still_be_valid_when_it_arrives(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, now: datetime
) -> None:
    slow = replace(plain_catalogue.channels["email"], lead_time_seconds=3 * DAY)
    catalogue = replace(plain_catalogue, channels={**plain_catalogue.channels, "email": slow})
    for left, expected in ((timedelta(days=3), (Exclusion.EXPIRED,)), (timedelta(days=3, seconds=1), ())):
        screening = judge(with_offer(catalogue, valid_until=now + left), inputs_of)
        assert reasons(screening) == expected
        assert reasons(screening, "ten-percent/push/plain") == ()
    told = excluded(judge(with_offer(catalogue, valid_until=now + timedelta(days=3)), inputs_of))
    assert told.details == ("it would arrive too late",)


def test_after_the_cut_off_a_letter_goes_with_the_next_days_run(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, now: datetime
) -> None:
    for minute, expected in ((13 * 60, ()), (13 * 60 - 1, (Exclusion.EXPIRED,))):  # it is 13:00 in Berlin
        printer = replace(
            plain_catalogue.channels["email"], lead_time_seconds=DAY, cut_off_minute=minute, zone="Europe/Berlin"
        )
        catalogue = replace(plain_catalogue, channels={**plain_catalogue.channels, "email": printer})
        policy = with_offer(catalogue, valid_until=now + timedelta(days=1, hours=20))
        assert reasons(judge(policy, inputs_of)) == expected


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        ("eligibility", Exclusion.NOT_ELIGIBLE),
        ("applicability", Exclusion.NOT_APPLICABLE),
        ("suitability", Exclusion.NOT_SUITABLE),
    ],
)
def test_offers_and_creatives_have_rules_in_three_layers(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, layer: str, reason: Exclusion
) -> None:
    adult = Not(part=TEENAGER)
    offer = with_offer(plain_catalogue, **{layer: TEENAGER})
    assert reasons(judge(offer, inputs_of)) == (reason,)
    assert excluded(judge(offer, inputs_of)).details == ("the offer's rule",)
    creatives = tuple(
        replace(one, **{layer: TEENAGER}) if f"{one.offer_id}/{one.channel_id}" == "ten-percent/email" else one
        for one in plain_catalogue.creatives
    )
    creative = with_offer(replace(plain_catalogue, creatives=creatives), **{layer: adult})
    assert reasons(judge(creative, inputs_of)) == (reason,)
    assert excluded(judge(creative, inputs_of)).details == ("the creative's rule",)
    assert reasons(judge(creative, inputs_of), "ten-percent/push/plain") == ()
    assert reasons(judge(with_offer(plain_catalogue, **{layer: adult}), inputs_of)) == ()


@pytest.mark.parametrize("names_other", ["ten-percent", "free-coffee"])
def test_never_with_excludes_both_offers_whichever_declares_it(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, now: datetime, names_other: str
) -> None:
    pair = {"ten-percent", "free-coffee"}
    naming = replace(plain_catalogue.offers[names_other], never_with=frozenset(pair - {names_other}))
    policy = Policy(replace(plain_catalogue, offers={**plain_catalogue.offers, names_other: naming}))
    for sent, other in (("ten-percent", "free-coffee"), ("free-coffee", "ten-percent")):
        book = LiveState(contacts=(contact(policy, f"{sent}/push/plain", now - timedelta(days=300)),))
        screening = judge(policy, inputs_of, live=book)
        told = excluded(screening, f"{other}/email/plain")
        assert (told.reasons, told.details) == ((Exclusion.INCOMPATIBLE,), (f"never with {sent}",))
        assert told.allowed_at is None
        assert reasons(screening, f"{sent}/email/plain") == ()
    assert judge(policy, inputs_of).excluded == ()


def test_not_after_blocks_an_offer_for_exactly_as_long_as_declared(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, now: datetime
) -> None:
    policy = with_offer(plain_catalogue, not_after={"free-coffee": 7 * DAY, "double-stamps": DAY, "opening-hours": 0.0})
    ages = {"opening-hours": timedelta(0), "double-stamps": timedelta(hours=23), "free-coffee": timedelta(days=6)}
    book = LiveState(contacts=tuple(contact(policy, f"{one}/push/plain", now - age) for one, age in ages.items()))
    told = excluded(judge(policy, inputs_of, live=book))
    assert (told.reasons, told.details) == ((Exclusion.INCOMPATIBLE,), ("not within 7 days after free-coffee",))
    assert told.allowed_at == now + timedelta(days=1)
    assert reasons(judge(policy, inputs_of, live=book, now=now + timedelta(days=1))) == ()
    before = LiveState(contacts=(contact(policy, "ten-percent/push/plain", now),))
    assert judge(policy, inputs_of, live=before).excluded == ()
