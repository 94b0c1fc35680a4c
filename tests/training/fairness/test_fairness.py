"""Fairness: a planted bias is found, chance is not mistaken for one, and missing data is never called fair."""

from dataclasses import replace
from datetime import timedelta

import numpy as np
import pytest

from decisioning.errors import InvalidInputError
from features.catalogue.fairness_rules import FairnessMeasure, FairnessRules, Grouping, Guardrail
from features.reports.fairness import FAIRNESS_FILES, FairnessReport, FairnessVerdict
from features.reports.readout_words import SPACE
from training.fairness.fairness_report import read_fairness
from training.fairness.groups import groups_of
from training.kpis.contacts import KpiPeriod
from training.kpis.kpi_report import KpiReading

ANSWERS = Guardrail(
    guardrail_id="answers-to-new", measure=FairnessMeasure.ANSWERED_IN_TIME, groups="tenure", tolerance=0.05
)


@pytest.fixture
def compare(care_catalogue, care_ends_at):
    def call(log, *guardrails: Guardrail, days: float = 90.0) -> FairnessReport:
        reading = KpiReading(as_of=care_ends_at, days=days, computed_at=care_ends_at, command="nextbest fairness read")
        return read_fairness(log, care_catalogue, FairnessRules(guardrails=guardrails), reading)

    return call


def test_slow_answers_to_new_customers_are_found_and_named(compare, service_log):
    found = compare(service_log(old_hours=8.0, new_hours=30.0), ANSWERS).comparisons[0]
    assert (found.verdict, found.is_guardrail) == (FairnessVerdict.GAP, True)
    new, old = sorted(found.standings, key=lambda each: each.group)
    truth = (1 - np.exp(-24 / 8)) - (1 - np.exp(-24 / 30))
    assert (new.group, new.verdict, old.verdict) == ("new", FairnessVerdict.GAP, FairnessVerdict.FAIR)
    assert new.lower <= truth <= new.upper
    assert found.sentence.startswith(
        "answers-to-new (answered_in_time by tenure): new fares worse than everybody else by"
    )


def test_the_repair_of_slow_answers_is_priced_in_answers_money_and_losses_of_others(
    compare, service_log, care_catalogue
):
    comparison = compare(service_log(old_hours=8.0, new_hours=30.0), ANSWERS).comparisons[0]
    more, moved = comparison.repairs
    new = next(each for each in comparison.standings if each.group == "new")
    assert more.amount == pytest.approx((new.worse_by - 0.05) * 200 / 3)  # 200 cases in three months
    assert more.cost_minor is None  # the shop has no recovery message
    assert moved.amount == pytest.approx((new.worse_by - 0.05) / (3 / 200 + 3 / 600))
    assert more.amount_lower < more.amount < more.amount_upper
    loss = moved.amount / 200  # of the other group's 200 cases a month
    assert moved.side_effect == f"everybody else is answered in time {100 * loss:.1f} points less often"
    assert (new.value + moved.amount / (200 / 3)) == pytest.approx(new.rest - loss - 0.05)


def test_with_equal_answer_times_no_gap_is_found_however_many_groups_are_compared(compare, service_log):
    gaps = 0
    for seed in range(12):
        report = compare(service_log(count=500, seed=seed))
        gaps += any(each.verdict is FairnessVerdict.GAP for each in report.comparisons)
    assert gaps <= 2


def test_groups_that_are_certainly_within_tolerance_are_fair(compare, service_log):
    log = service_log(old_hours=4.0, new_hours=4.0, count=1_600)
    comparison = compare(log, replace(ANSWERS, tolerance=0.1)).comparisons[0]
    assert comparison.verdict is FairnessVerdict.FAIR
    assert "no group fares worse than everybody else by more than 10.0 points" in comparison.sentence.replace(
        SPACE, " "
    )


def test_a_comparison_that_may_be_fair_or_a_gap_is_unknown(compare, service_log):
    (found,) = compare(service_log(old_hours=12.0, new_hours=13.0, count=400), ANSWERS).not_passed()
    assert found.verdict is FairnessVerdict.UNKNOWN
    assert "new may fare worse by up to" in found.sentence
    new = next(each for each in found.standings if each.group == "new")
    assert new.lower < 0.05 < new.upper


