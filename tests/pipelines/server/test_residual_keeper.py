"""Residuals are worked out from the log alone: twice, late, in pieces or in another order comes to the same."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import orjson
import polars as pl
import pytest
import redis

from decisioning.decision import Decision
from decisioning.foresight.stages import StageCredit
from decisioning.policy import decide
from decisioning.record.document import decision_to_record
from features.catalogue import load_catalogue
from features.log.contracts import EVENTS
from features.log.event_log import EventLog, LogSnapshot
from features.log.table import LogTable
from features.models.bundle import ModelBundle, value_model, write_bundle
from features.models.fit import fit_model
from features.models.logged_decisions import LoggedDecisions
from features.online.residuals import (
    ResidualSnapshot,
    decode_residuals,
    encode_residuals,
    read_residuals,
    write_residuals,
)
from features.settings import Settings
from pipelines.reports.residual_report import print_residuals
from pipelines.server.residual_keeper import ResidualKeeper
from serving.in_force.policy_in_force import put_in_force
from tests.pipelines.conftest import MOMENT, DecidedHome
from training.residuals import NOTE, draws
from training.residuals.arrivals import AGES
from training.residuals.updating import ResidualLearner

DAY = timedelta(days=1)
NOW = MOMENT + 3 * DAY
BASE: dict[str, Any] = {
    "prior": {"usual": 100.0, "of_new": 150.0, "noise": 40_000.0, "by_stage": {}},
    "arrivals": {"": list(AGES), "silence": list(AGES)},
    "learned_until": MOMENT.isoformat(),
}


@pytest.fixture
def bundle(decided_home: DecidedHome, value_bundle: Callable[..., ModelBundle]) -> ModelBundle:
    return value_bundle(decided_home.policy.catalogue, notes={NOTE: BASE})


@pytest.fixture
def learner(decided_home: DecidedHome, bundle: ModelBundle) -> Callable[..., ResidualLearner]:
    settings = decided_home.settings

    def made(**note: Any) -> ResidualLearner:
        own = replace(bundle, notes={NOTE: BASE | note})
        found = ResidualLearner.on(
            own,
            "7",
            catalogue=decided_home.policy.catalogue,
            seed=settings.policy_seed,
            logged=LoggedDecisions(settings),
            known={},
        )
        assert found is not None
        return found

    return made


def purchases(decisions: list[Decision], amount_minor: int = 5_000) -> list[dict[str, Any]]:
    """Everybody who got a message buys an hour later, and who got none does not."""
    return [
        dict.fromkeys(EVENTS.schema)
        | {
            "event_id": f"E-{one.decision_id}",
            "customer_id": one.customer_id,
            "type": "purchase",
            "occurred_at": one.decided_at + timedelta(hours=1),
            "amount_minor": amount_minor,
            "currency": "EUR",
        }
        for one in decisions
        if one.offer_id is not None
    ]


def append(home: DecidedHome, rows: list[dict[str, Any]]) -> None:
    EventLog(home.settings.log_path).append(EVENTS, pl.DataFrame(rows, schema=EVENTS.schema))


def learn(home: DecidedHome, learner: ResidualLearner, now: datetime = NOW) -> ResidualSnapshot:
    return learner.learn(EventLog(home.settings.log_path), now)


def test_messages_that_people_buy_after_are_worth_more_than_predicted(decided_home, learner) -> None:
    append(decided_home, purchases(decided_home.decide(range(500))))
    snapshot = learn(decided_home, learner())
    told = [one for messages in snapshot.evidence.values() for one in messages.values() if one.customers >= 10]
    assert len(told) >= 5
    assert np.mean([one.estimate for one in told]) > 0
    assert snapshot.decisions > 100
    assert decode_residuals(encode_residuals(snapshot)) == snapshot
    assert "C-" not in encode_residuals(snapshot).decode()


def test_nothing_is_learned_of_slates_and_it_is_said_how_many_there_were(decided_home, learner, capsys) -> None:
    decisions = decided_home.decide(range(60))
    alone = [one for one in decisions if not one.further]
    append(decided_home, purchases(decisions))
    own = learner()
    snapshot = learn(decided_home, own)
    assert snapshot.slates == len(decisions) - len(alone) == 30
    assert 0 < snapshot.decisions <= len(alone)
    drawn = own.book.renew(LogSnapshot.of(EventLog(decided_home.settings.log_path)), MOMENT - DAY, NOW)
    assert {draw.decision_id for draw, _, _ in drawn} <= {one.decision_id for one in alone}
    print_residuals(snapshot)
    assert "30 slates are left out" in capsys.readouterr().out
    assert decode_residuals(encode_residuals(snapshot)) == snapshot


def test_what_messages_add_beyond_the_window_is_not_expected_within_it(decided_home, bundle, learner) -> None:
    append(decided_home, purchases(decided_home.decide(range(100))))
    offers = dict.fromkeys(decided_home.policy.catalogue.offers, (5000.0,) * 9)
    credited = replace(bundle, credit=StageCredit(feature=bundle.layout.customer[0], by_offer=offers))
    ours = learner()
    ours.book.fit = fit_model(value_model(credited, version="7"), decided_home.policy)
    assert ours.book.fit.model.credit is not None
    assert learn(decided_home, ours).evidence == learn(decided_home, learner()).evidence


def test_reports_in_any_order_in_pieces_and_twice_come_to_the_same(decided_home, learner) -> None:
    early, late = decided_home.decide(range(150)), None
    pieces = learner()
    rows = purchases(early)
    rng = np.random.default_rng(3)
    for part in np.array_split(rng.permutation(len(rows)), 4):
        append(decided_home, [rows[place] for place in part])
        learn(decided_home, pieces)
    late = decided_home.decide(range(150, 300))
    append(decided_home, purchases(late) + rows)
    append(decided_home, purchases(late)[::-1])
    at_once, step_by_step = learn(decided_home, learner()), learn(decided_home, pieces)
    assert encode_residuals(at_once) == encode_residuals(step_by_step)


def test_that_nobody_bought_in_ten_minutes_is_no_evidence_and_that_nobody_did_in_a_week_is(
    decided_home, learner
) -> None:
    decided_home.decide(range(300))
    early = learn(decided_home, learner(), MOMENT + timedelta(minutes=10))
    late = learn(decided_home, learner(), MOMENT + 8 * DAY)
    assert min(contributions(early)) > -15.0
    assert min(contributions(late)) < -150.0


def contributions(snapshot: ResidualSnapshot) -> list[float]:
    """What residuals add to the messages that the model expects most of."""
    keys = ["ten-percent/email/plain", "ten-percent/push/plain"]
    return [one for stage in snapshot.evidence for one in snapshot.at(stage, keys).contribution[1:].tolist()]


def test_many_decisions_are_read_the_newest_first_a_part_at_each_look(
    decided_home, kept, monkeypatch: pytest.MonkeyPatch
) -> None:
    append(decided_home, purchases(decided_home.decide(range(200))))
    at_once = kept.keep(NOW)
    monkeypatch.setattr(draws, "MOST_READ", 90)
    slow = ResidualKeeper(settings=kept.settings, redis_url=kept.redis_url)
    looks = [slow.keep(NOW) for _ in range(3)]
    assert looks[0].decisions < looks[1].decisions < looks[2].decisions == at_once.decisions
    assert encode_residuals(looks[2]) == encode_residuals(at_once)
    assert slow.keep(NOW) is None
    forced = ResidualKeeper(settings=kept.settings, redis_url=kept.redis_url).keep(NOW, is_forced=True)
    assert encode_residuals(forced) == encode_residuals(at_once)


def test_what_the_model_has_learned_from_does_not_count_again(decided_home, learner) -> None:
    append(decided_home, purchases(decided_home.decide(range(200))))
    over = learner(learned_until=(MOMENT + 8 * DAY).isoformat())
    assert learn(decided_home, over, MOMENT + 9 * DAY).decisions == 0
    still_open = learner(learned_until=(MOMENT + 6 * DAY).isoformat())
    assert learn(decided_home, still_open, MOMENT + 9 * DAY).decisions > 50


def test_who_is_gone_from_the_log_is_gone_from_the_next_look(decided_home, learner) -> None:
    append(decided_home, purchases(decided_home.decide(range(200))))
    one = learner()
    before = learn(decided_home, one)
    LogTable(decided_home.settings.log_path / "decisions").delete("customer_id LIKE 'C-1%'")
    after = learn(decided_home, one)
    assert after.decisions < before.decisions
    assert encode_residuals(after) == encode_residuals(learn(decided_home, learner()))


def test_a_model_of_an_earlier_release_has_no_residuals(decided_home, value_bundle) -> None:
    old = value_bundle(decided_home.policy.catalogue)
    catalogue = decided_home.policy.catalogue
    logged = LoggedDecisions(decided_home.settings)
    assert ResidualLearner.on(old, "7", catalogue=catalogue, seed="s", logged=logged, known={}) is None
    other = replace(old, notes={NOTE: BASE}, measure_id="clicked")
    assert ResidualLearner.on(other, "7", catalogue=catalogue, seed="s", logged=logged, known={}) is None


@pytest.fixture
def kept(decided_home: DecidedHome, bundle: ModelBundle, redis_url: str) -> ResidualKeeper:
    settings = decided_home.settings
    folder = settings.models_path / "7-run"
    digest = write_bundle(bundle, folder)
    pointer = {"version": "7", "folder": folder.name, "digest": digest}
    (settings.models_path / "champion.json").write_bytes(orjson.dumps(pointer))
    return ResidualKeeper(settings=settings, redis_url=redis_url)


def test_redis_gets_back_what_it_lost_and_nothing_is_done_where_nothing_is_new(decided_home, kept, redis_url) -> None:
    append(decided_home, purchases(decided_home.decide(range(150))))
    first = kept.keep(NOW)
    assert first is not None
    assert kept.keep(NOW + timedelta(seconds=20)) is None
    with redis.Redis.from_url(redis_url) as store:
        assert read_residuals(store) == first
        write_residuals(store, None)
        again = kept.keep(NOW + timedelta(seconds=30))
        assert again is not None
        assert replace(again, computed_at=first.computed_at).evidence.keys() == first.evidence.keys()
        assert read_residuals(store) == again
    assert kept.keep(NOW + timedelta(seconds=95)) is not None  # what did not come counts, too


def test_switched_off_residuals_are_forgotten_and_no_decision_uses_them(decided_home, kept, redis_url) -> None:
    append(decided_home, purchases(decided_home.decide(range(150))))
    snapshot = kept.keep(NOW)
    switch_off(decided_home.settings)
    assert kept.keep(NOW) is None
    with redis.Redis.from_url(redis_url) as store:
        assert read_residuals(store) is None
    off = put_in_force(load_catalogue(decided_home.settings.catalogue_path), seed="s", model=kept_model(kept))
    assert not off.learning_from(snapshot).residuals


def test_without_a_snapshot_or_with_that_of_another_model_decisions_are_the_same_bit_for_bit(
    decided_home, kept
) -> None:
    append(decided_home, purchases(decided_home.decide(range(150))))
    snapshot = kept.keep(NOW)
    assert snapshot is not None
    catalogue = decided_home.policy.catalogue
    on = put_in_force(catalogue, seed="nextbest", model=kept_model(kept)).learning_from(snapshot)
    assert on.residuals_on("weekly-mail", "7")
    for other in (None, replace(snapshot, model_version="8")):
        assert not on.learning_from(other).residuals
    assert not on.residuals_on("weekly-mail", "8")
    assert not on.residuals_on("weekly-mail", None)
    [made] = decided_home.decide(range(400, 401))
    same = decide(decided_home.policy, replace(made.inputs, residuals={}), made.decision_id)
    assert decision_to_record(same) == decision_to_record(made)


def switch_off(settings: Settings) -> None:
    path = settings.catalogue_path / "catalogue.yaml"
    text = path.read_text(encoding="utf-8")
    old = "learning: {measure: net_revenue, window_days: 7}"
    assert old in text
    path.write_text(text.replace(old, old[:-1] + ", in_minutes: false}"), encoding="utf-8")


def kept_model(keeper: ResidualKeeper) -> Any:
    from features.models.bundle import load_value_model

    return load_value_model(keeper.settings.models_path / "7-run", version="7")


def test_a_value_of_another_release_in_redis_is_none() -> None:
    assert decode_residuals(b"{}") is None
    assert decode_residuals(b"[1]") is None
    assert decode_residuals(b"nothing") is None
