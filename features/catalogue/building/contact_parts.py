"""`classes`, `contact_policy`, `quiet_hours` and `care` as the core's types: days and hours in seconds and minutes."""

from collections.abc import Mapping

from decisioning.catalogue.care import CarePolicy, CaseKind
from decisioning.catalogue.contact_policy import Cap, ContactPolicy, Fatigue, PressureBudget, Suppression
from decisioning.catalogue.conversation import Conversation
from decisioning.catalogue.message import MessageClass, message_key
from decisioning.catalogue.message_classes import DEFAULT_CLASSES, ClassRules
from decisioning.catalogue.quiet_hours import QuietHours, QuietRule
from features.catalogue.building.money import to_minor
from features.catalogue.building.public_holidays import public_holidays
from features.catalogue.forms.care_form import CareFile, CaseFile
from features.catalogue.forms.contact_form import (
    CapFile,
    ClassFile,
    ContactPolicyFile,
    ConversationFile,
    PressureFile,
    SuppressionFile,
)
from features.catalogue.forms.fields import MINUTES_OF_DAY
from features.catalogue.forms.offer_form import OfferFile
from features.catalogue.forms.quiet_form import QuietHoursFile, QuietRuleFile

DAY_SECONDS = 86_400.0
HOUR_SECONDS = 3_600.0


def build_classes(files: Mapping[MessageClass, ClassFile]) -> dict[MessageClass, ClassRules]:
    """The whole matrix: what is written, and the defaults for the rest."""
    return {each: _class(DEFAULT_CLASSES[each], files.get(each, ClassFile())) for each in MessageClass}


def _class(default: ClassRules, file: ClassFile) -> ClassRules:
    return ClassRules(
        bypasses=default.bypasses if file.bypasses is None else frozenset(file.bypasses),
        counts_towards=default.counts_towards if file.counts_towards is None else frozenset(file.counts_towards),
        has_precedence=default.has_precedence if file.precedence is None else file.precedence,
    )


def build_contact_policy(file: ContactPolicyFile, currency: str) -> ContactPolicy:
    """Caps by name, the pressure budget, suppressions, look-ahead and fatigue."""
    fatigue = file.fatigue
    return ContactPolicy(
        caps=tuple(_cap(name, cap) for name, cap in sorted(file.caps.items())),
        pressure=_pressure(file.pressure) if file.pressure else None,
        suppressions=tuple(sorted(map(_suppression, file.suppressions), key=_suppression_order)),
        look_ahead_seconds=file.look_ahead_hours * HOUR_SECONDS,
        fatigue=Fatigue(
            cost_minor=to_minor(fatigue.cost, currency), half_life_seconds=fatigue.half_life_days * DAY_SECONDS
        )
        if fatigue
        else None,
    )


def build_conversation(file: ConversationFile | None, offers: Mapping[str, OfferFile]) -> Conversation | None:
    """What is remembered as seen, and which of the offers' messages follow up; None where nothing is declared."""
    if file is None:
        return None
    follow_ups = frozenset(
        message_key(name, each.channel, each.creative)
        for name, offer in offers.items()
        for each in offer.creatives
        if each.follow_up
    )
    return Conversation(seen_seconds=file.seen_days * DAY_SECONDS, follow_ups=follow_ups)


def _cap(name: str, file: CapFile) -> Cap:
    days, hours = file.window_days, file.window_hours
    return Cap(
        cap_id=name,
        scope=file.scope,
        limit=file.limit,
        window_seconds=(hours or 0.0) * HOUR_SECONDS if days is None else days * DAY_SECONDS,
        of=file.of,
        unit=file.per,
    )


def _pressure(file: PressureFile) -> PressureBudget:
    return PressureBudget(
        limit=file.limit,
        window_seconds=file.window_days * DAY_SECONDS,
        class_weights=dict(sorted(file.class_weights.items())),
        channel_weights=dict(sorted(file.channel_weights.items())),
    )


def _suppression(file: SuppressionFile) -> Suppression:
    seconds = None if file.days is None else file.days * DAY_SECONDS
    return Suppression(after=file.after, scope=file.scope, cooldown_seconds=seconds)


def _suppression_order(each: Suppression) -> tuple[str, str]:
    return each.after, each.scope.value


def build_quiet_hours(file: QuietHoursFile) -> QuietHours:
    """Times of rest in minutes of the local day, with the dates of every public holiday that a rule may mean."""
    named = {country for rule in file.rules if rule.holidays for country in rule.countries}
    return QuietHours(
        rules=tuple(sorted(map(_quiet_rule, file.rules), key=_quiet_order)),
        holidays=public_holidays(named | set(file.countries)),
        unknown_zones=tuple(sorted(set(file.unknown_zones))),
    )


def _quiet_rule(file: QuietRuleFile) -> QuietRule:
    return QuietRule(
        channels=frozenset(file.channels),
        countries=frozenset(file.countries),
        from_minute=file.begins or 0,
        until_minute=(file.ends or 0) % MINUTES_OF_DAY,
        weekdays=frozenset(file.days),
        only_holidays=file.holidays,
    )


def _quiet_order(rule: QuietRule) -> tuple[object, ...]:
    named = (sorted(rule.channels), sorted(rule.countries), sorted(rule.weekdays))
    return (*named, rule.only_holidays, rule.from_minute, rule.until_minute)


def build_care(file: CareFile) -> CarePolicy:
    """Kinds of cases by name, with their cooldowns in seconds."""
    return CarePolicy(
        kinds={name: _case_kind(name, case) for name, case in sorted(file.cases.items())},
        paused_classes=frozenset(file.pauses),
    )


def _case_kind(name: str, file: CaseFile) -> CaseKind:
    return CaseKind(
        kind=name,
        opened_by=frozenset(file.opened_by),
        resolved_by=frozenset(file.resolved_by),
        cooldown_seconds={severity: days * DAY_SECONDS for severity, days in sorted(file.cooldown_days.items())},
        default_severity=file.default_severity,
        max_open_seconds=None if file.max_open_days is None else file.max_open_days * DAY_SECONDS,
        owner=file.owner,
        answer_within_seconds=None if file.answer_within_hours is None else file.answer_within_hours * HOUR_SECONDS,
    )