def test_missing_data_is_unknown_and_passes_no_guardrail(compare, service_log, log_writer, care_ends_at):
    few = compare(service_log(count=60), ANSWERS)
    assert [each.verdict for each in few.not_passed()] == [FairnessVerdict.UNKNOWN]
    assert "not enough data: 15 customers on one side, and it takes 30" in few.comparisons[0].sentence
    for place in range(100):
        log_writer.customer(f"C-{place}")
    nothing = compare(log_writer.log(), *(replace(ANSWERS, measure=each) for each in FairnessMeasure))
    assert len(nothing.not_passed()) == len(FairnessMeasure)


def test_without_a_promised_time_nobody_was_answered_in_time(compare, service_log, shop_catalogue, care_ends_at):
    reading = KpiReading(as_of=care_ends_at, days=90.0, computed_at=care_ends_at, command="c")
    report = read_fairness(service_log(), shop_catalogue, FairnessRules(guardrails=(ANSWERS,)), reading)
    assert "no kind of case promises an answer: declare answer_within_hours" in report.comparisons[0].sentence
    assert report.not_passed()


def test_open_cases_count_as_waiting(compare, log_writer, care_ends_at):
    """Missing answers leave no event: from events alone, old and new customers would look equal."""
    for place in range(400):
        name, is_new = f"C-{place}", place % 4 == 0
        log_writer.customer(name, joined_at=care_ends_at - timedelta(days=120 if is_new else 900))
        hours = 5_000.0 if is_new and place % 8 == 0 else 2.0
        log_writer.case(name, care_ends_at - timedelta(days=30), answer_hours=hours, resolution_hours=hours + 1)
    hours_guardrail = replace(ANSWERS, measure=FairnessMeasure.HOURS_TO_ANSWER, tolerance=12.0)
    in_time, waited = compare(log_writer.log(), ANSWERS, hours_guardrail).comparisons[:2]
    assert in_time.verdict is FairnessVerdict.GAP
    new = next(each for each in waited.standings if each.group == "new")
    assert (waited.verdict, new.value) == (FairnessVerdict.GAP, 0.5 * 168 + 0.5 * 2)


@pytest.fixture
def contacted(log_writer, care_ends_at):
    """600 customers; every fifth has a high value and gets four messages where others get one."""
    for place in range(600):
        name, is_top = f"C-{place}", place % 5 == 0
        log_writer.customer(name, country="DE" if place < 300 else "FR")
        spent = 9_000 + place if is_top else 100
        log_writer.event(name, "purchase", care_ends_at - timedelta(days=200), amount_minor=spent)
        for number in range(4 if is_top else 1):
            results = ("delivered", "declined") if is_top and number == 0 else ("delivered", "viewed")
            log_writer.message(name, care_ends_at - timedelta(days=60 - number), *results)
    return log_writer


def test_a_heavier_burden_of_contacts_is_found_by_value_tier_and_not_by_region(compare, contacted):
    burden = Guardrail(guardrail_id="b", measure=FairnessMeasure.CONTACT_BURDEN, groups="value_tier", tolerance=0.5)
    by_value, by_region = compare(
        contacted.log(), burden, replace(burden, guardrail_id="r", groups="region")
    ).comparisons[:2]
    top = next(each for each in by_value.standings if each.group == "top")
    assert (by_value.verdict, by_region.verdict) == (FairnessVerdict.GAP, FairnessVerdict.FAIR)
    assert (top.value, top.rest) == (pytest.approx(4 / 3), pytest.approx(1 / 3))


def test_if_all_customers_have_the_same_number_chance_cannot_be_assessed(compare, contacted):
    contacted.rows["decisions"] = [each for each in contacted.rows["decisions"] if each["customer_id"] == "C-1"]
    contacted.rows["outcomes"] = [each for each in contacted.rows["outcomes"] if each["customer_id"] == "C-1"]
    for place in range(600):
        contacted.message(f"C-{place}", contacted.rows["decisions"][0]["decided_at"], "delivered")
    contacted.rows["decisions"] = contacted.rows["decisions"][1:]
    burden = Guardrail(guardrail_id="b", measure=FairnessMeasure.CONTACT_BURDEN, groups="value_tier", tolerance=0.5)
    found = compare(contacted.log(), burden).comparisons[0]
    assert found.verdict is FairnessVerdict.UNKNOWN
    assert "everybody has the same, so chance cannot be judged" in found.sentence


