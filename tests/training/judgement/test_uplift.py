"""Qini, AUUC, deciles, calibration and net curves against known truths and against scikit-uplift."""

from dataclasses import replace
from math import pi, sqrt

import numpy as np
import polars as pl
import pytest

from decisioning.catalogue.measure import Unit
from decisioning.effects.message_coding import MessageCoding
from decisioning.value_model import DesignLayout, ValueModel
from tests.training.judgement.plain_model import plain_model
from training.data.datasets import Dataset, messages_of
from training.data.net_worth import NetWorth
from training.judgement.comparison import judge_kept
from training.judgement.gain_curve import POINTS
from training.judgement.uplift import UPLIFT_REPORTS, UpliftReport, UpliftRivals, report_choices, report_kept
from training.judgement.uplift_curves import ContactPlan, TriedPlan, figures_of
from training.judgement.uplift_pictures import write_pictures, write_tables

SENT = ("double-stamps/email/plain", "ten-percent/email/plain")
SPREAD = 100.0
"""Standard deviation of true effects."""


def make_plan(*, seed: int, n: int = 1000, skill: float = 1.0, noise: float = 200.0) -> ContactPlan:
    """Effects are normal with mean 20; predictions have correlation `skill` with them."""
    rng = np.random.default_rng(seed)
    effects = 20.0 + SPREAD * rng.normal(size=n)
    predicted = 20.0 + skill * (effects - 20.0) + sqrt(1 - skill**2) * SPREAD * rng.normal(size=n)
    gains = effects + noise * rng.normal(size=n)
    return ContactPlan(uplifts=predicted, gains=gains, net_uplifts=predicted - 30.0, net_gains=gains - 30.0)


def qini_of_normal(skill: float) -> float:
    """Closed form: the covariance of effect and rank, which is skill x spread / (2 sqrt(pi)) for normal effects."""
    return skill * SPREAD / (2 * sqrt(pi))


def test_the_qini_of_normal_effects_is_the_one_in_closed_form():
    for skill in (1.0, 0.5):
        figures = figures_of({"model": make_plan(seed=1, n=20_000, skill=skill)}, np.arange(20_000))["model"]
        qini = figures.interval("qini")
        assert qini.lower < qini_of_normal(skill) < qini.upper
        assert qini.value == pytest.approx(qini_of_normal(skill), rel=0.1)
        auuc = figures.interval("auuc")
        assert auuc.lower < qini_of_normal(skill) + 10.0 < auuc.upper


def test_bands_of_the_qini_hold_the_truth_in_95_of_100_logs():
    """Customers with four decisions each, who all have their customer's effect."""
    covered = 0
    for seed in range(100):
        rng, plan = np.random.default_rng(seed), make_plan(seed=1000 + seed, n=150, skill=0.5, noise=100.0)
        repeated = {name: np.repeat(getattr(plan, name), 4) for name in ("uplifts", "net_uplifts")}
        gains = np.repeat(plan.gains, 4) + rng.normal(0, 20, 600)
        clustered = ContactPlan(**repeated, gains=gains, net_gains=gains - 30.0)
        qini = figures_of({"model": clustered}, np.repeat(np.arange(150), 4))["model"].interval("qini")
        covered += qini.lower <= qini_of_normal(0.5) <= qini.upper
    assert 88 <= covered <= 99


def test_a_model_without_skill_has_a_band_that_holds_0():
    above = 0
    for seed in range(60):
        plan = make_plan(seed=seed, n=300, skill=0.0)
        qini = figures_of({"model": plan}, np.arange(300))["model"].interval("qini")
        above += qini.lower > 0
    assert above <= 5


def test_the_self_normalised_curve_is_that_of_scikit_uplift():
    """Figures printed by scikit-uplift 0.5.1: `uplift_curve` over n, the area under it over n squared."""
    rng, n = np.random.default_rng(7), 400
    scores = np.round(rng.normal(size=n), 1)
    sent = (rng.random(n) < 0.5).astype(int)
    outcomes = (rng.random(n) < np.clip(0.3 + sent * (0.1 + 0.15 * scores), 0, 1)).astype(float)
    tried = TriedPlan(outcomes=outcomes, sent=sent / 0.5, silent=(1 - sent) / 0.5)
    plan = ContactPlan(uplifts=scores, gains=scores, net_uplifts=scores, net_gains=scores, tried=tried)
    figures = figures_of({"model": plan}, np.arange(n))["model"].point
    assert figures["self_normalised_auuc"] == pytest.approx(0.05562523536577495, rel=1e-12)
    assert figures["self_normalised_qini"] == pytest.approx(0.05562523536577495 - 0.014212791512361128, rel=1e-12)
    assert n * figures["self_normalised_all"] == pytest.approx(11.370233209888902, rel=1e-12)


