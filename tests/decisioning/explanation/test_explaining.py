"""Explanations for customer, agent and auditor: every outcome, from the record alone."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import numpy as np
import orjson
import pytest

from decisioning.catalogue.care import Case, CaseState
from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.contact_policy import Contact
from decisioning.catalogue.limits import Supply
from decisioning.catalogue.message import SILENCE
from decisioning.customer import Consent
from decisioning.decision import (
    Action,
    Decision,
    Excluded,
    Exclusion,
    Ghost,
    Inputs,
    Placement,
    Position,
    Reason,
)
from decisioning.explanation.customer_texts import CUSTOMER_TEXTS, LANGUAGES, language_of, spoken_channel
from decisioning.explanation.data_used import DataCategory, data_used
from decisioning.explanation.explanation import Reader, explain_decision
from decisioning.live import LiveState, RecentEvent, StageMove
from decisioning.policy import Policy, decide
from decisioning.record.document import decision_from_record, decision_to_record
from tests.touches import make_touch

type MakeInputs = Callable[..., Inputs]


@pytest.fixture(scope="session")
def sent(plain_policy: Policy, inputs_of: MakeInputs) -> Decision:
    inputs = inputs_of(plain_policy, attributes={"age": 44, "first_name": "Ada"}, unsubscribed_channels={"push"})
    return decision_from_record(orjson.loads(orjson.dumps(decision_to_record(decide(plain_policy, inputs, "D-1")))))


def told(decision: Decision, reader: Reader, locale: str | None = "en") -> str:
    return "\n".join(explain_decision(decision, reader, locale))


def held(decision: Decision, reason: Reason) -> Decision:
    return replace(
        decision,
        action=Action.HOLD,
        reason=reason,
        message_key=SILENCE,
        offer_id=None,
        channel_id=None,
        creative_id=None,
    )


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("reason", Reason)
def test_every_outcome_is_explained_to_the_customer_politely_and_without_figures(
    sent: Decision, reason: Reason, language: str
) -> None:
    for decision in (replace(sent, reason=reason), held(sent, reason)):
        sentences = explain_decision(decision, Reader.CUSTOMER, language)
        words = " ".join(sentences)
        assert 4 <= len(sentences) <= 8
        assert all(sentence[0].isupper() and sentence.endswith(".") for sentence in sentences)
        assert not any(character.isdigit() for character in words)
        inner = {*Reason, *Exclusion, "None", "policy", "model", "silence", "C-1", "D-1", "Ada", "weekly-mail"}
        assert not [name for name in inner if name in words]


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_has_all_its_texts(language: str) -> None:
    texts = CUSTOMER_TEXTS[language]
    assert set(texts.category) == set(DataCategory)
    assert set(texts.excluded) == set(CUSTOMER_TEXTS["en"].excluded)
    assert set(texts.why_sent) | set(texts.why_held) == set(Reason)
    # internal reasons that say nothing about the customer are left out
    assert set(Exclusion) - set(texts.excluded) == {
        Exclusion.EXCLUDED_BY_CALLER, Exclusion.CHANNEL_NOT_ASKED, Exclusion.HOLDOUT, Exclusion.EXPERIMENT_ARM,
        Exclusion.NOT_SCORED, Exclusion.SHARE_REACHED, Exclusion.CREATIVE_UNFIT, Exclusion.PROGRAMME_HOLDOUT,
        Exclusion.ALREADY_IN_SLATE, Exclusion.STATE_LOST,
    }  # fmt: skip


def test_the_legally_required_explanation_is_short(sent: Decision) -> None:
    assert explain_decision(sent, Reader.CUSTOMER, "en") == (
        "We chose the offer “ten percent” for you, by e-mail.",
        (
            "Of the messages that were suitable, it is the one that we expected to work best, judging by how people in "
            "a similar situation answered to similar messages."
        ),
        "Some messages were left out because you have unsubscribed from the channel.",
        "The choice was made automatically, by a computer program.",
        (
            "These data mattered: what you agreed to, on which channels you can be reached, what we know about you as "
            "a customer, your region and time zone, your purchases and how you use our services."
        ),
        (
            "You can give or withdraw your consent at any time, ask to see, correct or delete your data, ask a person "
            "to look at this choice and tell us your view of it, and complain to us or to the data protection "
            "authority."
        ),
        (
            "You can also object to advertising, or to being profiled for it: then your behaviour will no longer be "
            "looked at."
        ),
    )


def test_customers_with_a_german_locale_get_german(sent: Decision) -> None:
    assert told(sent, Reader.CUSTOMER, "de-AT").startswith("Wir haben das Angebot „ten percent“ für Sie ausgewählt")
    customer = sent.inputs.customer
    assert customer is not None
    german = replace(sent, inputs=replace(sent.inputs, customer=replace(customer, locale="de_DE")))
    assert "Einwilligungen" in told(german, Reader.CUSTOMER, None)
    assert (language_of("fr-FR"), language_of(""), language_of("DE")) == ("en", "en", "de")
    assert [spoken_channel("sms", language) for language in LANGUAGES] == ["text message", "SMS"]


def test_a_customer_who_opted_out_of_profiling_is_told_so_and_not_asked_to_object_again(
    plain_policy: Policy, inputs_of: MakeInputs
) -> None:
    decision = decide(plain_policy, inputs_of(plain_policy, has_opted_out_of_profiling=True), "D-1")
    words = told(decision, Reader.CUSTOMER)
    assert "Your behaviour was not looked at, since you do not want to be profiled." in words
    assert "your purchases" not in words
    assert "object" not in words


def test_an_unknown_customer_is_told_that_we_know_nothing_about_them(
    plain_policy: Policy, inputs_of: MakeInputs
) -> None:
    decision = decide(plain_policy, inputs_of(plain_policy, customer=None, features=None), "D-1")
    words = explain_decision(decision, Reader.CUSTOMER)
    assert words[:2] == (
        "We decided not to send you a message this time.",
        "We know nothing about you that would allow us to write to you.",
    )
    assert "No data about you mattered." in words


def test_each_main_reason_is_given_once(sent: Decision) -> None:
    refused = tuple(
        Excluded(message_key=f"offer-{number}/email/plain", reasons=reasons)
        for number, reasons in enumerate(
            [
                (Exclusion.CAP_REACHED, Exclusion.PRESSURE_REACHED),
                (Exclusion.NO_CONSENT,),
                (Exclusion.NO_CONSENT, Exclusion.NOT_SCORED),
                (Exclusion.NO_CONSENT, Exclusion.QUIET_HOURS),
                (Exclusion.EXPIRED,),
            ]
        )
    )
    words = told(replace(held(sent, Reason.NOTHING_PERMITTED), excluded=refused), Reader.CUSTOMER)
    assert (
        "Some messages were left out because you have not agreed to them, you have had enough messages from us "
        "lately and it was not a good time to disturb you."
    ) in words
    assert "Some messages" not in told(replace(held(sent, Reason.HOLDOUT), excluded=refused), Reader.CUSTOMER)


def test_a_slate_is_explained_as_a_list(plain_policy: Policy, inputs_of: MakeInputs) -> None:
    inputs = inputs_of(plain_policy)
    places = tuple(Placement(placement_id=name) for name in ("top", "middle", "bottom"))
    inputs = replace(inputs, request=replace(inputs.request, placements=places))
    decision = decide(plain_policy, inputs, "D-1")
    assert told(decision, Reader.CUSTOMER).startswith(
        "We chose these offers for you: ten percent, free coffee and double stamps."
    )
    assert "For placement middle: free coffee by app notification (wording plain)." in told(decision, Reader.AGENT)
    assert "Position 2 (placement middle): free-coffee/push/plain with probability" in told(decision, Reader.AUDITOR)


def rich(decision: Decision, now: datetime) -> Decision:
    """A decision whose record has something in every field."""
    touch = make_touch()
    live = LiveState(
        version=3,
        contacts=(Contact(contact_id="D-0", touch=touch, at=now - timedelta(days=1)),),
        household_contacts=(Contact(contact_id="D-9", touch=touch, at=now - timedelta(days=2)),),
        cases=(
            Case(case_id="K-1", kind="lost_item", severity="high", opened_at=now - timedelta(days=1)),
            Case(
                case_id="K-2", kind="complaint", severity="normal", opened_at=now - timedelta(days=3),
                resolved_at=now - timedelta(days=2),
            ),
        ),
        consents=(Consent(channel_id="push", purpose="marketing", is_granted=False, recorded_at=now, source="app"),),
        events=(RecentEvent(event_type="browse", at=now - timedelta(minutes=5)),),
        stage=StageMove(stage_id="new", at=now),
    )  # fmt: skip
    refused = Excluded(
        message_key="free-coffee/email/plain",
        reasons=(Exclusion.CAP_REACHED, Exclusion.QUIET_HOURS),
        details=("cap week: 3 of 3 in 7 days", ""),
        allowed_at=now + timedelta(days=2),
    )
    features = decision.inputs.features
    assert features is not None
    return replace(
        decision,
        excluded=(refused,),
        degraded=("features_stale",),
        ghost=Ghost(message_key="free-coffee/email/plain", action_probability=0.25),
        further=(Position(placement_id="side", message_key=SILENCE, action_probability=0.5, is_best=False),),
        retry_at=now + timedelta(hours=9),
        care=CaseState.OPEN,
        arms={"test": "a"},
        programme_holdouts=frozenset({"loyalty-programme"}),
        is_held_out=True,
        inputs=replace(
            decision.inputs,
            live=live,
            supply=Supply(used={"seats": 3.0}, prices_minor={"seats": 12.5}),
            allocated="free-coffee/email/plain",
            features=replace(features, values=np.array([np.nan, *features.values[1:]])),
        ),
    )


def test_an_agent_reads_what_was_decided_why_and_what_to_do(sent: Decision, now: datetime) -> None:
    assert explain_decision(rich(sent, now), Reader.AGENT) == (
        "Chosen: ten percent by e-mail (wording plain), because it is expected to be worth most with this customer.",
        "For placement side: silence.",
        (
            "Not possible: free coffee by e-mail, because a frequency cap is reached (cap week: 3 of 3 in 7 "
            "days); the channel is in quiet hours (until 2026-11-03T12:00+00:00)."
        ),
        "Unavailable at that moment: features stale.",
        "Try again from 2026-11-01T21:00+00:00.",
        "Service before sales: open.",
        "Open case: lost item, severity high, since 2026-10-31T12:00+00:00.",
    )


@pytest.mark.parametrize("reason", Reason)
def test_every_outcome_is_explained_to_an_agent(sent: Decision, reason: Reason) -> None:
    words = told(held(sent, reason), Reader.AGENT)
    assert words.startswith("Nothing is sent, because ")
    assert told(replace(sent, reason=reason), Reader.AGENT).startswith("Chosen: ten percent by e-mail")
    assert "because the policy" not in words or reason in {Reason.MODEL, Reason.PRECEDENCE}


def test_messages_of_an_offer_with_the_same_reasons_share_a_line(sent: Decision) -> None:
    words = explain_decision(held(sent, Reason.NOTHING_PERMITTED), Reader.AGENT)
    assert len([one for one in words if one.startswith("Not possible: free coffee")]) == 1


def test_an_agent_does_not_see_silence_among_the_refused_messages(sent: Decision) -> None:
    refused = Excluded(message_key=SILENCE, reasons=(Exclusion.CAP_REACHED,))
    assert "Not possible" not in told(replace(sent, excluded=(refused,)), Reader.AGENT)


def test_an_auditor_reads_everything_with_figures(sent: Decision, now: datetime) -> None:
    decision = rich(sent, now)
    words = told(decision, Reader.AUDITOR)
    for part in (
        "Decision D-1 about customer C-1 at touchpoint weekly-mail, made at 2026-11-01T12:00:00+00:00 (stage: active)",
        f"Policy {sent.policy_version}; model 7; degraded: features_stale.",
        "Action send, reason MODEL: ten-percent/email/plain with action probability 1.0",
        f"Draw: uniform {sent.inputs.uniform!r} from request key k-1.",
        "Plan over all customers: free-coffee/email/plain.",
        "Experiment arms: test: a; universal holdout: yes; programme holdouts: loyalty-programme.",
        "Ghost, never sent: free-coffee/email/plain with probability 0.25.",
        "Position 2 (placement side): silence with probability 0.5 given those before it; not the best left.",
        "Permitted: silence, probability 0.0, expected value 1000.0.",
        "(worth 350.0000, uplift 350.0 - contact cost 1.0 - fatigue 0.0 - shadow price 0.0) x context weight 1.0 x",
        (
            "Refused: free-coffee/email/plain: CAP_REACHED (cap week: 3 of 3 in 7 days); QUIET_HOURS (the channel is "
            "in quiet hours); passes from 2026-11-03T12:00:00+00:00."
        ),
        "Service before sales: open.",
        "Ask again at 2026-11-01T21:00:00+00:00.",
        "push for marketing: no, 2026-11-01T12:00:00+00:00, source app",
        "Features: 2 of 3 known, schema s1",
        "Book: version 3, 1 contacts; household version 0, 1 contacts.",
        "Live: 0 messages due, 0 responses, 1 recent events, 2 cases, stage move new, profiling None.",
        "Case K-1: lost_item, high, opened 2026-10-31 12:00:00+00:00, resolved None.",
        "Shared supply: used seats 3.0; prices seats 12.5.",
    ):
        assert part in words, part


def test_an_auditor_reads_about_a_decision_without_any_data(plain_policy: Policy, inputs_of: MakeInputs) -> None:
    decision = decide(plain_policy, inputs_of(plain_policy, customer=None, features=None, expected_values=None), "D-1")
    words = told(decision, Reader.AUDITOR)
    assert "Profile: none." in words
    assert "Features: none could be read, or none may be." in words
    assert "Permitted: silence, probability 1.0." in words


def test_a_declared_value_is_labelled_as_declared(plain_policy: Policy, inputs_of: MakeInputs) -> None:
    inputs = inputs_of(plain_policy, expected_values=None, supply=Supply(evidence={"opening-hours": 4}))
    words = told(decide(plain_policy, inputs, "D-1"), Reader.AUDITOR)
    assert "(worth 10.0000, as declared - contact cost" in words


def test_a_message_with_weight_0_has_an_unknown_worth(sent: Decision) -> None:
    evaluated = tuple(one._replace(business_weight=0.0, priority_minor=0.0) for one in sent.evaluated)
    assert "(worth unknown, since it weighs nothing, uplift" in told(replace(sent, evaluated=evaluated), Reader.AUDITOR)


def test_the_same_record_gives_the_same_sentences(sent: Decision, now: datetime) -> None:
    decision = rich(sent, now)
    for reader in Reader:
        assert explain_decision(decision, reader) == explain_decision(decision, reader)


def test_the_data_used_are_listed_by_category(sent: Decision, now: datetime) -> None:
    assert data_used(rich(sent, now)) == (
        DataCategory.CONSENTS, DataCategory.CHANNELS, DataCategory.DETAILS, DataCategory.PLACE, DataCategory.PURCHASES,
        DataCategory.VISITS, DataCategory.SERVICE, DataCategory.CONTACTS, DataCategory.HOUSEHOLD,
    )  # fmt: skip
    assert DataCategory.OTHER_USE in data_used(sent)  # `rich` lacks these data, so they were not used


def test_the_context_of_the_request_is_listed_as_data(plain_catalogue: Catalogue, inputs_of: MakeInputs) -> None:
    policy = Policy(plain_catalogue)
    inputs = inputs_of(policy)
    asked = replace(inputs.request, context={"basket_value": 3.0})
    assert DataCategory.SITUATION in data_used(decide(policy, replace(inputs, request=asked), "D-1"))
