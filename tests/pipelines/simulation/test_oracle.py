"""Known truth: closed forms agree with simulation, and no policy beats the oracle."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.errors import InvalidInputError
from pipelines.simulation.policies import oracle
from pipelines.simulation.policies.advantage import SilentFuture
from pipelines.simulation.world.flights import flights_at
from pipelines.simulation.world.journey import FULL_MEMORY, MEMORIES, JourneyStep
from pipelines.simulation.world.moves import Chain
from pipelines.simulation.world.structure import Structure
from pipelines.simulation.world.world import World

SIZE = 20_000
FEWER = 8_000
"""Enough customers for simulations over several weeks."""
WEEKS = 6


def _place(world: World, key: str) -> int:
    return next(place for place, one in enumerate(world.messages) if one.key == key)


def _error(differences: np.ndarray) -> float:
    return float(differences.std() / np.sqrt(differences.size))


def _live(world: World, actions: Callable[[World], np.ndarray], weeks: int) -> np.ndarray:
    """Contribution minus contact costs per customer."""
    living, total = world.copy(), np.zeros(world.population.size)
    for _ in range(weeks):
        result = living.run_week(actions(living))
        total += result.contribution_minor - result.cost_minor
    return total


@pytest.mark.parametrize(
    ("step", "key"),
    [
        (JourneyStep.PLAN, None),
        (JourneyStep.PREPARE, None),
        (JourneyStep.PLAN, "favourite-deal/email/deal"),
        (JourneyStep.PLAN, "fare-alert/in_app/alert"),
        (JourneyStep.BOOK_2, "extra-bag/email/offer"),
        (JourneyStep.RETURN_1, "bring-a-friend/email/invite"),
        (JourneyStep.LATE_2, "bring-a-friend/email/invite"),
        (JourneyStep.LAPSE, "come-back/email/mail"),
        (JourneyStep.DREAM, "help-choose/email/vote"),
    ],
)
def test_a_weeks_mean_contribution_equals_its_closed_form(
    make_world: Callable, standing_at: Callable, step: JourneyStep, key: str | None
) -> None:
    world = standing_at(make_world(SIZE), step)
    action = -1 if key is None else _place(world, key)
    expected = oracle.solve(world, 1).values(0, world.state)[:, action + 1]
    result = world.copy().run_week(np.full(SIZE, action))
    difference = result.contribution_minor - result.cost_minor - expected
    assert abs(difference.mean()) < 4 * _error(difference)
    if step is not JourneyStep.DREAM and key is not None:
        silent = world.run_week(np.full(SIZE, -1))
        changed = result.contribution_minor - silent.contribution_minor
        assert abs(changed).max() > 0


@pytest.mark.parametrize("step", list(JourneyStep))
def test_customers_move_between_stages_as_often_as_the_chain_says(
    make_world: Callable, standing_at: Callable, step: JourneyStep
) -> None:
    """Return trips use the week's real flights, so their rates are exact too."""
    world = standing_at(make_world(FEWER), step)
    moves = Chain(world.effects, flights_at(world.now)).moves(step, slice(None))
    after = world.run_week(np.full(FEWER, -1)).after.step
    assert sum(probability for _, probability in moves) == pytest.approx(np.ones(FEWER))
    for towards, probability in moves:
        error = np.sqrt(np.mean(probability * (1 - probability)) / FEWER)
        assert abs(np.mean(after == towards) - probability.mean()) <= 4 * error + 1e-12


def test_customers_see_messages_and_unsubscribe_as_often_as_the_equations_say(
    make_world: Callable, standing_at: Callable
) -> None:
    world = standing_at(make_world(SIZE), JourneyStep.DREAM)
    action = _place(world, "favourite-deal/display/banner")
    effects, state = world.effects, world.state
    seen = effects.seen_probability(action, slice(None), state.memory)
    leaving = seen * effects.leaving_probability(action, slice(None), JourneyStep.DREAM, state.memory)
    result = world.run_week(np.full(SIZE, action))
    for drawn, probability in ((result.is_seen, seen), (result.is_leaving, leaving)):
        assert abs(drawn.mean() - probability.mean()) < 4 * np.sqrt(np.mean(probability * (1 - probability)) / SIZE)


