"""Fairness floors for scarce places: their price compared with brute force, and a planted bias end to end."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import combinations
from pathlib import Path

import numpy as np
import orjson
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.exploration import Exploration
from decisioning.catalogue.limits import Limit, LimitScope, Supply, counter_name
from decisioning.customer import Consent, Customer, CustomerId
from decisioning.decision import Exclusion, Inputs, Request
from decisioning.errors import InvalidInputError
from decisioning.policy import Policy, decide
from decisioning.record.document import decision_from_record, decision_to_record
from features.catalogue import load_catalogue
from features.catalogue.fairness_rules import FairnessMeasure, FairnessRules, Guardrail
from features.history import History
from features.log.contracts import CUSTOMERS, DECISIONS, EVENTS, OUTCOMES
from features.log.event_log import EventLog
from features.log.rows import frame_of, parse_row
from features.models.logged_decisions import LoggedDecisions
from features.reports.fairness import FairnessVerdict
from features.settings import Settings
from pipelines.batch.fairness_floor import Claims, claims_of, least_places, price_floor, with_floor_prices
from serving.log.log_rows import decision_rows
from training.fairness.fairness_report import read_fairness
from training.kpis.kpi_report import KpiReading


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-50, 200), st.booleans()), min_size=2, max_size=9),
    st.integers(1, 4),
    st.floats(0.0, 0.4),
)
def test_the_price_of_a_floor_equals_the_brute_force_result(people, places, tolerance):
    worth = np.array([float(value) for value, _ in people])
    is_group = np.array([flag for _, flag in people])
    places = min(places, len(people))
    if is_group.all() or not is_group.any():
        return
    floor = least_places(int(is_group.sum()), int((~is_group).sum()), places, tolerance)
    claims = Claims(worth_minor=worth, is_group=is_group, places=places)
    plans = [list(plan) for size in range(places + 1) for plan in combinations(range(len(people)), size)]
    best = max(worth[plan].sum() for plan in plans)
    kept = [worth[plan].sum() for plan in plans if is_group[plan].sum() >= floor]
    if not kept:
        with pytest.raises(InvalidInputError):
            price_floor(claims, tolerance)
        return
    assert price_floor(claims, tolerance).cost_minor == pytest.approx(best - max(kept), abs=1e-6)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 300), st.integers(1, 300), st.data())
def test_the_least_number_of_places_is_within_tolerance_and_one_fewer_is_not(group, others, data):
    places = data.draw(st.integers(1, others))
    tolerance = data.draw(st.sampled_from([0.0, 0.02, 0.1, 0.5]))
    floor = least_places(group, others, places, tolerance)

    def gap(taken: int) -> float:
        return (places - taken) / others - taken / group - tolerance

    assert gap(floor) <= 1e-9 or floor == places
    assert floor == 0 or gap(floor - 1) > -1e-9


def test_the_interval_of_a_price_covers_the_price_for_the_whole_population():
    rng = np.random.default_rng(3)
    everybody = Claims(worth_minor=rng.normal(100.0, 30.0, 20_000), is_group=np.arange(20_000) % 4 == 0, places=2_000)
    richer = replace(everybody, worth_minor=everybody.worth_minor + np.where(everybody.is_group, 0.0, 60.0))
    truth = price_of(richer) / 20_000
    held = 0
    for _ in range(60):
        drawn = rng.integers(0, 20_000, 500)
        sample = Claims(worth_minor=richer.worth_minor[drawn], is_group=richer.is_group[drawn], places=50)
        price = price_floor(sample, 0.02)
        held += price.cost_lower <= truth * 500 <= price.cost_upper
    assert held >= 52


def price_of(claims: Claims) -> float:
    """The price without an allocation: the best of each side, with the floor's number from the group."""
    group = int(claims.is_group.sum())
    floor = least_places(group, len(claims.is_group) - group, claims.places, 0.02)
    ours = np.sort(claims.worth_minor[claims.is_group])[::-1]
    theirs = np.sort(claims.worth_minor[~claims.is_group])[::-1]
    free = np.sort(claims.worth_minor)[::-1][: claims.places].sum()
    return float(free - ours[:floor].sum() - theirs[: claims.places - floor].sum())


ENDS_AT = datetime(2026, 11, 1, tzinfo=UTC)
DECIDED_AT = ENDS_AT - timedelta(days=10)
TOP, USUAL, PLACES = 80, 320, 80


def biased_catalogue(folder: Path) -> Catalogue:
    """The shop with 80 places on push, without exploration and holdouts."""
    calls = Limit(limit_id="places", scope=LimitScope.CHANNEL, of="push", amount=PLACES)
    return replace(
        load_catalogue(folder), limits=(calls,), exploration=Exploration(epsilon=0.0), experiments=(), holdout=None
    )