def test_equal_predictions_give_a_straight_line():
    plan = make_plan(seed=3)
    flat = replace(plan, uplifts=np.zeros(1000), gains=np.sort(plan.gains))
    figures = figures_of({"model": flat}, np.arange(1000))["model"]
    assert figures.point["qini"] == pytest.approx(0.0, abs=1e-9)
    assert figures.interval("slope") is None


def make_log(catalogue, *, seed: int, customers: int = 2500, per_customer: int = 2) -> Dataset:
    """Two messages with effects `taste` and its reverse, logged with probabilities that depend on the customer."""
    rng = np.random.default_rng(seed)
    who = np.repeat(np.arange(customers), per_customer)
    taste, spend = SPREAD * rng.normal(size=customers)[who], rng.gamma(2.0, 200.0, customers)[who]
    chance = np.where(spend > 400, 0.2, 0.4)
    draw = rng.random(len(who))
    actions = np.where(draw < chance, 1, np.where(draw < 2 * chance, 2, 0))
    own = np.where(actions == 0, 1 - 2 * chance, chance)
    effects = np.column_stack([np.zeros_like(taste), taste, -taste])
    known = messages_of(catalogue)
    return Dataset(
        decisions=pl.DataFrame({"decision_id": [f"D{row}" for row in range(len(who))]}),
        customers=who.astype(np.int64),
        features=taste[:, np.newaxis],
        feature_names=("taste",),
        contexts=np.column_stack([np.full(len(who), 7.0), np.zeros(len(who)), np.zeros(len(who))]),
        messages=tuple(known[key] for key in SENT),
        actions=actions.astype(np.int64),
        probabilities=own,
        values=spend + effects[np.arange(len(who)), actions] + rng.normal(0, 150, len(who)),
    )


def made_model(catalogue, *, right: float = 1.0, scale: float = 1.0) -> ValueModel:
    """A model that knows the taste of a share of decisions and has drawn another for the rest; `scale` exaggerates."""
    coding = MessageCoding(
        offer_kinds=catalogue.offer_kinds,
        channels=tuple(sorted(catalogue.channels)),
        attributes=catalogue.offer_attributes,
        offsets=dict.fromkeys(SENT, 0.0),
    )
    layout = DesignLayout(customer=("taste",), message=coding.columns)
    kind, first = layout.columns.index("offer_kind"), float(catalogue.offer_kinds.index("points"))
    width = len(SENT) + 1

    def predict(matrix: np.ndarray) -> np.ndarray:
        blocks = matrix.reshape(-1, width, matrix.shape[1]) if len(matrix) % width == 0 else matrix[:, np.newaxis]
        rng = np.random.default_rng(5)
        drawn = SPREAD * rng.normal(size=len(blocks))
        seen = np.where(rng.random(len(blocks)) < right, blocks[:, 0, 0], drawn)[:, np.newaxis]
        sign = np.where(np.isnan(blocks[..., kind]), 0.0, np.where(blocks[..., kind] == first, 1.0, -1.0))
        return (400.0 + scale * seen * sign).ravel()

    return plain_model(layout, coding, predict)


def report_of(catalogue, *, seed: int = 1, right: float = 1.0, scale: float = 1.0, **rivals: object) -> UpliftReport:
    model = made_model(catalogue, right=right, scale=scale)
    return report_choices(
        make_log(catalogue, seed=seed), UpliftRivals(model=model, constant=SENT[0], **rivals), Unit.MONEY, "EUR"
    )


HALF_NORMAL = sqrt(2 / pi) * SPREAD
"""Mean of |taste|, which the better of the two messages gains."""


def qini_of_half_normal() -> float:
    """The covariance of |taste| and its rank, by integration over a million of them."""
    sizes = np.abs(SPREAD * np.random.default_rng(0).normal(size=1_000_000))
    ranks = (np.argsort(np.argsort(sizes)) + 0.5) / sizes.size
    return float(np.cov(sizes, ranks)[0, 1])


def test_logged_probabilities_give_the_truth_by_all_three_estimators(shop_catalogue):
    report = report_of(shop_catalogue).model
    truth = qini_of_half_normal()
    for found in (report.qini, *report.checks.values()):
        assert found.lower < truth < found.upper
    assert set(report.checks) == {"inverse_probability", "self_normalised"}
    width = report.qini.upper - report.qini.lower
    assert width < 0.8 * (report.checks["inverse_probability"].upper - report.checks["inverse_probability"].lower)
    assert report.contact_all.lower < HALF_NORMAL < report.contact_all.upper
    assert report.beats_chance


