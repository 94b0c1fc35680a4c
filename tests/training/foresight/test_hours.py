"""Hours with a known effect are recovered and worth more; where there is none, no table is kept."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from decisioning.arrays import FloatArray
from decisioning.catalogue.catalogue import Catalogue
from decisioning.foresight.hours import HOURS, HourEffects
from features.log.contracts import CUSTOMERS
from features.log.event_log import EventLog, LogSnapshot
from training.data.datasets import Dataset, leaves_hours_apart, messages_of
from training.foresight.hour_effects import FEWEST_CONTACTS, HourLog, best_hours, known_hours, learn_hours
from training.foresight.learning import foresight_metrics, foresight_notes, hours_of, with_foresight
from training.models.learner import learn

GROUPS = (("email", "voucher"), ("email", "gift"), ("push", "voucher"), ("push", "gift"))
CLOCK = np.arange(HOURS) % 24
WAIT = 24.0
EVENINGS, MORNINGS = np.exp(-(((CLOCK - 19) / 2.5) ** 2)), np.exp(-(((CLOCK - 8) / 2.0) ** 2))
PLANTED = np.stack([4 * EVENINGS, 5 * EVENINGS, 4 * MORNINGS, 4 * MORNINGS])
"""Mail does most in the evening and push in the morning: shape (g, 168)."""


def asked(seed: int, effects: FloatArray, *, customers: int = 3_000, buying: float = 5.0) -> HourLog:
    """Four asks a customer, most by day; customers buy at some hours anyway, whatever is sent."""
    rng = np.random.default_rng(seed)
    share = np.where((CLOCK >= 7) & (CLOCK < 22), 3.0, 0.5)
    who, size = np.repeat(np.arange(customers), 4), customers * 4
    hours, contacts = rng.choice(HOURS, size, p=share / share.sum()), rng.integers(-1, len(GROUPS), size)
    habits = buying * np.sin(2 * np.pi * CLOCK / 24)
    added = np.where(contacts >= 0, 1.0 + effects[np.maximum(contacts, 0), hours], 0.0)
    came = habits[hours] + added + rng.normal(0, 10.0, size) + rng.normal(0, 3.0, customers)[who]
    return HourLog(
        groups=GROUPS, hours=hours, contacts=contacts, weights=np.ones(size), left=came - came.mean(), customers=who
    )


def moved_to(table: HourEffects, group: int) -> np.ndarray:
    found = table.by_group[GROUPS[group]]
    known = np.array([hour in found for hour in range(HOURS)])
    return best_hours(np.array([found.get(hour, 0.0) for hour in range(HOURS)]), known, WAIT)


@pytest.mark.parametrize("seed", [1, 2])
def test_planted_hours_are_recovered_and_worth_more_for_fresh_customers(seed: int) -> None:
    table, report = learn_hours(asked(seed, PLANTED), WAIT)
    assert table is not None
    assert report.gain is not None
    fresh = asked(seed + 100, PLANTED)
    gains, reachable = np.zeros(len(fresh.hours)), 0.0
    for group, truth in enumerate(PLANTED):
        best = moved_to(table, group)
        gains += (truth[best] - truth)[fresh.hours] / len(PLANTED)
        reachable += float((truth.max() - truth[fresh.hours]).mean()) / len(PLANTED)
        learned = np.array([table.by_group[GROUPS[group]].get(hour, np.nan) for hour in range(HOURS)])
        known = np.isfinite(learned)
        assert np.corrcoef(learned[known], truth[known])[0, 1] > 0.8
    assert gains.mean() - 5 * gains.std() / np.sqrt(len(gains)) > 0
    assert gains.mean() > 0.8 * reachable
    error = report.standard_error or 0.0
    assert abs(report.gain - gains.mean()) < 4 * error, "the gain that is told is the true one"


def test_where_hours_do_nothing_no_table_is_kept() -> None:
    """Hours in which customers buy anyway are no hours in which messages work."""
    nothing = np.zeros_like(PLANTED)
    found = [learn_hours(asked(seed, nothing, customers=800), WAIT)[0] for seed in range(200, 210)]
    assert found == [None] * 10


def test_a_message_of_a_rare_kind_borrows_from_its_channel() -> None:
    log = asked(3, PLANTED)
    rare = replace_rare(log)
    table, _ = learn_hours(rare, WAIT)
    assert table is not None
    found = table.by_group[GROUPS[3]]
    assert CLOCK[max(found, key=lambda hour: found[hour])] in range(6, 11)
    assert table.by_group["push", ""].keys() == found.keys()


def replace_rare(log: HourLog) -> HourLog:
    """One in twenty contacts of the last group is left."""
    rows = (log.contacts != 3) | (np.arange(len(log.hours)) % 20 == 0)
    return log.take(rows)


def test_hours_without_contacts_are_not_known() -> None:
    log = asked(4, PLANTED)
    known = known_hours(log.take(log.hours % 24 != 12))
    assert not known[:, CLOCK == 12].any()
    few = known_hours(log.take(np.arange(len(log.hours)) < FEWEST_CONTACTS))
    assert not few.any()


def test_asks_at_one_hour_of_the_day_say_nothing() -> None:
    log = asked(5, PLANTED, customers=8_000)
    table, report = learn_hours(log.take(log.hours == 9), WAIT)
    assert (table, report.gain, report.strength) == (None, None, 0.0)
    assert "too few different hours" in report.words


def test_a_best_hour_is_the_first_within_the_wait() -> None:
    effects = np.zeros(HOURS)
    effects[[20, 40]] = 1.0
    known = np.ones(HOURS, dtype=np.bool_)
    assert best_hours(effects, known, 24.0)[[0, 20, 21, 41]].tolist() == [20, 20, 40, 41]
    assert best_hours(effects, known, 167.0)[41] == 20
    assert best_hours(effects, np.arange(HOURS) != 20, 24.0)[0] == 0


@pytest.fixture(scope="module")
def waiting_shop(shop_catalogue: Catalogue) -> Catalogue:
    touchpoints = {name: replace(one, wait_seconds=86_400) for name, one in shop_catalogue.touchpoints.items()}
    return replace(shop_catalogue, touchpoints=touchpoints)


def local_log(catalogue: Catalogue, folder: Path, *, customers: int = 1_200) -> tuple[Dataset, LogSnapshot]:
    """Customers in Berlin and New York who heed one message at nine in the morning of their own clocks."""
    rng, start = np.random.default_rng(6), datetime(2026, 3, 2, tzinfo=UTC)
    who, size = np.repeat(np.arange(customers), 6), customers * 6
    message = messages_of(catalogue)["ten-percent/email/plain"]
    moments = [start + timedelta(hours=int(hour)) for hour in rng.integers(0, HOURS, size)]
    zones = ["Europe/Berlin" if one % 2 else "America/New_York" for one in range(customers)]
    offsets = np.where(who % 2, 1, -5)  # in winter
    local = (np.array([one.hour for one in moments]) + offsets) % 24
    actions = rng.integers(0, 2, size)
    effect = 100.0 + 900.0 * np.exp(-(((local - 9) / 2.0) ** 2))
    rows = [
        {"customer_id": f"C{one}", "updated_at": start - timedelta(days=9), "time_zone": zone}
        for one, zone in enumerate(zones)
    ]
    log = EventLog(folder)
    log.append(CUSTOMERS, pl.DataFrame([{**dict.fromkeys(CUSTOMERS.schema), **row} for row in rows], CUSTOMERS.schema))
    dataset = Dataset(
        decisions=pl.DataFrame(
            {
                "decision_id": [f"D{row}" for row in range(size)],
                "customer_id": [f"C{one}" for one in who],
                "decided_at": moments,
            }
        ),
        customers=who.astype(np.int64),
        features=rng.normal(size=(size, 2)),
        feature_names=("one", "other"),
        contexts=np.column_stack([np.full(size, 7.0), np.zeros((size, 2))]),
        messages=(message,),
        actions=actions.astype(np.int64),
        probabilities=np.full(size, 0.5),
        values=1_000.0 + np.where(actions == 1, effect, 0.0) + rng.normal(0, 800, size),
    )
    return dataset, LogSnapshot.of(log)


def test_training_learns_local_hours_where_messages_may_wait_and_nothing_elsewhere(
    waiting_shop: Catalogue, shop_catalogue: Catalogue, tmp_path: Path
) -> None:
    dataset, log = local_log(waiting_shop, tmp_path)
    learned = learn(dataset, waiting_shop)
    plain = replace(waiting_shop, learning=waiting_shop.learning and replace(waiting_shop.learning, horizon_days=0.0))
    bundle = with_foresight(learned, log, plain)
    assert bundle.foresight is not None
    assert bundle.foresight.hours is not None
    added = bundle.foresight.hours.by_group["email", ""]
    by_clock = np.bincount(CLOCK, weights=[added.get(hour, 0.0) for hour in range(HOURS)])
    assert by_clock.argmax() in {8, 9, 10}
    assert hours_of(bundle)["strength"] > 0
    assert foresight_metrics(bundle)["hours.gain"] > 0
    assert "choosing the hour within 24 hours adds" in foresight_notes(bundle)[0]

    off = replace(plain, touchpoints=shop_catalogue.touchpoints)
    assert with_foresight(learned, log, off) == learned.bundle
    guessed = replace(learned, choice=replace(learned.choice, is_randomised=False))
    assert with_foresight(guessed, log, plain) == learned.bundle
    assert leaves_hours_apart(waiting_shop)
    assert not leaves_hours_apart(shop_catalogue)