def fill_biased_log(log: EventLog, policy: Policy) -> None:
    """Real decisions, biggest spenders first: they get every place, worth 100 for them and 50 for the others."""
    consents = tuple(
        Consent(channel_id=channel, purpose="marketing", is_granted=True, source="signup")
        for channel in ("email", "push")
    )
    keys = [each.key for each in policy.candidates("weekly-mail")]
    rows, used = [], 0
    for place in range(TOP + USUAL):
        values = np.zeros(len(keys) + 1)
        values[1 + keys.index("ten-percent/push/plain")] = (100.0 if place < TOP else 50.0) + 0.5
        request = Request(customer_id=f"C-{place}", touchpoint_id="weekly-mail", request_key=f"ask-{place}")
        customer = Customer(
            customer_id=CustomerId(f"C-{place}"),
            attributes={"age": 40},
            time_zone="Europe/Berlin",
            locale="en-GB",
            reachable_channels=frozenset({"email", "push"}),
            consents=consents,
        )
        inputs = Inputs(
            request=request,
            customer=customer,
            features=None,
            expected_values=values,
            model_version="1",
            now=DECIDED_AT + timedelta(seconds=place),
            uniform=0.5,
            supply=Supply(used={counter_name(policy.catalogue.limits[0], DECIDED_AT): float(used)}),
        )
        decision = decide(policy, inputs, f"dec_{place:05d}")
        used += decision.channel_id == "push"
        record = orjson.dumps(decision_to_record(decision))
        rows += [
            parse_row("decisions", orjson.dumps(row))[1] for row in decision_rows(decision, record, policy.catalogue)
        ]
    log.append(DECISIONS, frame_of(DECISIONS, rows))


def fill_people(log: EventLog) -> None:
    names = [f"C-{place}" for place in range(TOP + USUAL)]
    joined = [DECIDED_AT - timedelta(days=400)] * len(names)
    log.append(CUSTOMERS, pl.DataFrame({"customer_id": names, "updated_at": joined, "joined_at": joined}))
    spent = [90_000 + place if place < TOP else 500 for place in range(len(names))]
    events = {"event_id": names, "customer_id": names, "type": ["purchase"] * len(names), "amount_minor": spent}
    log.append(EVENTS, pl.DataFrame(events).with_columns(occurred_at=pl.lit(DECIDED_AT - timedelta(days=60))))
    reached = names[:TOP]
    rows = {
        "outcome_id": reached,
        "decision_id": [f"dec_{place:05d}" for place in range(TOP)],
        "customer_id": reached,
        "type": ["delivered"] * TOP,
    }
    log.append(OUTCOMES, pl.DataFrame(rows).with_columns(occurred_at=pl.lit(DECIDED_AT + timedelta(hours=1))))


@pytest.fixture
def biased(tmp_path: Path) -> tuple[EventLog, Catalogue]:
    catalogue = biased_catalogue(Path(__file__).parents[2] / "catalogues" / "shop")
    log = EventLog(tmp_path / "log")
    fill_people(log)
    fill_biased_log(log, Policy(catalogue))
    return log, catalogue


def test_places_given_by_value_are_found_and_the_floor_is_priced_from_the_decisions_records(biased):
    log, catalogue = biased
    rail = Guardrail(
        guardrail_id="push-for-all",
        measure=FairnessMeasure.REACHED,
        channel="push",
        groups="value_tier",
        tolerance=0.02,
    )
    reading = KpiReading(as_of=ENDS_AT, days=30.0, computed_at=ENDS_AT, command="nextbest fairness read")
    history = History.from_log(log)
    found = read_fairness(history, catalogue, FairnessRules(guardrails=(rail,)), reading)
    assert found.comparisons[0].verdict is FairnessVerdict.GAP
    (repair,) = (
        with_floor_prices(found, log, LoggedDecisions(Settings(home=log.path.parent)), history, catalogue)
        .comparisons[0]
        .repairs
    )
    floor = least_places(USUAL, TOP, PLACES, 0.02)
    assert repair.how == f"a floor on push: at least {floor} of {PLACES} places for usual"
    assert (repair.group, repair.amount) == ("usual", floor)  # the others had none
    assert repair.cost_minor == pytest.approx(floor * 50.0)
    assert 0 < repair.cost_lower < repair.cost_minor <= repair.cost_upper


def test_a_customer_refused_for_capacity_has_a_claim_and_one_without_consent_has_none(biased):
    log, catalogue = biased
    decisions = [decision_from_record(orjson.loads(each)) for each in log.read(DECISIONS)["record"]]
    refused = decisions[-1]
    assert refused.channel_id != "push"
    claims = claims_of(decisions, catalogue, "push")
    assert claims.height == TOP + USUAL
    assert claims["worth_minor"].round(6).value_counts().sort("worth_minor").rows() == [(50.0, USUAL), (100.0, TOP)]
    assert claims["has_place"].sum() == PLACES
    never = [replace(one, reasons=(Exclusion.NO_CONSENT, *one.reasons)) for one in refused.excluded]
    assert claims_of([replace(refused, excluded=never)], catalogue, "push").is_empty()
