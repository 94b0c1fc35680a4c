"""Every section of the files becomes a type of the core, in the core's units, and is part of the version."""

import shutil
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from decisioning.catalogue.care import DEFAULT_CARE, CaseKind
from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.contact_policy import Cap, CapUnit, Fatigue, PressureBudget, Suppression, SuppressionScope
from decisioning.catalogue.experiment import Arm, ArmPolicy, AssignedUnit, ProgrammeHoldout
from decisioning.catalogue.exploration import Exploration, ExplorationKind, Ramp
from decisioning.catalogue.levers import ArbitrationSwitches, Lever, LeverScope
from decisioning.catalogue.limits import DepartmentShare, Limit, LimitMeasure, LimitScope, Period
from decisioning.catalogue.message import MessageClass
from decisioning.catalogue.message_classes import DEFAULT_CLASSES, CapScope, Layer
from decisioning.catalogue.quiet_hours import QuietRule
from decisioning.rules.predicate import Compare, Comparison
from features.catalogue import check_catalogue, load_catalogue
from features.catalogue.building.public_holidays import public_holidays
from features.log.event_types import EventType

SHOP = Path(__file__).parents[2] / "catalogues" / "shop"
DAY = 86_400.0

SECTIONS = """
contact_policy:
  caps:
    week: {scope: everything, limit: 3, window_days: 7}
    house: {scope: channel, of: email, limit: 1, window_hours: 36, per: household}
  pressure: {limit: 10, window_days: 7, class_weights: {service: 0.5}, channel_weights: {push: 3}}
  suppressions: [{after: unsubscribed, scope: channel}, {after: declined, scope: offer, days: 30}]
  look_ahead_hours: 48
  fatigue: {cost: 0.02, half_life_days: 7}
quiet_hours:
  unknown_zones: [Europe/Lisbon, Europe/Berlin]
  countries: [FR]
  rules: [{from: "21:00", until: "08:00"}, {channels: [push], days: [sat, sun]}, {holidays: true, countries: [DE, AT]}]
care:
  pauses: [marketing, service]
  cases: {lost_item: {opened_by: [stamp_paid], cooldown_days: {normal: 7, high: 21}, max_open_days: null}}
limits:
  slots: {scope: channel, of: push, amount: 200, per: hour, zone: Europe/Berlin}
  pot: {scope: department, of: marketing, budget: 10000.00, starts_at: 2026-10-01, ends_at: 2027-01-01}
shares: {service: {department: service, min: 0.2, per: week, slack: 5}}
levers:
  push-loyalty:
    {goal: loyalty, factor: 1.5, owner: retention team, reason: a test, expires_on: 2040-12-31,
     when: {fact: live.browse_count_1h, at_least: 1}}
arbitration: {fatigue: false}
holdouts: {loyalty-programme: {share: 0.05, salt: lp-1, goals: [loyalty], departments: [service], unit: household}}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SHOP, tmp_path / "shop"))


@pytest.fixture
def catalogue(folder: Path) -> Catalogue:
    (folder / "rules.yaml").write_text(SECTIONS, encoding="utf-8")
    return load_catalogue(folder)


def replace_in(path: Path, old: str, new: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new, 1), encoding="utf-8")


def test_the_contact_policy_uses_seconds_and_minor_units(catalogue: Catalogue) -> None:
    policy = catalogue.contact_policy
    assert policy.caps == (
        Cap(cap_id="house", scope=CapScope.CHANNEL, of="email", limit=1, window_seconds=1.5 * DAY,
            unit=CapUnit.HOUSEHOLD),
        Cap(cap_id="week", scope=CapScope.EVERYTHING, limit=3, window_seconds=7 * DAY),
    )  # fmt: skip
    assert policy.pressure == PressureBudget(
        limit=10,
        window_seconds=7 * DAY,
        class_weights={MessageClass.SERVICE: 0.5},
        channel_weights={"push": 3},
    )
    assert policy.suppressions == (
        Suppression(after="declined", scope=SuppressionScope.OFFER, cooldown_seconds=30 * DAY),
        Suppression(after="unsubscribed", scope=SuppressionScope.CHANNEL, cooldown_seconds=None),
    )
    assert policy.look_ahead_seconds == 2 * DAY
    assert policy.fatigue == Fatigue(cost_minor=2, half_life_seconds=7 * DAY)


def test_quiet_hours_are_minutes_days_and_dates(catalogue: Catalogue) -> None:
    hours = catalogue.quiet_hours
    assert set(hours.rules) == {
        QuietRule(from_minute=21 * 60, until_minute=8 * 60),
        QuietRule(channels=frozenset({"push"}), weekdays=frozenset({5, 6})),
        QuietRule(countries=frozenset({"DE", "AT"}), only_holidays=True),
    }
    assert hours.unknown_zones == ("Europe/Berlin", "Europe/Lisbon")
    assert set(hours.holidays) == {"AT", "DE", "FR"}
    assert date(2026, 10, 3) in hours.holidays["DE"]
    assert date(2026, 7, 14) in hours.holidays["FR"]
    assert {day.year for day in hours.holidays["DE"]} == set(range(2020, 2041))


def test_public_holidays_are_read_for_named_countries_only() -> None:
    assert load_catalogue(SHOP).quiet_hours.holidays == {}
    assert list(public_holidays(["FR", "DE", "FR"])) == ["DE", "FR"]


def test_care_names_its_events_and_cooldowns(catalogue: Catalogue) -> None:
    assert catalogue.care.paused_classes == {MessageClass.MARKETING, MessageClass.SERVICE}
    assert catalogue.care.kinds == {
        "lost_item": CaseKind(
            kind="lost_item",
            opened_by=frozenset({"stamp_paid"}),
            resolved_by=frozenset({"case_resolved"}),
            cooldown_seconds={"high": 21 * DAY, "normal": 7 * DAY},
            default_severity="normal",
            max_open_seconds=None,
        )
    }


def test_without_a_care_section_the_common_kinds_of_cases_are_known() -> None:
    care = load_catalogue(SHOP).care
    assert care == DEFAULT_CARE
    assert set(care.kinds) == {"complaint", "outage", "failed_payment", "delayed_delivery", "lost_item"}
    assert care.kinds["complaint"].opened_by == {"case_opened", "complaint", "service_ticket"}
    assert care.kinds["outage"].opened_by == {"case_opened"}


def test_limits_are_messages_or_minor_units(catalogue: Catalogue) -> None:
    assert catalogue.limits == (
        Limit(
            limit_id="pot",
            scope=LimitScope.DEPARTMENT,
            of="marketing",
            amount=1_000_000,
            measure=LimitMeasure.COST,
            starts_at=datetime(2026, 10, 1, tzinfo=UTC),
            ends_at=datetime(2027, 1, 1, tzinfo=UTC),
        ),
        Limit(
            limit_id="slots",
            scope=LimitScope.CHANNEL,
            of="push",
            amount=200,
            period=Period.HOUR,
            zone="Europe/Berlin",
        ),
    )
    assert catalogue.shares == (
        DepartmentShare(share_id="service", department="service", min_share=0.2, period=Period.WEEK, slack=5),
    )


def test_a_lever_applies_until_the_end_of_its_last_day(catalogue: Catalogue) -> None:
    assert catalogue.levers == (
        Lever(
            lever_id="push-loyalty",
            scope=LeverScope.GOAL,
            of="loyalty",
            factor=1.5,
            owner="retention team",
            reason="a test",
            expires_at=datetime(2041, 1, 1, tzinfo=UTC),
            when=Compare(fact="live.browse_count_1h", comparison=Comparison.AT_LEAST, value=1.0),
        ),
    )
    assert catalogue.switches == ArbitrationSwitches(fatigue=False)


def test_programme_holdouts_name_their_programme(catalogue: Catalogue) -> None:
    assert catalogue.programme_holdouts == (
        ProgrammeHoldout(
            programme_id="loyalty-programme",
            share=0.05,
            salt="lp-1",
            goals=frozenset({"loyalty"}),
            departments=frozenset({"service"}),
            unit=AssignedUnit.HOUSEHOLD,
        ),
    )


def test_a_line_of_the_matrix_replaces_only_the_fields_it_names(folder: Path) -> None:
    replace_in(
        folder / "catalogue.yaml",
        "service: {precedence: false}",
        "service: {bypasses: [care], precedence: false}\n  recovery: {counts_towards: [offer, everything]}",
    )
    classes = load_catalogue(folder).classes
    assert classes[MessageClass.SERVICE].bypasses == {Layer.CARE}
    assert classes[MessageClass.SERVICE].counts_towards == set(CapScope)
    assert classes[MessageClass.RECOVERY].counts_towards == {CapScope.OFFER, CapScope.EVERYTHING}
    assert classes[MessageClass.RECOVERY].bypasses == DEFAULT_CLASSES[MessageClass.RECOVERY].bypasses
    assert classes[MessageClass.MANDATORY] == DEFAULT_CLASSES[MessageClass.MANDATORY]


def test_exploration_touchpoints_channels_offers_and_arms_have_their_new_fields(folder: Path) -> None:
    main, offers = folder / "catalogue.yaml", folder / "offers.yaml"
    replace_in(main, "{epsilon: 0.1, min_probability: 0.005}",
               "{kind: inverse_gap, gap_scale: 2.50, prior_deviation: 0.75, ramp: {needed: 50}}")  # fmt: skip
    replace_in(main, "app-home: {channels: [push]", "app-home: {permit: required, reserve_hours: 2, channels: [push]")
    replace_in(main, "push: {cost: 0.005",
               'push: {max_sms_segments: 2, max_line_width: 78, lead_time_days: 3, cut_off: "14:30", '
               "zone: Europe/Berlin, cost: 0.005")  # fmt: skip
    replace_in(main, "    touchpoints: [weekly-mail]\n",
               "    touchpoints: [weekly-mail]\n    layer: mail\n    traffic: 0.5\n    unit: household\n")  # fmt: skip
    replace_in(main, "engine: {share: 0.5}", "engine: {share: 0.5, policy: model, model: challenger}")
    replace_in(offers, "    kind: gift",
               "    kind: gift\n    urgency: 2\n    never_with: [ten-percent]\n    not_after: {double-stamps: 2}\n"
               "    applicability: {fact: live.care, is_missing: true}\n"
               "    suitability: {fact: customer.region, equals: north}")  # fmt: skip
    first_push = "      - creative: plain\n        channel: push\n"
    replace_in(offers, first_push, f"{first_push}        suitability: {{fact: customer.age, at_least: 18}}\n")
    catalogue = load_catalogue(folder)
    assert catalogue.exploration == Exploration(
        kind=ExplorationKind.INVERSE_GAP, gap_scale_minor=250, prior_deviation_minor=75, ramp=Ramp(needed=50)
    )
    home = catalogue.touchpoints["app-home"]
    assert (home.needs_permit, home.reserve_seconds) == (True, 7200)
    push = catalogue.channels["push"]
    assert (push.max_sms_segments, push.max_line_width, push.lead_time_seconds) == (2, 78, 3 * DAY)
    assert (push.cut_off_minute, push.zone) == (870, "Europe/Berlin")
    (experiment,) = catalogue.experiments
    assert (experiment.layer, experiment.traffic, experiment.unit) == ("mail", 0.5, AssignedUnit.HOUSEHOLD)
    assert experiment.arms[1] == Arm(arm_id="engine", share=0.5, policy=ArmPolicy.MODEL, model_alias="challenger")
    coffee = catalogue.offers["free-coffee"]
    assert (coffee.urgency, coffee.never_with, coffee.not_after) == (2, {"ten-percent"}, {"double-stamps": 2 * DAY})
    assert coffee.applicability == Compare(fact="live.care", comparison=Comparison.IS_MISSING, value=True)
    assert coffee.suitability == Compare(fact="customer.region", comparison=Comparison.EQUALS, value="north")
    ruled = [each for each in catalogue.creatives if each.suitability != coffee.eligibility]
    assert [(each.offer_id, each.channel_id) for each in ruled] == [("double-stamps", "push")]


@pytest.mark.parametrize("fact", ["live.message_count_24h", "live.open_case_count", "live.stamp_paid_count_24h",
                                  *(f"live.{event}_recency_minutes" for event in EventType)])  # fmt: skip
def test_rules_may_use_live_facts(folder: Path, fact: str) -> None:
    replace_in(folder / "offers.yaml", "{fact: customer.age, at_least: 18}", f"{{fact: {fact}, at_least: 2}}")
    replace_in(folder / "catalogue.yaml", "{fact: purchase_count_90d, at_least: 1}", f"{{fact: {fact}, at_least: 1}}")
    assert check_catalogue(folder) == []


def test_new_sections_with_named_entries_merge_across_files(folder: Path) -> None:
    (folder / "rules.yaml").write_text(SECTIONS, encoding="utf-8")
    more = (
        "limits: {seats: {scope: offer, of: free-coffee, amount: 30}}\nclasses: {recovery: {precedence: true}}\n"
        "levers: {less: {channel: push, factor: 0.5, owner: a team, reason: a test, expires_on: 2040-01-01}}\n"
        "holdouts: {care: {share: 0.1, salt: c-1, goals: [care]}}\nshares: {m: {department: marketing, max: 0.9}}\n"
    )
    (folder / "more.yaml").write_text(more, encoding="utf-8")
    catalogue = load_catalogue(folder)
    assert [limit.limit_id for limit in catalogue.limits] == ["pot", "seats", "slots"]
    assert [lever.lever_id for lever in catalogue.levers] == ["less", "push-loyalty"]
    assert len(catalogue.programme_holdouts) == len(catalogue.shares) == 2


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("countries: [FR]", "countries: [ES]"),
        ("limit: 3", "limit: 4"),
        ('from: "21:00"', 'from: "22:00"'),
        ("expires_on: 2040-12-31", "expires_on: 2040-12-30"),
        ("{normal: 7, high: 21}", "{normal: 7, high: 22}"),
        ("[marketing, service]", "[marketing]"),
        ("reason: a test", "reason: another test"),
    ],
)
def test_the_version_covers_the_new_sections(folder: Path, catalogue: Catalogue, old: str, new: str) -> None:
    replace_in(folder / "rules.yaml", old, new)
    assert load_catalogue(folder).version != catalogue.version


def test_the_version_covers_the_dates_of_the_holidays(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "rules.yaml").write_text(SECTIONS, encoding="utf-8")
    before = load_catalogue(folder).version
    assert load_catalogue(folder).version == before
    monkeypatch.setattr("features.catalogue.building.public_holidays.LAST_YEAR", 2041)
    from features.catalogue.building import public_holidays as module

    module._holidays_of.cache_clear()
    after = load_catalogue(folder).version
    monkeypatch.undo()
    module._holidays_of.cache_clear()
    assert after != before


def test_the_order_of_unordered_lists_changes_nothing(folder: Path, catalogue: Catalogue) -> None:
    replace_in(
        folder / "rules.yaml",
        "[{after: unsubscribed, scope: channel}, {after: declined, scope: offer, days: 30}]",
        "[{after: declined, scope: offer, days: 30}, {after: unsubscribed, scope: channel}]",
    )
    replace_in(folder / "rules.yaml", "[Europe/Lisbon, Europe/Berlin]", "[Europe/Berlin, Europe/Lisbon]")
    replace_in(
        folder / "rules.yaml",
        '[{from: "21:00", until: "08:00"}, {channels: [push], days: [sat, sun]}, ',
        '[{channels: [push], days: [sun, sat]}, {from: "21:00", until: "08:00"}, ',
    )
    assert load_catalogue(folder).version == catalogue.version
