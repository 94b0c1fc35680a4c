"""Checking only some gates again, for the next slate position or a ghost, gives the same result as checking all."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.contact_policy import Cap, ContactPolicy
from decisioning.catalogue.experiment import ArmPolicy, Experiment, ProgrammeHoldout
from decisioning.catalogue.limits import Limit, LimitScope
from decisioning.catalogue.message_classes import CapScope
from decisioning.decision import Exclusion, Placement
from decisioning.gates.situation import FREED_LAYERS, SLATE_LAYERS, freed, in_slate
from decisioning.live import LiveState
from decisioning.policy import Policy
from tests.decisioning.gates.judging import DAY, KEY, MakeInputs, contact, permitted, reasons, situation


def slate_world(catalogue: Catalogue) -> Policy:
    """Caps, capacities and rules between offers that affect a slate."""
    offers = {
        **catalogue.offers,
        "ten-percent": replace(catalogue.offers["ten-percent"], never_with=frozenset({"free-coffee"})),
        "double-stamps": replace(catalogue.offers["double-stamps"], not_after={"opening-hours": DAY}),
    }
    caps = (
        Cap(cap_id="push", scope=CapScope.CHANNEL, of="push", limit=1, window_seconds=DAY),
        Cap(cap_id="all", scope=CapScope.EVERYTHING, limit=2, window_seconds=DAY),
    )
    limit = Limit(limit_id="mails", scope=LimitScope.CHANNEL, of="email", amount=1)
    return Policy(replace(catalogue, offers=offers, contact_policy=ContactPolicy(caps=caps), limits=(limit,)))


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        (
            "ten-percent/push/plain",
            {
                "ten-percent/email/plain": (Exclusion.ALREADY_IN_SLATE,),
                "ten-percent/push/plain": (Exclusion.ALREADY_IN_SLATE, Exclusion.CAP_REACHED),
                "free-coffee/email/plain": (Exclusion.INCOMPATIBLE,),
                "free-coffee/push/plain": (Exclusion.INCOMPATIBLE, Exclusion.CAP_REACHED),
                "double-stamps/push/plain": (Exclusion.CAP_REACHED,),
                "opening-hours/push/plain": (Exclusion.CAP_REACHED,),
            },
        ),
        (
            "opening-hours/email/plain",
            {
                "opening-hours/email/plain": (Exclusion.ALREADY_IN_SLATE, Exclusion.CAPACITY_FULL),
                "opening-hours/push/plain": (Exclusion.ALREADY_IN_SLATE,),
                "double-stamps/email/plain": (Exclusion.INCOMPATIBLE, Exclusion.CAPACITY_FULL),
                "double-stamps/push/plain": (Exclusion.INCOMPATIBLE,),
                "ten-percent/email/plain": (Exclusion.CAPACITY_FULL,),
                "free-coffee/email/plain": (Exclusion.CAPACITY_FULL,),
            },
        ),
        (
            "double-stamps/email/plain",
            {
                "double-stamps/email/plain": (Exclusion.ALREADY_IN_SLATE, Exclusion.CAPACITY_FULL),
                "double-stamps/push/plain": (Exclusion.ALREADY_IN_SLATE,),
                "opening-hours/email/plain": (Exclusion.INCOMPATIBLE, Exclusion.CAPACITY_FULL),
                "opening-hours/push/plain": (Exclusion.INCOMPATIBLE,),
                "ten-percent/email/plain": (Exclusion.CAPACITY_FULL,),
                "free-coffee/email/plain": (Exclusion.CAPACITY_FULL,),
            },
        ),
        ("silence", {}),
    ],
)
def test_a_slate_counts_what_its_earlier_positions_take(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, first: str, expected: dict[str, tuple[Exclusion, ...]]
) -> None:
    policy = slate_world(plain_catalogue)
    board = policy.board("weekly-mail")
    start = situation(policy, inputs_of(policy))
    before = board.screen(start)
    assert before.excluded == ()
    chosen = next((one for one in board.lineup.candidates if one.key == first), None)
    after = in_slate(start, chosen, Placement(placement_id="2"))
    again = board.screen_again(before, after, SLATE_LAYERS)
    assert {one.message_key: one.reasons for one in again.excluded} == expected
    assert again == board.screen(after)


def test_reasons_of_a_second_check_keep_the_order_of_the_gates(
    plain_catalogue: Catalogue, inputs_of: MakeInputs
) -> None:
    policy = slate_world(plain_catalogue)
    board = policy.board("weekly-mail")
    start = situation(policy, inputs_of(policy, consents=(), expected_values=None))
    chosen = next(one for one in board.lineup.candidates if one.key == "ten-percent/push/plain")
    after = in_slate(start, chosen, Placement(placement_id="2"))
    again = board.screen_again(board.screen(start), after, SLATE_LAYERS)
    assert again == board.screen(after)
    assert reasons(again, "free-coffee/push/plain") == (
        Exclusion.NO_CONSENT,
        Exclusion.INCOMPATIBLE,
        Exclusion.CAP_REACHED,
        Exclusion.NOT_SCORED,
    )


def test_the_next_placement_may_accept_other_channels(plain_policy: Policy, inputs_of: MakeInputs) -> None:
    board = plain_policy.board("weekly-mail")
    mail = Placement(placement_id="mail", channels=frozenset({"email"}))
    start = situation(plain_policy, inputs_of(plain_policy, placements=(mail,), expected_values=None))
    before = board.screen(start)
    after = in_slate(start, None, Placement(placement_id="app", channels=frozenset({"push"})))
    again = board.screen_again(before, after, SLATE_LAYERS)
    assert again == board.screen(after)
    assert permitted(plain_policy, again) == {"opening-hours/push/plain"}
    assert reasons(again) == (Exclusion.CHANNEL_NOT_ASKED, Exclusion.NOT_SCORED)


def test_a_ghost_passes_the_same_gates_with_the_ghost_contacts(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, now: datetime, experiment_of: Callable[..., Experiment]
) -> None:
    cap = Cap(cap_id="once", scope=CapScope.OFFER, limit=1, window_seconds=DAY)
    policy = Policy(
        replace(
            plain_catalogue,
            contact_policy=ContactPolicy(caps=(cap,)),
            experiments=(experiment_of(ArmPolicy.SILENCE),),
            programme_holdouts=(ProgrammeHoldout(programme_id="p", share=1.0, salt="s", goals=frozenset({"loyalty"})),),
        )
    )
    ghost = replace(contact(policy, KEY, now - timedelta(hours=1)), is_ghost=True)
    board = policy.board("weekly-mail")
    inputs = inputs_of(policy, live=LiveState(contacts=(ghost,)), unfit={"free-coffee/push/plain": "image is missing"})
    start = situation(policy, inputs)
    before = board.screen(start)
    assert reasons(before) == (Exclusion.PROGRAMME_HOLDOUT, Exclusion.EXPERIMENT_ARM)
    again = board.screen_again(before, freed(start), FREED_LAYERS)
    assert again == board.screen(freed(start))
    assert {one.message_key: one.reasons for one in again.excluded} == {
        KEY: (Exclusion.CAP_REACHED,),
        "ten-percent/push/plain": (Exclusion.CAP_REACHED,),
        "free-coffee/push/plain": (Exclusion.CREATIVE_UNFIT,),
    }