def test_the_slope_tells_a_model_that_exaggerates(shop_catalogue):
    right, bold = report_of(shop_catalogue).model, report_of(shop_catalogue, scale=4.0).model
    assert right.slope.lower < 1.0 < right.slope.upper
    assert bold.slope.lower < 0.25 < bold.slope.upper
    assert bold.calibration_error > 3 * right.calibration_error


def test_realised_uplift_rises_with_predicted_uplift_bin_by_bin(shop_catalogue):
    bins = report_of(shop_catalogue).model.bins
    assert len(bins) == 10
    assert sum(one.decisions for one in bins) == 5000
    within = sum(one.realised.lower <= one.predicted <= one.realised.upper for one in bins)
    assert within >= 8
    assert bins[-1].realised.value > bins[0].realised.value


def test_the_incumbent_and_the_best_constant_are_compared_on_the_same_decisions(shop_catalogue):
    old = made_model(shop_catalogue, right=0.0)
    report = report_of(shop_catalogue, incumbent=old, incumbent_version="3")
    assert report.incumbent.version == "3"
    assert report.over_incumbent["qini"].lower > 0
    assert not report.incumbent.beats_chance
    assert report.constant.contact_all.lower < 0.0 < report.constant.contact_all.upper
    assert report.over_constant["all"].lower < HALF_NORMAL < report.over_constant["all"].upper
    same = report_of(shop_catalogue, incumbent=made_model(shop_catalogue), incumbent_version="3")
    assert same.over_incumbent["qini"].value == 0.0
    assert (same.over_incumbent["qini"].lower, same.over_incumbent["qini"].upper) == (0.0, 0.0)


def test_the_net_curve_falls_where_a_contact_costs_more_than_it_gains(shop_catalogue):
    """Contacts at 60 pay for half of the customers; the model stops there and loses less than by contacting all."""
    dear = replace(
        shop_catalogue,
        channels={name: replace(channel, cost_minor=60) for name, channel in shop_catalogue.channels.items()},
    )
    report = report_of(dear).model
    sizes = np.abs(SPREAD * np.random.default_rng(0).normal(size=1_000_000))
    assert report.net_stop.lower < np.maximum(sizes - 60, 0).mean() < report.net_stop.upper
    assert report.net_all.lower < HALF_NORMAL - 60 < report.net_all.upper
    assert report.stop_share == pytest.approx((sizes > 60).mean(), abs=0.03)
    at_stop = np.interp(report.stop_share, report.net_curve.shares, report.net_curve.values)
    assert at_stop == pytest.approx(report.net_stop.value, abs=1.0)
    assert len(report.net_curve.shares) == POINTS


def test_a_log_that_rules_have_shaped_is_reported_by_what_was_sent(shop_catalogue):
    dataset = make_log(shop_catalogue, seed=4)
    truth = dataset.values - np.where(dataset.actions == 1, 1, -1) * dataset.features[:, 0] * (dataset.actions > 0)
    model = made_model(shop_catalogue)
    worth = NetWorth.of(dataset.messages, Unit.MONEY)
    order = judge_kept(dataset, {"the model": model}, dataset.values, truth, worth).order
    report = report_kept(dataset, order, UpliftRivals(model=model, constant=SENT[0]), Unit.MONEY, "EUR")
    assert report.decisions == (dataset.actions > 0).sum()
    assert report.constant is None
    assert not report.model.checks
    cost = dataset.messages[0].channel.cost_minor
    assert report.model.net_all.value == pytest.approx(report.model.contact_all.value - cost)


def test_a_report_is_read_back_as_it_was_stored(shop_catalogue):
    report = report_of(shop_catalogue, incumbent=made_model(shop_catalogue, right=0.5), incumbent_version="2")
    assert UPLIFT_REPORTS.validate_json(UPLIFT_REPORTS.dump_json(report)) == report


def test_pictures_and_tables_are_written(shop_catalogue, tmp_path):
    report = report_of(shop_catalogue, incumbent=made_model(shop_catalogue, right=0.5), incumbent_version="2")
    paths = write_pictures(report, tmp_path)
    assert [path.name for path in paths] == ["qini.png", "uplift_deciles.png", "uplift_calibration.png", "net_gain.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)
    tables = {path.name: path for path in write_tables(report, tmp_path)}
    figures = pl.read_csv(tables["uplift_figures.csv"])
    own = figures.filter((pl.col("policy") == "model") & (pl.col("figure") == "qini"))
    assert own["value"].to_list() == [report.model.qini.value]
    assert set(figures["policy"]) == {"model", "champion 2", "model over best single message", "model over champion"}
    assert UPLIFT_REPORTS.validate_json(tables["uplift.json"].read_bytes()) == report
