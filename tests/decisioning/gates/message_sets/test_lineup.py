"""Sets of candidates and the reasons against them, expanded for a single message on request."""

from datetime import timedelta

from decisioning.catalogue.contact_policy import Cap, ContactPolicy
from decisioning.catalogue.limits import Supply
from decisioning.catalogue.message import MessageClass
from decisioning.catalogue.message_classes import CapScope
from decisioning.choice.price_list import PriceList
from decisioning.decision import Exclusion
from decisioning.gates.message_sets.grouping import members_of
from decisioning.policy import Policy
from tests.decisioning.gates.contact_book import NOW, contact_at, touch_of
from tests.decisioning.gates.contact_book import ledger as ledger_of
from tests.decisioning.gates.judging import DAY, KEY, MakeInputs, judge, situation


def test_a_lineup_finds_its_messages_by_key_and_by_offer(plain_policy: Policy) -> None:
    lineup = plain_policy.board("weekly-mail").lineup
    [place] = members_of(lineup.of_keys([KEY, "no/such/message"]))
    assert lineup.keys[place] == KEY
    mails = [lineup.keys[place] for place in members_of(lineup.of_offers(["ten-percent", "no-such-offer"]))]
    assert mails == ["ten-percent/email/plain", "ten-percent/push/plain"]
    assert lineup.of_keys([]) == lineup.of_offers([]) == 0


def test_exclusions_behave_like_a_tuple(plain_policy: Policy, inputs_of: MakeInputs) -> None:
    excluded = judge(plain_policy, inputs_of, channels=frozenset({"push"}), expected_values=None).excluded
    assert len(excluded) == len(tuple(excluded)) == 7
    assert excluded == tuple(excluded)
    assert excluded == judge(plain_policy, inputs_of, channels=frozenset({"push"}), expected_values=None).excluded
    assert hash(excluded) == hash(tuple(excluded))
    assert repr(excluded) == repr(tuple(excluded))
    assert excluded[1:3] == tuple(excluded)[1:3]
    assert excluded[0].reasons == (Exclusion.CHANNEL_NOT_ASKED, Exclusion.NOT_SCORED)


def test_of_two_overlapping_caps_the_longer_lasting_is_reported(plain_policy: Policy) -> None:
    lineup = plain_policy.board("weekly-mail").lineup
    touch = next(one.touch for one in lineup.candidates if one.key == KEY)
    caps = (
        Cap(cap_id="mail", scope=CapScope.CHANNEL, of="email", limit=1, window_seconds=DAY),
        Cap(cap_id="offer", scope=CapScope.OFFER, limit=1, window_seconds=2 * DAY),
    )
    book = ledger_of(ContactPolicy(caps=caps), [contact_at(NOW - timedelta(hours=1), touch)])
    told = {
        lineup.keys[place]: refusal
        for found, refusal in book.refusals(lineup.touch_groups)
        for place in members_of(found)
    }
    assert told == {one.key: found for one in lineup.candidates if (found := book.refusal(one.touch)) is not None}
    assert {key: refusal[1].split(":")[0] for key, refusal in told.items()} == {
        "double-stamps/email/plain": "cap mail",
        "free-coffee/email/plain": "cap mail",
        "opening-hours/email/plain": "cap mail",
        "ten-percent/email/plain": "cap offer",
        "ten-percent/push/plain": "cap offer",
    }


def test_what_a_cap_says_of_several_channels_comes_in_the_order_of_the_contacts_that_count(
    plain_policy: Policy,
) -> None:
    lineup = plain_policy.board("weekly-mail").lineup
    cap = Cap(cap_id="each", scope=CapScope.CHANNEL, limit=1, window_seconds=DAY)
    made = [
        touch_of(channel_id="push", message_class=MessageClass.RECOVERY),  # counts towards no channel
        touch_of(channel_id="email"),
        touch_of(channel_id="push"),
    ]
    contacts = [contact_at(NOW - timedelta(hours=hour), touch) for hour, touch in enumerate(made, start=1)]
    said = ledger_of(ContactPolicy(caps=(cap,)), contacts).refusals(lineup.touch_groups)
    told = [lineup.candidates[place].channel_id for messages, _ in said for place in members_of(messages)]
    assert list(dict.fromkeys(told)) == ["email", "push"]


def test_evidence_about_offers_of_other_touchpoints_is_ignored(plain_policy: Policy, inputs_of: MakeInputs) -> None:
    price_list = PriceList(plain_policy.catalogue, plain_policy.board("weekly-mail").lineup)
    now = situation(plain_policy, inputs_of(plain_policy, supply=Supply(evidence={"ten-percent": 7, "elsewhere": 9})))
    evidence = price_list.charges(now, takes_levers=True).evidence
    assert sorted(set(evidence.tolist())) == [-1, 7]