def test_the_true_uplift_of_a_message_equals_the_difference_between_twin_worlds(
    make_world: Callable, standing_at: Callable
) -> None:
    world = standing_at(make_world(FEWER), JourneyStep.PLAN)
    action = _place(world, "fare-alert/email/alert")
    uplift = SilentFuture(world, 4).advantage(0, world.state, np.full(FEWER, action))

    def once(living: World) -> np.ndarray:
        return np.full(FEWER, action if living.week == 0 else -1)

    shown = _live(world, once, 4) - _live(world, lambda _: np.full(FEWER, -1), 4)
    assert abs(np.mean(shown - uplift)) < 4 * _error(shown - uplift)
    assert uplift.mean() > 20


def test_the_plans_value_equals_the_simulated_gain_of_following_it(make_world: Callable) -> None:
    world = make_world(FEWER)
    plan = oracle.solve(world, WEEKS)
    lived = _live(world, lambda living: plan.actions(living.week, living.state), WEEKS)
    silent = _live(world, lambda _: np.full(FEWER, -1), WEEKS)
    assert abs(np.mean(lived - plan.value)) < 4 * _error(lived - plan.value)
    assert abs(np.mean(silent - plan.silence_value)) < 4 * _error(silent - plan.silence_value)
    gain = lived - silent - (plan.value - plan.silence_value)
    assert abs(gain.mean()) < 4 * _error(gain)
    assert np.mean(plan.value - plan.silence_value) > 50


def test_the_plans_value_is_that_of_its_best_permitted_action(make_world: Callable) -> None:
    world = make_world()
    world.state = replace(world.state, memory=np.arange(1_500) % MEMORIES)
    plan = oracle.solve(world, WEEKS)
    values = plan.values(0, world.state)
    values[:, 1:][~world.permitted()] = -np.inf
    assert plan.value == pytest.approx(values.max(axis=1), rel=1e-4, abs=0.05)
    assert (plan.value >= plan.silence_value - 0.05).all()


@pytest.fixture(scope="module")
def three_weeks(make_world: Callable) -> oracle.OraclePlan:
    return oracle.solve(make_world(), 3)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_no_permitted_policy_beats_the_plan(
    make_world: Callable, random_actions: Callable, three_weeks: oracle.OraclePlan, seed: int
) -> None:
    world, plan = make_world(), three_weeks
    lived = _live(world, lambda living: random_actions(living, seed), 3)
    beaten = lived - plan.value
    assert beaten.mean() < 4 * _error(beaten)
    chosen = random_actions(world, seed)
    values = plan.values(0, world.state)
    assert (values[np.arange(chosen.size), chosen + 1] <= plan.value + 0.05).all()


def test_the_plan_includes_the_loss_when_customers_unsubscribe(make_world: Callable) -> None:
    """With customers who unsubscribe easily and plan far fewer trips when they are angry."""
    calm = make_world(FEWER)
    people = replace(calm.population, irritability=np.full(FEWER, 0.3))
    touchy = World(people, Structure(left_log_odds=-2.0), calm.messages, calm.starts_at, 5)
    plan = oracle.solve(touchy, WEEKS)
    often = _live(touchy, lambda living: np.where(living.permitted()[:, 0], 0, -1), WEEKS)
    lived = _live(touchy, lambda living: plan.actions(living.week, living.state), WEEKS)
    assert abs(np.mean(lived - plan.value)) < 4 * _error(lived - plan.value)
    first = np.where(touchy.permitted()[:, 0], 0, -1)
    rest = plan.values(0, touchy.state)[np.arange(FEWER), first + 1]
    once = _live(touchy, lambda living: first if living.week == 0 else plan.actions(living.week, living.state), WEEKS)
    assert abs(np.mean(once - rest)) < 4 * _error(once - rest)
    assert often.mean() < lived.mean()


