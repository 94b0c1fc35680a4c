"""Ghosts: the message a held-out customer would have got after the same gates."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.contact_policy import Cap, Contact, ContactPolicy
from decisioning.catalogue.experiment import ArmPolicy, Experiment, Holdout, ProgrammeHoldout
from decisioning.catalogue.exploration import Exploration, ExplorationKind
from decisioning.catalogue.message_classes import CapScope
from decisioning.decision import Ghost, Inputs, Placement, Reason
from decisioning.live import LiveState
from decisioning.policy import Policy, decide
from tests.touches import make_touch

type MakeInputs = Callable[..., Inputs]
HOLDOUT = Holdout(share=1.0, salt="h")
PROGRAMME = ProgrammeHoldout(programme_id="loyalty", share=1.0, salt="p", goals=frozenset({"loyalty"}))


def kept_back(catalogue: Catalogue, experiment_of: Callable[..., Experiment]) -> dict[str, Catalogue]:
    return {
        "universal": replace(catalogue, holdout=HOLDOUT),
        "programme": replace(catalogue, programme_holdouts=(PROGRAMME,)),
        "silent arm": replace(catalogue, experiments=(experiment_of(ArmPolicy.SILENCE),)),
    }


@settings(max_examples=60, deadline=None)
@given(
    scores=st.none() | st.lists(st.floats(-1e3, 1e4), min_size=9, max_size=9),
    reach=st.sets(st.sampled_from(["email", "push"])),
    uniform=st.floats(0, 1, exclude_max=True),
    kind=st.sampled_from(ExplorationKind),
    excluded=st.sets(st.sampled_from(["ten-percent", "opening-hours", "double-stamps"])),
)
def test_a_ghost_is_the_decision_without_the_holdout_or_silent_arm(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, experiment_of: Callable[..., Experiment], **drawn: Any
) -> None:
    exploring = replace(plain_catalogue, exploration=Exploration(kind=drawn["kind"], epsilon=0.4, min_probability=0.03))
    fields = {
        "expected_values": None if drawn["scores"] is None else np.array(drawn["scores"]),
        "reachable_channels": frozenset(drawn["reach"]),
        "uniform": drawn["uniform"],
        "excluded_offers": frozenset(drawn["excluded"]),
    }
    free = Policy(exploring)
    without = decide(free, inputs_of(free, **fields), "D-1")
    marketing = [one for one in without.evaluated if one.message_key.split("/")[0] not in {"silence", "opening-hours"}]
    for catalogue in kept_back(exploring, experiment_of).values():
        policy = Policy(catalogue)
        decision = decide(policy, inputs_of(policy, **fields), "D-1")
        expected = Ghost(message_key=without.message_key, action_probability=without.action_probability)
        assert decision.ghost == (expected if marketing else None)
        assert decision.offer_id in {None, "opening-hours"}


def test_a_message_that_a_gate_refuses_is_never_a_ghost(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, experiment_of: Callable[..., Experiment]
) -> None:
    for catalogue in kept_back(plain_catalogue, experiment_of).values():
        policy = Policy(catalogue)
        assert decide(policy, inputs_of(policy, consents=()), "D-1").ghost is None
        adult = decide(policy, inputs_of(policy), "D-1").ghost
        minor = decide(policy, inputs_of(policy, attributes={"age": 17}), "D-1").ghost
        assert adult is not None
        assert minor is not None
        assert (adult.message_key, minor.message_key) == ("ten-percent/push/plain", "free-coffee/push/plain")


def test_without_a_holdout_there_is_no_ghost(plain_policy: Policy, inputs_of: MakeInputs) -> None:
    assert decide(plain_policy, inputs_of(plain_policy), "D-1").ghost is None


def test_a_programme_holdout_holds_back_its_own_messages_only(
    plain_catalogue: Catalogue, inputs_of: MakeInputs
) -> None:
    programme = replace(PROGRAMME, goals=frozenset(), offers=frozenset({"ten-percent"}))
    policy = Policy(replace(plain_catalogue, programme_holdouts=(programme,)))
    decision = decide(policy, inputs_of(policy), "D-1")
    assert (decision.message_key, decision.reason) == ("free-coffee/push/plain", Reason.MODEL)
    assert decision.ghost == Ghost(message_key="ten-percent/push/plain", action_probability=1.0)
    assert decision.programme_holdouts == frozenset({"loyalty"})
    department = replace(PROGRAMME, goals=frozenset(), departments=frozenset({"marketing"}))
    held = Policy(replace(plain_catalogue, programme_holdouts=(department,)))
    alone = decide(held, inputs_of(held, excluded_offers=frozenset({"opening-hours"})), "D-1")
    assert (alone.message_key, alone.reason) == ("silence", Reason.PROGRAMME_HOLDOUT)


def contact(now: datetime, *, is_ghost: bool) -> Contact:
    touch = make_touch("double-stamps", "push")
    return Contact(contact_id="d0", touch=touch, at=now - timedelta(days=1), is_confirmed=True, is_ghost=is_ghost)


@pytest.mark.parametrize(("limit", "has_ghost"), [(1, False), (2, True)])
def test_ghost_contacts_count_towards_the_caps_of_held_out_customers(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, now: datetime, limit: int, *, has_ghost: bool
) -> None:
    cap = Cap(cap_id="m", scope=CapScope.DEPARTMENT, of="marketing", limit=limit, window_seconds=7 * 86_400.0)
    policy = Policy(replace(plain_catalogue, holdout=HOLDOUT, contact_policy=ContactPolicy(caps=(cap,))))
    live = LiveState(contacts=(contact(now, is_ghost=True),))
    decision = decide(policy, inputs_of(policy, live=live), "D-1")
    assert (decision.ghost is not None) is has_ghost


def test_ghost_contacts_do_not_count_for_customers_who_get_messages(
    plain_catalogue: Catalogue, inputs_of: MakeInputs, now: datetime
) -> None:
    cap = Cap(cap_id="m", scope=CapScope.DEPARTMENT, of="marketing", limit=1, window_seconds=7 * 86_400.0)
    policy = Policy(replace(plain_catalogue, contact_policy=ContactPolicy(caps=(cap,))))
    for is_ghost, offer_id in ((True, "ten-percent"), (False, "opening-hours")):
        live = LiveState(contacts=(contact(now, is_ghost=is_ghost),))
        assert decide(policy, inputs_of(policy, live=live), "D-1").offer_id == offer_id


def test_a_ghost_may_be_silence_and_a_slate_has_one_ghost(plain_catalogue: Catalogue, inputs_of: MakeInputs) -> None:
    policy = Policy(replace(plain_catalogue, holdout=HOLDOUT, exploration=Exploration(epsilon=1.0)))
    placements = (Placement(placement_id="a"), Placement(placement_id="b"))
    decision = decide(policy, inputs_of(policy, uniform=0.0, placements=placements), "D-1")
    assert decision.ghost == Ghost(message_key="silence", action_probability=1 / 9)
    assert len(decision.further) == 1


def test_an_allocation_also_decides_the_ghost(plain_catalogue: Catalogue, inputs_of: MakeInputs) -> None:
    policy = Policy(replace(plain_catalogue, holdout=HOLDOUT))
    decision = decide(policy, inputs_of(policy, allocated="double-stamps/email/plain"), "D-1")
    assert decision.ghost == Ghost(message_key="double-stamps/email/plain", action_probability=1.0)