def test_events_in_the_period_move_no_customer_between_groups(care_catalogue, contacted, care_ends_at):
    period = KpiPeriod.of_days(care_ends_at, 90.0)
    before = {each: groups_of(contacted.log(), care_catalogue, each, period) for each in Grouping}
    for place in range(600):
        at = care_ends_at - timedelta(days=30)
        contacted.event(f"C-{place}", "purchase", at, amount_minor=1_000_000 - 1_000 * place)
        contacted.message(f"C-{place}", at, "clicked", channel="push")
    after = {each: groups_of(contacted.log(), care_catalogue, each, period) for each in Grouping}
    assert all(before[each].equals(after[each]) for each in Grouping)
    assert before[Grouping.VALUE_TIER]["group"].value_counts().sort("group").rows() == [("top", 120), ("usual", 480)]


def test_unknown_customers_are_a_group_and_small_groups_are_merged(care_catalogue, log_writer, care_ends_at):
    countries = ["DE"] * 150 + ["FR"] * 45 + ["IT", "ES", "PT"] + [None] * 2
    for place, country in enumerate(countries):
        log_writer.customer(f"C-{place:03d}", country=country, attributes={"region": "north"})
    period = KpiPeriod.of_days(care_ends_at, 90.0)
    found = groups_of(log_writer.log(), care_catalogue, "region", period)["group"].value_counts().sort("group").rows()
    assert found == [("DE", 150), ("FR", 45), ("other", 3), ("unknown", 2)]
    by_attribute = groups_of(log_writer.log(), care_catalogue, "customer.region", period)
    assert by_attribute["group"].unique().to_list() == ["north"]


def test_benefit_is_the_gain_over_silence_in_each_group(compare, log_writer, care_ends_at):
    rng = np.random.default_rng(6)
    for place in range(3_000):
        name, held, is_new = f"C-{place}", place % 3 == 0, place % 2 == 0
        log_writer.customer(name, joined_at=care_ends_at - timedelta(days=120 if is_new else 900))
        at, offer = care_ends_at - timedelta(days=60), None if held else "ten-percent"
        log_writer.message(name, at, offer_id=offer, channel=None if held else "email", is_held_out=held)
        gain = 0 if held or is_new else 800
        base = 3_000 if is_new else 500  # new customers buy more whatever they are sent
        log_writer.event(
            name, "purchase", at + timedelta(days=9), amount_minor=int(rng.gamma(2.0, 200.0)) + base + gain
        )
    benefit = Guardrail(guardrail_id="b", measure=FairnessMeasure.BENEFIT, groups="tenure", tolerance=200.0)
    comparison = compare(log_writer.log(), benefit).comparisons[0]
    new = next(each for each in comparison.standings if each.group == "new")
    assert (comparison.verdict, new.verdict) == (FairnessVerdict.GAP, FairnessVerdict.GAP)
    assert new.lower <= 800 <= new.upper


def test_a_stored_report_is_read_back_unchanged(compare, service_log):
    report = compare(service_log(new_hours=40.0), ANSWERS)
    assert FAIRNESS_FILES.from_json(FAIRNESS_FILES.to_json(report)) == report
    assert report.of_guardrail(replace(ANSWERS, tolerance=0.2)) is None
    with pytest.raises(InvalidInputError, match="fairness report must be JSON written by"):
        FAIRNESS_FILES.from_json(b"[]")
    with pytest.raises(InvalidInputError, match="format must be 1, got 7"):
        FAIRNESS_FILES.from_json(FAIRNESS_FILES.to_json(replace(report, format_version=7)))


def test_measures_without_a_guardrail_are_compared_too_and_listed_separately(compare, service_log):
    report = compare(service_log(old_hours=8.0, new_hours=40.0))
    assert not report.not_passed()
    assert any(each.verdict is FairnessVerdict.GAP and not each.is_guardrail for each in report.comparisons)
    assert "The catalogue declares no guardrail" in report.notes[0]
    assert "show a gap: declare a guardrail" in report.notes[1]


def test_groups_too_small_to_judge_alone_are_judged_together(compare, log_writer, care_ends_at):
    for place in range(300):
        name, country = f"C-{place}", ("DE", "FR", "IT", "ES", "PT", "AT")[min(place // 20, 5)]
        log_writer.customer(name, country=country)
        hours = 60.0 if place < 100 else 2.0
        log_writer.case(name, care_ends_at - timedelta(days=30), answer_hours=hours, resolution_hours=90.0)
    by_region = replace(ANSWERS, groups="region")
    found = compare(log_writer.log(), by_region).comparisons[0]
    assert {each.group: each.verdict for each in found.standings} == {
        "AT": FairnessVerdict.FAIR,
        "other": FairnessVerdict.GAP,
    }
