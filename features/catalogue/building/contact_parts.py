"""Classes, contact policy, quiet hours, care and listening as the core's types: times in seconds and minutes."""

from collections.abc import Mapping

from decisioning.catalogue.care import CarePolicy, CaseKind
from decisioning.catalogue.contact_policy import Cap, ContactPolicy, Fatigue, PressureBudget, Suppression
from decisioning.catalogue.conversation import Conversation
from decisioning.catalogue.listening import Listening, Topic
from decisioning.catalogue.message import MessageClass, message_key
from decisioning.catalogue.message_classes import DEFAULT_CLASSES, ClassRules
from decisioning.catalogue.quiet_hours import QuietHours, QuietRule
from features.catalogue.building.core_part import core_part
from features.catalogue.building.money import to_minor
from features.catalogue.building.public_holidays import public_holidays
from features.catalogue.forms.care_form import CareFile, CaseFile
from features.catalogue.forms.contact_form import CapFile, ClassFile, ContactPolicyFile, ConversationFile
from features.catalogue.forms.fields import MINUTES_OF_DAY
from features.catalogue.forms.listening_form import ListeningFile
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
        pressure=core_part(PressureBudget, file.pressure, window_seconds=file.pressure.window_days * DAY_SECONDS)
        if file.pressure
        else None,
        suppressions=tuple(
            core_part(Suppression, each, cooldown_seconds=_seconds(each.days))
            for each in sorted(file.suppressions, key=lambda each: (each.after, each.scope.value))
        ),
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
    window_seconds = (hours or 0.0) * HOUR_SECONDS if days is None else days * DAY_SECONDS
    return core_part(Cap, file, cap_id=name, window_seconds=window_seconds, unit=file.per)


def _seconds(days: float | None) -> float | None:
    return None if days is None else days * DAY_SECONDS


def build_quiet_hours(file: QuietHoursFile) -> QuietHours:
    """Times of rest in minutes of the local day, with the dates of every public holiday that a rule may mean."""
    named = {country for rule in file.rules if rule.holidays for country in rule.countries}
    return QuietHours(
        rules=tuple(sorted(map(_quiet_rule, file.rules), key=_quiet_order)),
        holidays=public_holidays(named | set(file.countries)),
        unknown_zones=tuple(sorted(set(file.unknown_zones))),
    )


def _quiet_rule(file: QuietRuleFile) -> QuietRule:
    return core_part(
        QuietRule,
        file,
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
    return core_part(
        CaseKind,
        file,
        kind=name,
        cooldown_seconds={severity: days * DAY_SECONDS for severity, days in sorted(file.cooldown_days.items())},
        max_open_seconds=_seconds(file.max_open_days),
        answer_within_seconds=None if file.answer_within_hours is None else file.answer_within_hours * HOUR_SECONDS,
    )


def build_listening(file: ListeningFile) -> Listening:
    """Topics in the order of their names."""
    topics = {name: core_part(Topic, topic) for name, topic in sorted(file.topics.items())}
    return core_part(Listening, file, topics=topics)
