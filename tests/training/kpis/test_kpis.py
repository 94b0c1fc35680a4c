"""KPIs: compared with counts by hand where possible, and with a known truth where there is chance."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import polars as pl
import pytest

from decisioning.catalogue.measure import Engagement, Returns
from decisioning.errors import InvalidInputError
from features.reports.kpis import KPI_FILES, Basis, KpiReport, KpiUnit, Side
from training.kpis.definitions import DEFINITIONS
from training.kpis.kpi_report import KpiReading, compute_kpis


@pytest.fixture
def computed(care_catalogue, care_ends_at):
    def call(log, *, days: float = 90.0, catalogue=care_catalogue) -> KpiReport:
        reading = KpiReading(as_of=care_ends_at, days=days, computed_at=care_ends_at, command="nextbest kpi compute")
        return compute_kpis(log, catalogue, reading)

    return call


def value(report: KpiReport, kpi_id: str, touchpoint: str | None = None, channel: str | None = None) -> float | None:
    row = report.row(touchpoint, channel)
    assert row is not None
    figure = row.figure(kpi_id)
    assert figure is not None
    return figure.value


def test_rates_are_over_delivered_messages_and_a_negative_response_outweighs_a_positive_one(
    computed, log_writer, care_ends_at
):
    at = care_ends_at - timedelta(days=20)
    for place in range(40):
        results = {0: ("bounced",), 1: ("delivered", "viewed", "unsubscribed"), 2: ("clicked",)}.get(
            place, ("delivered",)
        )
        log_writer.message(f"C-{place}", at, *results)
    log_writer.message("C-0", at, "delivered", channel="push")
    log_writer.message("C-0", at, offer_id=None, channel=None)  # silence is not a message
    report = computed(log_writer.log())
    assert value(report, "sent", channel="email") == 40
    assert value(report, "delivered_rate", channel="email") == 39 / 40
    assert value(report, "viewed_rate", channel="email") == 1 / 39
    assert value(report, "wanted_rate", channel="email") == 1 / 39  # clicked; viewed and unsubscribed is negative
    assert value(report, "unwanted_rate", channel="email") == 1 / 39
    assert value(report, "cost", channel="email") == 40
    assert value(report, "cost") == 40.5


def test_too_few_customers_give_a_reason_instead_of_a_number(computed, log_writer, care_ends_at):
    for _ in range(300):  # many messages, few customers
        log_writer.message(f"C-{_ % 29}", care_ends_at - timedelta(days=20), "delivered", "viewed")
    figure = computed(log_writer.log()).rows[0].figure("viewed_rate")
    assert (figure.value, figure.sample_size, figure.customer_count) == (None, 300, 29)
    assert figure.reason == "not enough data: 29 customers with messages that arrived, and it takes 30"


def test_a_purchase_is_credited_once_to_the_last_message_before_it_and_rows_add_up(computed, log_writer, care_ends_at):
    for place in range(60):
        name, at = f"C-{place}", care_ends_at - timedelta(days=40)
        log_writer.message(name, at, "delivered")
        log_writer.message(name, at + timedelta(days=2), "delivered", channel="push", touchpoint="app-home")
        log_writer.message(name, at + timedelta(days=3), "bounced")  # never arrived: no credit
        log_writer.event(name, "purchase", at + timedelta(days=1), amount_minor=100)
        log_writer.event(name, "purchase", at + timedelta(days=5), amount_minor=1_000)
        log_writer.event(name, "stamp_paid", at + timedelta(days=6), amount_minor=30)
        log_writer.event(name, "purchase", at + timedelta(days=30), amount_minor=9_999)  # after every window
    report = computed(log_writer.log())
    assert value(report, "contribution_total", channel="email") == 60 * 100
    assert value(report, "contribution_total", channel="push") == 60 * 970
    assert value(report, "contribution_total") == 60 * 1_070
    assert value(report, "contribution", "app-home", "push") == 970
    figure = report.row("app-home", "push").figure("roi")
    assert (figure.basis, figure.reason) == (Basis.ATTRIBUTED, "see the touchpoint")
    assert figure.value == pytest.approx((970 - 0.5) / 0.5)


def test_messages_with_an_open_window_are_left_out_of_money_and_reported(computed, log_writer, care_ends_at):
    for place in range(40):
        log_writer.message(f"C-{place}", care_ends_at - timedelta(days=2), "delivered")
    report = computed(log_writer.log())
    assert report.rows[0].figure("contribution").sample_size == 0
    assert "40 messages are left out of contribution and ROI: their window is not over yet." in report.notes


def test_with_random_decisions_the_increment_is_the_true_effect_and_attribution_exceeds_it(
    computed, shop, care_catalogue
):
    report = computed(shop)
    truth = sum(shop.effects_minor.values()) / 5  # one in five decisions was silence
    figure = report.row("weekly-mail", None).figure("incremental_contribution")
    assert figure.basis is Basis.INCREMENTAL
    assert figure.lower <= truth <= figure.upper
    assert figure.lower > 0
    roi = report.row("weekly-mail", None).figure("roi")
    assert roi.basis is Basis.INCREMENTAL
    assert roi.lower <= truth / (0.8 * care_catalogue.channels["email"].cost_minor) - 1 <= roi.upper
    assert value(report, "contribution", "weekly-mail", "email") > 3 * figure.value


def test_decisions_without_a_chance_of_silence_give_no_increment(computed, shop):
    never_silent = replace(shop, decisions=shop.decisions.with_columns(pl.lit(1.0).alias("action_probability")))
    figure = computed(never_silent).row("weekly-mail", None).figure("incremental_contribution")
    assert figure.value is None
    impossible = pl.when(pl.col("offer_id").is_null()).then(0.01).otherwise("action_probability")
    figure = (
        computed(replace(shop, decisions=shop.decisions.with_columns(action_probability=impossible)))
        .row("weekly-mail", None)
        .figure("incremental_contribution")
    )
    assert figure.reason == "silence was not among what chance could choose"


def test_the_universal_holdout_measures_the_value_of_all_messages(computed, log_writer, care_ends_at):
    rng = np.random.default_rng(5)
    for place in range(1_500):
        name, held, at = f"C-{place}", place % 5 == 0, care_ends_at - timedelta(days=60)
        if held:
            log_writer.message(name, at, offer_id=None, channel=None, is_held_out=True)
        else:
            log_writer.message(name, at, "delivered", is_held_out=False)
        spent = int(rng.gamma(2.0, 400.0)) + (0 if held else 250)
        log_writer.event(name, "purchase", at + timedelta(days=15), amount_minor=spent)
    report = computed(log_writer.log())
    figure, roi = report.rows[0].figure("incremental_contribution"), report.rows[0].figure("roi")
    assert figure.lower <= 250 <= figure.upper
    assert figure.lower > 100
    assert (roi.basis, roi.value) == (Basis.INCREMENTAL, pytest.approx(figure.value / 1.0 - 1))
    assert any("universal holdout" in note for note in report.notes)


def test_contacts_before_a_customers_first_decision_are_not_counted_as_cost(computed, log_writer, care_ends_at):
    """Every message costs 1 and brings 21 more: a return of 20, whatever another tool had sent before."""
    for place in range(500):
        name, held, at = f"C-{place}", place % 5 == 0, care_ends_at - timedelta(days=40)
        for day in range(9 if held else 7):  # imported: sent by another tool, slightly more to held-out customers
            log_writer.message(name, at - timedelta(days=day + 1), "delivered")
            log_writer.event(name, "purchase", at - timedelta(days=day + 1, hours=-1), amount_minor=5_000)
        for week in range(4):
            sent = {"offer_id": None, "channel": None} if held else {}
            log_writer.message(name, at + timedelta(days=7 * week), is_held_out=held, **sent)
            amount = 100 + place // 5 % 7 + (0 if held else 21)
            log_writer.event(name, "purchase", at + timedelta(days=7 * week + 1), amount_minor=amount)
    roi = computed(log_writer.log()).rows[0].figure("roi")
    assert roi.basis is Basis.INCREMENTAL
    assert roi.value == pytest.approx(20.0)
    assert roi.lower < 20.0 < roi.upper


def test_a_message_that_was_never_sent_has_no_cost_in_the_increment_either(computed, shop):
    sent = shop.decisions.filter(pl.col("offer_id").is_not_null()).sort("decision_id")
    unsent = sent.filter(pl.int_range(pl.len()) % 2 == 0)
    told = unsent.select(
        pl.format("never-{}", "decision_id").alias("outcome_id"),
        "decision_id",
        "customer_id",
        type=pl.lit("not_sent"),
        occurred_at="decided_at",
    )
    outcomes = pl.concat([shop.outcomes, told], how="diagonal")
    all_left, half_left = (
        computed(one).row("weekly-mail", None).figure("roi") for one in (shop, replace(shop, outcomes=outcomes))
    )
    assert half_left.value + 1 == pytest.approx(2 * (all_left.value + 1), rel=0.01)


def test_times_to_answer_and_resolution_match_the_simulated_ones(computed, service_log):
    report = computed(service_log(old_hours=20.0, new_hours=20.0))
    median, late = report.rows[0].figure("hours_to_answer_median"), report.rows[0].figure("hours_to_answer_p90")
    assert median.lower <= 20 * np.log(2) <= median.upper
    assert late.lower <= 20 * np.log(10) <= late.upper
    assert median.sample_size == 800
    resolution = report.rows[0].figure("hours_to_resolution_median")
    assert resolution.value > median.value
    assert value(report, "contacts_per_case") == 1


def test_cases_are_counted_on_their_channel_and_at_touchpoints_that_reached_the_customer(
    computed, log_writer, care_ends_at
):
    at = care_ends_at - timedelta(days=30)
    for place in range(60):
        name, channel = f"C-{place}", "email" if place < 40 else "push"
        log_writer.case(name, at, answer_hours=2.0 if place < 40 else 50.0, resolution_hours=60.0, channel=channel)
        log_writer.event(name, "call_note", at + timedelta(hours=30))
        log_writer.event(name, "call_note", at + timedelta(hours=90))  # after the resolution
        if place >= 40:
            log_writer.message(name, at + timedelta(hours=10), "delivered", touchpoint="app-home", channel="push")
        log_writer.message(name, at + timedelta(days=20), "delivered")
    report = computed(log_writer.log())
    assert value(report, "hours_to_answer_median", channel="email") == 2
    assert value(report, "hours_to_answer_median", channel="push") == 50
    assert value(report, "hours_to_answer_median", "app-home") == 50
    assert report.row("weekly-mail", None).figure("hours_to_answer_median").sample_size == 0
    assert value(report, "contacts_per_case") == 2


def test_satisfaction_counts_within_seven_days_after_a_contact_or_a_resolution(computed, log_writer, care_ends_at):
    at = care_ends_at - timedelta(days=30)
    for place in range(90):
        name = f"C-{place}"
        if place < 60:
            log_writer.message(name, at, "delivered")
        else:
            log_writer.case(name, at - timedelta(days=1), answer_hours=1.0, resolution_hours=24.0)
        score = 10 if place % 3 else 3
        asked = {"survey": "nps", "score": score}
        log_writer.event(name, "survey_answer", at + timedelta(days=6), properties=asked)
        late = {"survey": "csat", "score": 1}
        log_writer.event(name, "survey_answer", at + timedelta(days=9), properties=late)
    report = computed(log_writer.log())
    assert value(report, "nps") == pytest.approx(100 * (2 / 3 - 1 / 3))
    assert report.rows[0].figure("nps").sample_size == 90
    assert report.row("weekly-mail", "email").figure("nps").sample_size == 60
    assert report.rows[0].figure("csat").sample_size == 0


def test_a_repeat_purchase_is_on_another_day_within_ninety_days_of_the_first(computed, log_writer, care_ends_at):
    for place in range(40):
        name, first = f"C-{place}", care_ends_at - timedelta(days=120)
        log_writer.event(name, "purchase", first, amount_minor=100)
        log_writer.event(name, "purchase", first + timedelta(hours=1), amount_minor=100)  # the same day
        if place < 10:
            log_writer.event(name, "purchase", first + timedelta(days=80), amount_minor=100)
        elif place < 20:
            log_writer.event(name, "purchase", first + timedelta(days=100), amount_minor=100)
        log_writer.event(name, "purchase", care_ends_at - timedelta(days=10), amount_minor=100)
    assert value(computed(log_writer.log()), "repeat_purchase_rate") == 10 / 40


def test_events_after_the_moment_do_not_count(shop, care_catalogue, care_ends_at):
    cut = pl.col("occurred_at") < care_ends_at - timedelta(days=14)
    before = replace(
        shop,
        events=shop.events.filter(cut),
        outcomes=shop.outcomes.filter(cut),
        decisions=shop.decisions.filter(pl.col("decided_at") < care_ends_at - timedelta(days=14)),
    )
    reading = KpiReading(
        as_of=care_ends_at - timedelta(days=14), days=60.0, computed_at=care_ends_at, command="nextbest kpi compute"
    )
    assert compute_kpis(shop, care_catalogue, reading) == compute_kpis(before, care_catalogue, reading)


def test_every_figure_says_what_it_counts_and_is_read_back_unchanged(computed, shop):
    report = computed(shop)
    assert {figure.kpi_id for figure in report.rows[0].figures} == set(DEFINITIONS)
    assert all(each.counts and each.interval for each in report.definitions)
    assert {each.side for each in report.definitions} == set(Side)
    assert report.definition("nps").unit is KpiUnit.POINTS
    assert KPI_FILES.from_json(KPI_FILES.to_json(report)) == report
    with pytest.raises(InvalidInputError, match="KPI report must be JSON written by"):
        KPI_FILES.from_json(b"{}")
    newer = KPI_FILES.to_json(replace(report, format_version=9))
    with pytest.raises(InvalidInputError, match=r"format must be 1, got 9; run `nextbest kpi compute` again"):
        KPI_FILES.from_json(newer)


def test_without_a_money_measure_there_is_no_contribution_and_a_period_must_have_a_length(
    computed, shop, care_catalogue
):
    rates = {"clicked": care_catalogue.measures["clicked"]}
    learning = replace(care_catalogue.learning, measure_id="clicked")
    report = computed(shop, catalogue=replace(care_catalogue, measures=rates, learning=learning))
    assert report.measure_id is None
    assert report.rows[0].figure("roi").reason == "the catalogue declares no measure of money"
    with pytest.raises(InvalidInputError, match="days must be positive"):
        computed(shop, days=0)


def test_what_machines_opened_is_counted_apart_by_channel_and_people_stay(
    computed, care_catalogue, log_writer, care_ends_at
):
    at = care_ends_at - timedelta(days=20)
    for place in range(40):
        decision_id = log_writer.message(f"C-{place}", at, "delivered")
        moment = at + timedelta(hours=1)
        for name, seconds in (("viewed", 2.5),) if place < 30 else (("viewed", 400.5), ("clicked", 430.5)):
            log_writer.rows["outcomes"].append(
                {"outcome_id": f"{name}-{place}", "decision_id": decision_id, "customer_id": f"C-{place}", "type": name,
                 "occurred_at": moment + timedelta(seconds=seconds)}
            )  # fmt: skip
    scanned = replace(care_catalogue, engagement=Engagement(scanned_channels=frozenset({"email"})))
    report = computed(log_writer.log(), catalogue=scanned)
    assert value(report, "viewed_raw_rate", channel="email") == 1.0
    assert value(report, "viewed_rate", channel="email") == value(report, "wanted_rate", channel="email") == 0.25
    assert value(report, "machine_viewed_share", channel="email") == 0.75
    assert value(report, "clicked_rate", channel="email") == value(report, "clicked_raw_rate") == 0.25
    assert value(report, "delivered_rate", channel="email") == 1.0
    (told,) = [note for note in report.notes if note.startswith("Machines")]
    assert told == (
        "Machines on email: 30 of 40 views and 0 of 10 clicks (within 5 seconds of delivery 30); each counts for 0 of a"
        " person's."
    )
    (week,) = report.machines
    assert (week.channel, week.until_at, week.from_at) == ("email", at + timedelta(days=6), at - timedelta(days=1))
    assert (week.views, week.machine_views, week.clicks, week.machine_clicks) == (40, 30, 10, 0)
    half = replace(care_catalogue, engagement=Engagement(machine_weight=0.5, scanned_channels=frozenset({"email"})))
    assert value(computed(log_writer.log(), catalogue=half), "viewed_rate", channel="email") == 0.625


def test_a_return_takes_back_the_credit_of_the_message_once_it_is_known(
    computed, care_catalogue, log_writer, care_ends_at
):
    for place in range(40):
        name, at = f"C-{place}", care_ends_at - timedelta(days=40)
        log_writer.message(name, at, "delivered")
        log_writer.event(name, "purchase", at + timedelta(days=1), amount_minor=1_000)
        log_writer.event(name, "return", at + timedelta(days=25 if place else 50), amount_minor=1_000)
    net = replace(care_catalogue.measures["net_revenue"], returns=Returns(window_days=90, events=frozenset({"return"})))
    catalogue = replace(care_catalogue, measures={**care_catalogue.measures, "net_revenue": net})
    assert value(computed(log_writer.log()), "contribution_total", channel="email") == 40_000
    report = computed(log_writer.log(), catalogue=catalogue)
    assert value(report, "contribution_total", channel="email") == 1_000
    assert "39 returns take back what they brought at the moment of the purchase." in report.notes
