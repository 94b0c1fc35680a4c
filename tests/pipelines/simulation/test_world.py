"""The world: one random number per customer and cause, weeks visible in events, and money that adds up."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import orjson
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.catalogue.care import Case, CaseState, case_standing
from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.message import MessageClass
from decisioning.errors import InvalidInputError
from features.computing.compute import compute_features
from features.history import History
from features.log.contracts import DECISIONS, UTC_TIME
from pipelines.simulation.events.events import moments_of
from pipelines.simulation.events.frames import Frames, frames_of
from pipelines.simulation.world.flights import flights_at
from pipelines.simulation.world.journey import FULL_MEMORY, STAGE_OF, JourneyStep
from pipelines.simulation.world.moves import Chain
from pipelines.simulation.world.state import STAGE_NAMES, WorldState
from pipelines.simulation.world.structure import Structure
from pipelines.simulation.world.week import WeekResult
from pipelines.simulation.world.world import WEEK, World, campaign_messages

type Choose = Callable[[World, int], np.ndarray]


def _live(world: World, choose: Choose, weeks: int, *, silent: slice = slice(0, 0), seed: int = 1) -> list[WeekResult]:
    found = []
    for week in range(weeks):
        actions = choose(world, seed)
        actions[silent] = -1
        ids = [f"d-{week}-{row}" for row in range(actions.size)]
        found.append(world.run_week(actions, ids))
    return found


def _frames(results: list[WeekResult]) -> Frames:
    weeks = [frames_of(each) for each in results]
    return Frames(
        events=pl.concat([each.events for each in weeks]), outcomes=pl.concat([each.outcomes for each in weeks])
    )


def test_the_same_seed_gives_the_same_tables_and_another_seed_others(make_world: Callable, random_actions) -> None:
    once, again = (_frames(_live(make_world(), random_actions, 3)) for _ in range(2))
    assert once.events.equals(again.events)
    assert once.outcomes.equals(again.outcomes)
    other = _frames(_live(make_world(seed=4), random_actions, 3))
    assert not once.events.equals(other.events)


def test_an_untouched_customer_behaves_the_same_whatever_others_get(make_world: Callable, random_actions) -> None:
    untouched = slice(0, 700)
    one = _live(make_world(), random_actions, 5, silent=untouched, seed=1)
    two = _live(make_world(), random_actions, 5, silent=untouched, seed=2)
    ids = list(make_world().population.ids[untouched])
    events = [_frames(each).events.filter(pl.col("customer_id").is_in(ids)) for each in (one, two)]
    assert events[0].equals(events[1])
    assert events[0].height > 500
    assert not _frames(one).outcomes.equals(_frames(two).outcomes)


def test_the_effect_of_a_message_on_a_customer_does_not_depend_on_others(
    make_world: Callable, random_actions: Choose
) -> None:
    world, same = make_world(), slice(500, 1_500)
    one = random_actions(world, 1)
    two = np.concatenate([np.full(500, -1), one[same]])
    first, second = world.copy().run_week(one), world.copy().run_week(two)
    assert first.is_seen[same].sum() > 50
    for name in ("is_seen", "is_sold", "is_leaving", "contribution_minor"):
        assert np.array_equal(getattr(first, name)[same], getattr(second, name)[same])


def test_customers_who_left_in_anger_move_on_less_often(make_world: Callable, standing_at: Callable) -> None:
    world = standing_at(make_world(), JourneyStep.DREAM)
    chain = Chain(world.effects, flights_at(world.now))
    (_, stayed), (_, left) = (chain.moves(JourneyStep.DREAM, slice(None), has_left=each)[0] for each in (False, True))
    assert (left < stayed).all()


def test_customers_behave_the_same_in_a_smaller_world(make_world: Callable, random_actions) -> None:
    world = make_world()
    part, silence = world.first(200), np.full(1_500, -1)
    for _ in range(4):
        whole, few = world.run_week(silence), part.run_week(silence[:200])
        assert np.array_equal(whole.contribution_minor[:200], few.contribution_minor)
        assert np.array_equal(whole.after.step[:200], few.after.step)


def test_a_copy_of_a_world_is_independent(make_world: Callable) -> None:
    world = make_world()
    before = world.state
    other = world.copy()
    other.run_week(np.full(1_500, -1))
    assert (world.week, other.week) == (0, 1)
    assert world.state is before
    assert other.now - world.now == WEEK


def test_amounts_in_the_tables_add_up_to_the_contribution_of_the_week(make_world: Callable, random_actions) -> None:
    for result in _live(make_world(), random_actions, 4):
        frames = frames_of(result)
        is_purchase = pl.col("type") == "purchase"
        signed = frames.events.filter(pl.col("type").is_in(["purchase", "discount"])).select(
            pl.when(is_purchase).then(pl.col("amount_minor")).otherwise(-pl.col("amount_minor"))
        )
        told = signed.sum().item() + (frames.outcomes["amount_minor"].sum() or 0)
        assert told == result.contribution_minor.sum()
        assert result.cost_minor[result.actions < 0].sum() == 0


def test_every_event_of_a_week_happens_within_it_and_has_a_unique_id(make_world: Callable, random_actions) -> None:
    results = _live(make_world(), random_actions, 4)
    for result in results:
        begins, frames = result.when.begins_at, frames_of(result)
        for times in (frames.events["occurred_at"], frames.outcomes["occurred_at"]):
            assert begins <= times.min()
            assert times.max() < begins + timedelta(weeks=1)
    assert _frames(results).events["event_id"].is_unique().all()
    assert _frames(results).outcomes["outcome_id"].is_unique().all()


def test_effects_follow_causes_in_time(make_world: Callable, random_actions) -> None:
    frames = _frames(_live(make_world(4_000), random_actions, 4))
    wide = frames.outcomes.pivot("type", index="decision_id", values="occurred_at")
    for earlier, later in (("delivered", "viewed"), ("viewed", "accepted"), ("viewed", "unsubscribed")):
        both = wide.filter(pl.col(earlier).is_not_null() & pl.col(later).is_not_null())
        assert both.height > 5
        assert (both[earlier] < both[later]).all()
        assert both.height == wide[later].is_not_null().sum()


def test_outcomes_belong_to_decisions_with_an_id(make_world: Callable, random_actions) -> None:
    world = make_world()
    actions = random_actions(world, 1)
    assert frames_of(world.copy().run_week(actions)).outcomes.is_empty()
    ids = [f"d-{row}" if row % 2 else None for row in range(actions.size)]
    told = frames_of(world.run_week(actions, ids)).outcomes
    assert set(told["decision_id"]) <= {f"d-{row}" for row in np.flatnonzero(actions >= 0) if row % 2}
    assert {"delivered", "viewed", "clicked"} <= set(told["type"])


def test_events_show_the_true_stage_by_the_rules_of_the_catalogue(make_world: Callable, airline: Catalogue) -> None:
    """Two things cannot be seen in events: who has just left the dream stage, and cases, which live state holds."""
    world = make_world()
    silence = np.full(1_500, -1)
    results = [*world.prelude, *(world.run_week(silence) for _ in range(3))]
    history = History(
        customers=world.population.customers(results[0].when.begins_at),
        events=_frames(results).events,
        decisions=pl.DataFrame(schema=DECISIONS.schema),
        outcomes=_frames(results).outcomes,
    )
    anchors = pl.DataFrame({"customer_id": world.population.ids}).with_columns(at=pl.lit(world.now).cast(UTC_TIME))
    seen = compute_features(history, anchors, airline).sort("customer_id")["stage_index"].to_numpy().astype(int)
    names, true = np.array([one.stage_id for one in airline.stages]), STAGE_NAMES[world.state.step]
    for stage in ("plan", "book", "prepare", "travel", "return"):
        shown = names[seen][true == stage]
        assert shown.size > 10
        assert np.mean(shown == stage) > 0.97, stage
    assert np.mean(names[seen] == true) > 0.93


def test_a_case_is_open_while_a_customer_recovers_and_cools_down_the_week_after(
    make_world: Callable, airline: Catalogue
) -> None:
    world = make_world(12_000)
    events = [frames_of(result).events for result in world.prelude]
    moments = pl.concat(events).filter(pl.col("properties").str.contains('"case_id"', literal=True))
    cases = {}
    for kind, at, text, customer in moments.select("type", "occurred_at", "properties", "customer_id").iter_rows():
        if kind in {"bag_lost", "flight_cancelled", "complaint"}:
            cases[orjson.loads(text)["case_id"]] = [customer, kind, at, None]
        elif kind in {"bag_found", "case_resolved"}:
            cases.setdefault(orjson.loads(text)["case_id"], [customer, None, None, None])[3] = at
    kinds = {opener: kind for kind in airline.care.kinds.values() for opener in kind.opened_by}
    standing = {}
    for case_id, (customer, opener, opened_at, resolved_at) in cases.items():
        if opener is not None:
            case = Case(
                case_id=case_id, kind=kinds[opener].kind, severity="", opened_at=opened_at, resolved_at=resolved_at
            )
            standing[customer] = case_standing(airline.care, case, world.now)[0]
    steps = dict(zip(world.population.ids, world.state.step.tolist(), strict=True))
    recovering = [customer for customer, step in steps.items() if step == JourneyStep.RECOVER and customer in standing]
    assert len(recovering) >= 5
    assert all(standing[customer] is CaseState.OPEN for customer in recovering)
    free = [
        each for customer, each in standing.items() if steps[customer] not in {JourneyStep.RECOVER, JourneyStep.MENDED}
    ]
    assert CaseState.OPEN not in free


def test_moments_of_service_are_backed_by_events(make_world: Callable) -> None:
    result = make_world(4_000).run_week(np.full(4_000, -1))
    events = frames_of(result).events
    moments = moments_of(events)
    assert moments.join(events, on=["event_id", "customer_id"], how="inner").height == moments.height
    assert {"booked", "trip_upcoming", "check_in_opened", "landed", "flight_delayed"} <= set(moments["moment"])


def test_a_customer_who_unsubscribes_withdraws_every_marketing_consent_and_gets_no_more(
    make_world: Callable, random_actions
) -> None:
    world = make_world(4_000)
    results = _live(world, random_actions, 5)
    leaving = np.any([each.is_leaving for each in results], axis=0)
    withdrawn = _frames(results).events.filter(pl.col("type") == "consent_withdrawn")
    ids = np.array(world.population.ids)
    assert leaving.sum() > 3
    assert set(withdrawn["customer_id"]) == set(ids[leaving].tolist())
    assert withdrawn.height == world.population.agrees[leaving].sum()
    assert not world.permitted()[world.state.has_left].any()


def test_an_answer_makes_cases_end_sooner_and_keeps_more_customers(make_world: Callable, standing_at) -> None:
    there = standing_at(make_world(4_000), JourneyStep.RECOVER)
    silence = np.full(4_000, -1)
    answered, alone = (there.copy().run_week(silence, answered=np.full(4_000, each)) for each in (True, False))
    assert np.mean(answered.after.step == JourneyStep.MENDED) == pytest.approx(0.75, abs=0.03)
    assert np.mean(alone.after.step == JourneyStep.MENDED) == pytest.approx(0.40, abs=0.03)
    assert np.sum(alone.after.step == JourneyStep.LAPSE) > np.sum(answered.after.step == JourneyStep.LAPSE)


def test_by_default_the_airlines_staff_answer_every_case(make_world: Callable, standing_at) -> None:
    there, silence = standing_at(make_world(4_000), JourneyStep.TRAVEL), np.full(4_000, -1)
    staffed, alone = (there.copy().run_week(silence, answered=each) for each in (None, np.ones(4_000, dtype=bool)))
    events = frames_of(staffed).events
    answers = events.filter(pl.col("type") == "case_answered")
    opened = events.filter(pl.col("type").is_in(["bag_lost", "flight_cancelled", "complaint"]))
    case = pl.col("properties").str.json_path_match("$.case_id").alias("case_id")
    both = answers.select("occurred_at", case).join(opened.select("occurred_at", case), on="case_id", suffix="_opened")
    assert both.height == opened.height == np.sum(staffed.after.case > 0) > 20
    assert (both["occurred_at"] > both["occurred_at_opened"]).all()
    assert "case_answered" not in frames_of(alone).events["type"].to_list()
    assert np.array_equal(staffed.after.step, alone.after.step)


def test_a_message_outside_its_stage_has_no_effect(make_world: Callable, standing_at) -> None:
    world = standing_at(make_world(4_000), JourneyStep.PLAN)
    place = next(i for i, one in enumerate(world.messages) if one.offer.offer_id == "dream-destinations")
    sent, silent = (world.copy().run_week(np.full(4_000, each)) for each in (place, -1))
    assert sent.is_seen.sum() > 500
    assert np.array_equal(sent.contribution_minor, silent.contribution_minor)
    assert np.array_equal(sent.after.step, silent.after.step)


def test_fatigue_lowers_the_probability_that_a_message_is_seen(make_world: Callable, standing_at) -> None:
    world = standing_at(make_world(4_000), JourneyStep.DREAM)
    rested = world.effects.seen_probability(0, slice(None), world.state.memory)
    tired = world.effects.seen_probability(0, slice(None), np.full(4_000, FULL_MEMORY))
    assert (tired <= rested).all()
    assert tired.mean() < 0.7 * rested.mean()


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10_000), weeks=st.integers(1, 5))
def test_states_stay_valid_whatever_is_sent(make_world: Callable, random_actions, seed: int, weeks: int) -> None:
    world = make_world(300)
    for _ in range(weeks):
        actions = np.random.default_rng([seed, world.week]).integers(-1, len(world.messages), 300)
        result = world.run_week(actions)
        state = world.state
        assert ((state.step >= 0) & (state.step < len(JourneyStep))).all()
        assert ((state.memory >= 0) & (state.memory <= FULL_MEMORY)).all()
        assert ((state.case > 0) == (state.step == JourneyStep.RECOVER)).all()
        assert not (~state.has_left & result.before.has_left).any()
        assert not (result.is_moved | result.is_sold | result.is_leaving)[~result.is_seen].any()
        assert not result.is_seen[actions < 0].any()
        assert not world.permitted()[(state.memory == FULL_MEMORY) | state.has_left].any()


def test_stages_are_named_after_steps() -> None:
    zeros = np.zeros(len(JourneyStep), dtype=np.int64)
    state = WorldState(step=np.array(list(JourneyStep)), memory=zeros, has_left=zeros > 0, case=zeros, case_week=zeros)
    assert STAGE_NAMES[state.step].tolist() == [STAGE_OF[step] for step in JourneyStep]


@pytest.mark.parametrize(
    "moment",
    [datetime(2026, 6, 2, 15, tzinfo=UTC), datetime(2026, 6, 1, 14, tzinfo=UTC), datetime(2026, 6, 1, 15)],  # noqa: DTZ001
)
def test_a_world_begins_on_a_monday_afternoon(make_world: Callable, moment: datetime) -> None:
    world = make_world(300)
    with pytest.raises(InvalidInputError, match="Monday at 15:00 UTC"):
        World(world.population, Structure(), world.messages, moment, 1)


@pytest.mark.parametrize("actions", [np.zeros(3, dtype=int), np.full(300, 99), np.full(300, -2)])
def test_invalid_actions_are_refused(make_world: Callable, actions: np.ndarray) -> None:
    with pytest.raises(InvalidInputError, match="actions must"):
        make_world(300).run_week(actions)


def test_only_marketing_of_the_touchpoint_can_be_sent(airline: Catalogue) -> None:
    messages = campaign_messages(airline)
    assert [one.key for one in messages] == sorted(one.key for one in messages)
    assert {one.offer.message_class for one in messages} == {MessageClass.MARKETING}
    assert {one.channel.channel_id for one in messages} <= set(airline.touchpoints["weekly-campaign"].channels)


def test_a_channel_that_serves_another_goal_in_a_stage_is_not_permitted(
    make_world: Callable, airline, standing_at
) -> None:
    email = replace(airline.channels["email"], purposes={"plan": frozenset({"inspire"})})
    closed = replace(airline, channels={**airline.channels, "email": email})
    world = make_world(300)
    messages = campaign_messages(closed)
    there = standing_at(World(world.population, Structure(), messages, world.starts_at, 3), JourneyStep.PLAN)
    by_email = np.array([one.channel.channel_id == "email" for one in messages])
    assert not there.permitted()[:, by_email].any()
    assert there.permitted().any()
