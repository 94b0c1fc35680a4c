"""Check the names that classes, caps, quiet hours, cases, limits, shares and levers use."""

from collections.abc import Collection, Mapping
from typing import Any

from decisioning.catalogue.message import MessageClass
from decisioning.catalogue.message_classes import (
    BYPASSABLE,
    DEFAULT_CLASSES,
    MAY_BYPASS_CONSENT,
    MAY_BYPASS_PROTECTION,
    Layer,
)
from features.catalogue.forms.contact_form import ClassFile, ContactPolicyFile
from features.catalogue.forms.limits_form import ShareFile
from features.catalogue.reading.documents import Location
from features.catalogue.reading.names import Names, check_name, check_names
from features.catalogue.reading.problems import shown
from features.catalogue.reading.sections import Sections
from features.log.event_types import StateEventType
from features.log.outcome_types import OutcomeType

_ROUNDING = 1e-9


def check_policies(sections: Sections, sound: dict[str, Any], names: Names) -> None:
    """Add a problem for every name that is unknown, and everything that a class may not be."""
    for name, line in sound["classes"].items():
        _check_class(sections, ("classes", name.value), name, line)
    _check_purposes(sections, sound)
    _check_contact_policy(sections, sound["contact_policy"], names)
    for index, rule in enumerate(sound["quiet_hours"].rules):
        check_names(sections, ("quiet_hours", "rules", index, "channels"), rule.channels, names.channels, "channel")
    _check_cases(sections, sound, names)
    _check_listening(sections, sound)
    for name, limit in sound["limits"].items():
        _check_target(sections, ("limits", name, "of"), limit.scope.value, limit.of, names)
    _check_shares(sections, sound["shares"], names)
    for name, lever in sound["levers"].items():
        scope, of = lever.target
        _check_target(sections, ("levers", name, scope.value), scope.value, of, names)


def _check_class(sections: Sections, at: Location, name: MessageClass, line: ClassFile) -> None:
    for index, layer in enumerate(line.bypasses or ()):
        allowed = _bypassable(name)
        if layer not in allowed:
            words = ", ".join(sorted(allowed)) or "no gate at all"
            rule = f"must be a gate that class {name} may bypass: {words}"
            sections.add((*at, "bypasses", index), rule, shown(layer.value))
    if line.precedence and name is MessageClass.MARKETING:
        sections.add((*at, "precedence"), "must be false: marketing never goes first", "true")


def _bypassable(name: MessageClass) -> frozenset[Layer]:
    if name is MessageClass.MARKETING:
        return frozenset()
    allowed = BYPASSABLE if name in MAY_BYPASS_PROTECTION else BYPASSABLE - {Layer.PROTECTION}
    return allowed if name in MAY_BYPASS_CONSENT else allowed - {Layer.CONSENT}


def _check_purposes(sections: Sections, sound: dict[str, Any]) -> None:
    """An offer without a purpose passes the consent gate only where its class bypasses it."""
    for name, offer in sound["offers"].items():
        line = sound["classes"].get(offer.message_class)
        bypasses = DEFAULT_CLASSES[offer.message_class].bypasses
        if line is not None and line.bypasses is not None:
            bypasses = frozenset(line.bypasses)
        if offer.message_class in MAY_BYPASS_CONSENT and offer.purpose is None and Layer.CONSENT not in bypasses:
            rule = f"must have a `purpose`: class {offer.message_class} does not bypass consent in this catalogue"
            sections.add(("offers", name), rule, "none")


def _check_target(sections: Sections, at: Location, scope: str, of: str | None, names: Names) -> None:
    known: Mapping[str, Collection[str]] = {
        "department": names.departments,
        "goal": names.goals,
        "class": frozenset(MessageClass),
        "channel": names.channels,
        "offer": names.offers,
        "creative": names.creatives,
    }
    if of is not None and scope in known:
        check_name(sections, at, of, known[scope], scope)


def _check_contact_policy(sections: Sections, policy: ContactPolicyFile, names: Names) -> None:
    for name, cap in policy.caps.items():
        _check_target(sections, ("contact_policy", "caps", name, "of"), cap.scope.value, cap.of, names)
    for channel in policy.pressure.channel_weights if policy.pressure else ():
        at = ("contact_policy", "pressure", "channel_weights", channel)
        check_name(sections, at, channel, names.channels, "channel")
    seen: set[tuple[str, str]] = set()
    for index, each in enumerate(policy.suppressions):
        at = ("contact_policy", "suppressions", index)
        check_name(sections, (*at, "after"), each.after, frozenset(OutcomeType), "outcome type")
        if (each.after, each.scope) in seen:
            sections.add(at, "must be given once per outcome and scope", f"{each.after} x {each.scope} again")
        seen.add((each.after, each.scope))


def _check_cases(sections: Sections, sound: dict[str, Any], names: Names) -> None:
    events = names.events | {StateEventType.CASE_OPENED, StateEventType.CASE_RESOLVED}
    for name, case in sound["care"].cases.items():
        at = ("care", "cases", name)
        check_names(sections, (*at, "opened_by"), case.opened_by, events, "event type")
        check_names(sections, (*at, "resolved_by"), case.resolved_by, events, "event type")
        for event in sorted(set(case.opened_by) & set(case.resolved_by)):
            rule = "must not name an event type that opens the case, too"
            sections.add((*at, "resolved_by", case.resolved_by.index(event)), rule, shown(event))


def _check_listening(sections: Sections, sound: dict[str, Any]) -> None:
    kinds, listening = frozenset(sound["care"].cases), sound["listening"]
    opening = {("listening", "topics", name, "opens"): topic.opens for name, topic in listening.topics.items()}
    for at, kind in {("listening", "opens"): listening.opens, **opening}.items():
        if kind is not None:
            check_name(sections, at, kind, kinds, "kind of case")


def _check_shares(sections: Sections, shares: Mapping[str, ShareFile], names: Names) -> None:
    least: dict[str, float] = {}
    for name, share in sorted(shares.items()):
        check_name(sections, ("shares", name, "department"), share.department, names.departments, "department")
        least[share.department] = max(least.get(share.department, 0.0), share.min_share)
        if sum(least.values()) > 1 + _ROUNDING:
            rule = "must leave the least shares of all departments at 1 at most"
            sections.add(("shares", name, "min"), rule, f"{sum(least.values()):g} in all")
            return