def test_customers_who_unsubscribed_have_no_gain(make_world: Callable) -> None:
    world = make_world()
    world.state = replace(world.state, has_left=np.ones(1_500, dtype=bool))
    plan = oracle.solve(world, WEEKS)
    assert plan.value == pytest.approx(plan.silence_value, rel=1e-5)
    assert (plan.actions(0, world.state) == -1).all()


def test_the_plan_keeps_the_cap_of_three_in_four_weeks(make_world: Callable) -> None:
    world = make_world()
    plan, sent = oracle.solve(world, WEEKS), []
    for week in range(WEEKS):
        actions = plan.actions(week, world.state)
        assert (actions[world.state.memory == FULL_MEMORY] == -1).all()
        sent.append(actions >= 0)
        world.run_week(actions)
    windows = [sum(sent[begin : begin + 4]) for begin in range(WEEKS - 3)]
    assert max(window.max() for window in windows) == 3


def test_the_values_of_a_plan_can_leave_out_the_contact_cost(make_world: Callable) -> None:
    world = make_world(300)
    plan = oracle.solve(world, 2)
    net, gross = plan.values(0, world.state), plan.values(0, world.state, before_contact_cost=True)
    assert gross[:, 1:] - net[:, 1:] == pytest.approx(np.tile(world.effects.cost_minor, (300, 1)))
    assert np.array_equal(gross[:, 0], net[:, 0])


def test_prices_keep_a_scarce_channel_within_capacity_and_give_an_upper_bound(make_world: Callable) -> None:
    world, weeks = make_world(), 4
    email = world.population.channels.index("email")
    capacities = {"email": 40.0, "call": 200.0}
    found = oracle.prices(world, weeks, capacities, rounds=12)
    free, priced = oracle.solve(world, weeks), oracle.solve(world, weeks, prices_minor=found)

    def use(plan: oracle.OraclePlan) -> int:
        living, used = world.copy(), 0
        for week in range(weeks):
            actions = plan.actions(week, living.state)
            used += int(np.sum(world.effects.channel[actions[actions >= 0]] == email))
            living.run_week(actions)
        return used

    room = capacities["email"] * weeks
    assert found["email"] > 0
    assert found["call"] == 0
    assert use(free) > 2 * room
    assert 0.7 * room < use(priced) <= room
    bound = priced.value.sum() + found["email"] * room
    lived = _live(world, lambda living: priced.actions(living.week, living.state), weeks)
    assert bound < free.value.sum()
    assert bound > priced.silence_value.sum()
    assert (lived - priced.value).sum() < found["email"] * room + 4 * _error(lived - priced.value) * lived.size


def test_a_price_lowers_the_value_of_its_channel_only(make_world: Callable) -> None:
    world = make_world(300)
    plain = oracle.solve(world, 1).values(0, world.state)
    dear = oracle.solve(world, 1, prices_minor={"email": 10.0}).values(0, world.state)
    by_email = np.array([one.channel.channel_id == "email" for one in world.messages])
    assert plain[:, 1:][:, by_email] - dear[:, 1:][:, by_email] == pytest.approx(10.0)
    assert np.array_equal(plain[:, 1:][:, ~by_email], dear[:, 1:][:, ~by_email])


@pytest.mark.parametrize(
    ("weeks", "given_prices", "message"),
    [(0, {}, "weeks must"), (2, {"fax": 1.0}, "channels that there are"), (2, {"email": -1.0}, "0 or more")],
)
def test_invalid_plans_are_refused(make_world: Callable, weeks: int, given_prices: dict, message: str) -> None:
    with pytest.raises(InvalidInputError, match=message):
        oracle.solve(make_world(300), weeks, prices_minor=given_prices)


@pytest.mark.parametrize("week", [-1, 2])
def test_a_plan_covers_its_own_weeks_only(make_world: Callable, week: int) -> None:
    world = make_world(300)
    with pytest.raises(InvalidInputError, match="week must be in"):
        oracle.solve(world, 2).values(week, world.state)
