"""Policies in the world: each sees only what it should, and all share the same rules and random numbers."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.message import SILENCE
from examples.conversion import canonical
from features.computing.compute import compute_features
from features.history import History
from features.log.contracts import TABLES
from features.online.profiles import customers_from_frame
from pipelines.simulation.contest.chronicle import Chronicle
from pipelines.simulation.contest.play import Beginning, Played, campaign_catalogue, play
from pipelines.simulation.events.frames import frames_of
from pipelines.simulation.policies.advantage import SilentFuture
from pipelines.simulation.policies.oracle import solve
from pipelines.simulation.policies.policies import (
    SURE_MINOR,
    Constant,
    Everything,
    Features,
    Monday,
    Oracle,
    Silence,
    Valuing,
    best_constant,
)
from pipelines.simulation.world.journey import FULL_MEMORY
from pipelines.simulation.world.world import World, campaign_messages

type MakeWorld = Callable[..., World]


WEEKS = 3


@pytest.fixture(scope="module")
def beginning(airline: Catalogue, make_world: MakeWorld) -> Beginning:
    """Six hundred customers with a history of silent weeks only, and little capacity."""
    world = make_world(600, 3)
    frames = {name: pl.DataFrame(schema=table.schema) for name, table in TABLES.items()}
    frames["customers"] = world.population.customers(world.starts_at)
    frames["events"] = pl.concat([canonical("events", frames_of(one).events) for one in world.prelude])
    small = tuple(replace(limit, amount=5.0) for limit in airline.limits)
    return Beginning(
        catalogue=replace(campaign_catalogue(airline), limits=small),
        world=world,
        customers=tuple(customers_from_frame(frames["customers"])),
        past=History(**frames),
    )


@pytest.fixture(scope="module")
def plays(beginning: Beginning) -> dict[str, Played]:
    world = beginning.world
    policies: dict[str, Valuing] = {
        "silence": Silence(),
        "everything": Everything(),
        "letters": Constant(key="come-back/direct_mail/letter"),
        "oracle": Oracle(plan=solve(world, WEEKS)),
    }
    return {name: play(beginning, valuing, WEEKS, name=name) for name, valuing in policies.items()}


def monday_of(beginning: Beginning, week: int = 0) -> Monday:
    world = beginning.world
    features = Features(names=(), values=np.zeros((world.population.size, 0)), schema="")
    messages = campaign_messages(beginning.catalogue)
    return Monday(week=week, world=world, messages=messages, features=features)


def test_a_campaign_catalogue_has_only_marketing_and_no_exploration(airline: Catalogue):
    catalogue = campaign_catalogue(airline)
    assert {one.offer_id for one in catalogue.creatives} < set(airline.offers)
    assert (catalogue.holdout, catalogue.experiments, catalogue.exploration.epsilon) == (None, (), 0.0)
    assert catalogue.limits == airline.limits
    assert catalogue.contact_policy == airline.contact_policy


def test_the_policy_everything_never_prefers_silence_and_rotates_messages(beginning: Beginning):
    first, second = (Everything().values(monday_of(beginning, week)) for week in (0, 1))
    assert (first[:, 1:] > first[:, :1]).all()
    assert (first[:, 1:].argmax(axis=1) != second[:, 1:].argmax(axis=1)).all()
    count = first.shape[1] - 1
    assert set(first[:count, 1:].argmax(axis=1).tolist()) == set(range(count))


def test_a_constant_policy_prefers_only_its_message_and_silence_none(beginning: Beginning):
    monday = monday_of(beginning)
    key = monday.messages[4].key
    values = Constant(key=key).values(monday)
    assert (values.argmax(axis=1) == monday.column(key)).all()
    assert (np.delete(values, [0, monday.column(key)], axis=1) == -SURE_MINOR).all()
    assert (Constant(key=SILENCE).values(monday).argmax(axis=1) == 0).all()


def test_the_oracle_values_actions_by_its_plan(beginning: Beginning):
    world, monday = beginning.world, monday_of(beginning)
    plan = solve(world, WEEKS, prices_minor={"email": 3.0})
    values = Oracle(plan=plan).values(monday)
    best = plan.actions(world.week, world.state)
    costs = np.array([message.channel.cost_minor for message in world.messages])
    prices = np.array([3.0 if message.channel.channel_id == "email" else 0.0 for message in world.messages])
    columns = [monday.column(message.key) for message in world.messages]
    net = np.column_stack([values[:, 0], values[:, columns] - costs - prices])
    net[:, 1:][~world.permitted()] = -np.inf
    assert (net.argmax(axis=1) - 1 == best).all()


def test_every_policy_keeps_every_rule_according_to_the_judge(plays: dict[str, Played]):
    assert plays["everything"].verdict.contacts > 600
    assert {name: one.verdict.total for name, one in plays.items()} == dict.fromkeys(plays, 0)


def test_scarce_capacity_is_used_up_and_not_exceeded(beginning: Beginning, plays: dict[str, Played]):
    most = beginning.catalogue.limits[0].amount * WEEKS
    assert sum(plays["letters"].messages.values()) == most == 15


def test_in_expectation_the_oracle_gains_most_and_silence_nothing(plays: dict[str, Played]):
    gains = {name: float(one.expected_minor.mean()) for name, one in plays.items()}
    assert gains["silence"] == 0
    assert gains["oracle"] > max(0.0, gains["everything"], gains["letters"])


def test_an_untouched_customer_behaves_the_same_under_every_policy(plays: dict[str, Played]):
    same = plays["letters"].gain_minor == plays["silence"].gain_minor
    assert same.sum() >= 600 - 15
    assert not (plays["everything"].gain_minor == plays["silence"].gain_minor).all()


def test_a_simulation_of_a_policy_is_reproducible(beginning: Beginning, plays: dict[str, Played]):
    again = play(beginning, Constant(key="come-back/direct_mail/letter"), WEEKS, name="letters")
    assert (again.gain_minor == plays["letters"].gain_minor).all()
    assert again.messages == plays["letters"].messages
    assert beginning.world.week == 0


def test_features_during_a_run_equal_those_computed_from_its_history(beginning: Beginning):
    world, catalogue = beginning.world, beginning.catalogue
    ids = tuple(str(one.customer_id) for one in beginning.customers)
    part = frames_of(world.copy().run_week(np.full(world.population.size, -1)))
    chronicle = Chronicle(catalogue=catalogue, customer_ids=ids, known=beginning.past)
    past = beginning.past
    events, outcomes = canonical("events", part.events), canonical("outcomes", part.outcomes)
    chronicle.add(replace(past, customers=past.customers.clear(), events=events, outcomes=outcomes))
    now = world.now + timedelta(weeks=1)
    some = chronicle.features(now, ["browse_recency_days", "search_recency_days"])
    whole = replace(past, events=pl.concat([past.events, canonical("events", part.events)]))
    anchors = pl.DataFrame({"customer_id": ids}).with_columns(at=pl.lit(now))
    computed = compute_features(whole, anchors, catalogue)
    assert set(some.names) == {"browse_recency_days", "search_recency_days"}
    for place, name in enumerate(some.names):
        np.testing.assert_array_equal(some.values[:, place], computed[name].fill_null(np.nan).to_numpy())
    assert chronicle.features(now).names[:2] == tuple(computed.columns[2:4])


def test_the_best_single_message_is_found_by_trying_each_within_capacity(make_world: MakeWorld):
    world = make_world(400, 3)
    key = best_constant(world, 3, {"call": 4.0})
    assert key in {SILENCE, *(message.key for message in world.messages)}
    assert world.week == 0
    nobody = dict.fromkeys(world.population.channels, 0.0)
    assert best_constant(world, 2, nobody) == SILENCE


def test_advantages_add_up_to_the_simulated_gain(make_world: MakeWorld, random_actions):
    gained, expected = [], []
    for seed in range(12):
        world = make_world(400, 3)
        world.seed = 100 + seed
        silent, future = world.copy(), SilentFuture(world, 4)
        total, difference = np.zeros(400), np.zeros(400)
        for _ in range(4):
            actions = random_actions(world, seed)
            total += future.advantage(world.week, world.state, actions)
            spoken, quiet = world.run_week(actions), silent.run_week(np.full(400, -1))
            difference += spoken.contribution_minor - spoken.cost_minor - quiet.contribution_minor
        gained.append(difference)
        expected.append(total)
    left = np.concatenate(gained) - np.concatenate(expected)
    assert abs(left.mean()) < 4 * left.std() / np.sqrt(left.size)
    assert np.concatenate(expected).std() < 0.5 * np.concatenate(gained).std()


def test_advantages_of_silence_and_for_unsubscribed_customers_are_0(make_world: MakeWorld):
    world = make_world(400, 3)
    size = world.population.size
    state = replace(world.state, has_left=np.ones(size, dtype=bool), memory=np.full(size, FULL_MEMORY))
    future = SilentFuture(world, 3)
    assert not future.advantage(0, state, np.full(size, -1)).any()
    assert np.isfinite(future.advantage(0, state, np.zeros(size, dtype=np.int64))).all()
