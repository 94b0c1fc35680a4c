"""Evaluated as served: contacts so far and residuals of the moment come from the records of own decisions."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from decisioning.catalogue.contact_policy import Cap, CapScope
from decisioning.decision import Inputs
from decisioning.foresight.slots import Foresight, SlotPrices
from decisioning.policy import Policy
from decisioning.residuals import Residuals
from decisioning.value_model import ValueModel
from features.history import History
from features.log.contracts import DECISIONS
from features.models.bundle import value_model
from features.models.logged_decisions import LoggedDecisions
from tests.pipelines.conftest import MOMENT, DecidedHome
from training.off_policy.choices import PolicyChoices, choose, policy_to_judge
from training.off_policy.logged_moments import LoggedMoment, logged_moments

FAVOURITE = "double-stamps/email/plain"
NUMBERS = [number for number in range(90) if number % 3]
"""Asks of the weekly mail; every fourth was about somebody who had been contacted three days before."""


@pytest.fixture
def recorded(decided_home: DecidedHome) -> pl.DataFrame:
    """Canonical rows of decisions for which outcomes had said by then that one message is worth far more."""
    keys = [message.key for message in decided_home.policy.candidates("weekly-mail")]
    told = np.array([0.0, *(50_000.0 * (key == FAVOURITE) for key in keys)])
    residuals = Residuals(told, told, np.where(told > 0, 1.0, np.inf), np.where(told > 0, 30.0, 0.0))
    stages = (*(stage.stage_id for stage in decided_home.policy.catalogue.stages), "")

    def learned(inputs: Inputs) -> Inputs:
        return replace(inputs, residuals=dict.fromkeys(stages, residuals))

    for number in NUMBERS:
        decided_home.decide(range(number, number + 1), change_inputs=learned)
    return decided_home.log.read(DECISIONS).filter(pl.col("record").is_not_null())


@pytest.fixture
def moments(decided_home: DecidedHome, recorded: pl.DataFrame) -> Callable[..., dict[str, LoggedMoment]]:
    def read(version: str = "7", **learning: Any) -> dict[str, LoggedMoment]:
        catalogue = decided_home.policy.catalogue
        assert catalogue.learning is not None
        policy = Policy(replace(catalogue, learning=replace(catalogue.learning, **learning)))
        return logged_moments(recorded, LoggedDecisions(decided_home.settings), policy, version)

    return read


@pytest.fixture
def history(shop, recorded: pl.DataFrame) -> History:
    """The shop's customers, each with one of the recorded decisions."""
    own = recorded.filter(pl.col("touchpoint") == "weekly-mail").sort("decision_id")
    customers = shop.customers["customer_id"].unique().sort().head(own.height)
    decisions = own.with_columns(
        customer_id=customers, window_ends_at=pl.lit(MOMENT + timedelta(days=7)).cast(pl.Datetime("us", "UTC"))
    )
    frames = {name: getattr(shop, name) for name in ("customers", "events", "outcomes")}
    return History(**frames, decisions=decisions.drop("record"))


@pytest.fixture
def model(decided_home: DecidedHome, value_bundle) -> ValueModel:
    return value_model(value_bundle(decided_home.policy.catalogue), version="7")


def decided(home: DecidedHome, history: History, model: ValueModel, **options: Any) -> PolicyChoices:
    days = {"starts_at": pl.col("decided_at"), "ends_at": pl.col("window_ends_at")}
    policy = policy_to_judge(home.policy.catalogue, home.settings.policy_seed)
    return choose(history, history.decisions.with_columns(**days), policy, model, **options)


def test_residuals_count_only_on_top_of_the_model_that_they_are_about(moments) -> None:
    assert {bool(one.residuals) for one in moments().values()} == {True}
    assert {bool(one.residuals) for one in moments("8").values()} == {False}
    assert {bool(one.residuals) for one in moments(in_minutes=False).values()} == {False}
    assert len(moments("8")) == len(moments()) == len(NUMBERS)
    assert sum(bool(one.live.contacts) for one in moments().values()) == sum(one % 4 == 0 for one in NUMBERS)


def test_choices_are_made_with_what_outcomes_had_said_by_then(decided_home, history, model, moments) -> None:
    stages = (*(stage.stage_id for stage in decided_home.policy.catalogue.stages), "")
    at_any_stage = {
        name: replace(one, residuals=dict.fromkeys(stages, next(iter(one.residuals.values()))))
        for name, one in moments().items()
    }
    without, with_them = (decided(decided_home, history, model, moments=one) for one in ({}, at_any_stage))
    favourite = with_them.keys.index(FAVOURITE)
    possible = with_them.permitted[:, favourite]
    assert possible.mean() > 0.5
    assert (with_them.greedy[possible] == favourite).all()
    assert not (without.greedy == favourite).all()
    np.testing.assert_array_equal(without.alone, without.greedy)
    assert (with_them.alone != with_them.greedy).any()
    np.testing.assert_array_equal(with_them.predicted, without.predicted)
    assert with_them.has_residuals[with_them.is_known].all()
    assert not without.has_residuals.any()


def test_room_is_priced_by_the_contacts_that_the_record_names(decided_home, history, model, moments) -> None:
    """Room under a cap is worth more than any message to whoever was contacted, and nothing to others."""
    catalogue = decided_home.policy.catalogue
    step, week = (timedelta(days=days).total_seconds() for days in (1, 7))
    cap = Cap(cap_id="week", scope=CapScope.EVERYTHING, limit=3, window_seconds=week)
    capped = replace(catalogue, contact_policy=replace(catalogue.contact_policy, caps=(cap,)))
    home = replace(decided_home, policy=Policy(capped, decided_home.settings.policy_seed))
    prices = SlotPrices(
        cap_id="week", of="", limit=3, window_seconds=week, step_seconds=step,
        edges_minor=(), prices_minor=dict.fromkeys(range(1, 2**7), (1e9,)),
    )  # fmt: skip
    priced = replace(model, foresight=Foresight(slots=(prices,)))
    alone = {name: replace(one, residuals={}) for name, one in moments().items()}
    found, plain = (decided(home, history, one, moments=alone) for one in (priced, model))
    contacted = np.array([bool(alone[one].live.contacts) for one in history.decisions["decision_id"]])
    assert (plain.greedy[contacted] > 0).any()
    is_marketing = np.array([key.startswith(("ten-percent", "free-coffee", "double-stamps")) for key in found.keys])
    assert not is_marketing[found.greedy[contacted]].any()
    np.testing.assert_array_equal(found.greedy[~contacted], plain.greedy[~contacted])
    np.testing.assert_array_equal(found.alone, plain.greedy)
