"""The features of a catalogue: every definition, and the schema they make."""

from dataclasses import dataclass, field
from functools import lru_cache

from decisioning.catalogue.catalogue import Attribute, Catalogue
from decisioning.catalogue.measure import Engagement
from decisioning.errors import InvalidPolicyError
from decisioning.rules.predicate import Predicate
from features.computing.behaviour import activity, profile, purchases, service
from features.computing.contact import contacts, engagement, response
from features.computing.customer_words import listening
from features.computing.definition import Definition, Group
from features.computing.feature_schema import FeatureGroup, FeatureSchema, fingerprint_of
from features.computing.machines import told_apart

DEFINITIONS_VERSION = 2
"""Raise it whenever a definition changes its meaning without changing its name."""

STAGE_INDEX = "stage_index"
STAGE_AGE_DAYS = "stage_age_days"

MAX_AGE_DAYS = {
    Group.PROFILE: 90.0,
    Group.PURCHASE: 14.0,
    Group.ACTIVITY: 14.0,
    Group.ENGAGEMENT: 30.0,
    Group.RESPONSE: 30.0,
    Group.CONTACT: 14.0,
    Group.SERVICE: 14.0,
    Group.JOURNEY: 14.0,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Declared:
    """The parts of a catalogue that features depend on; equal ones have equal features.

    Attributes:
        engagement: How machines count; who counts them in full tells nobody apart.
        rules: Name and entry rule of every stage, in journey order.
        spelt_rules: The same as text, which tells `1` from `True`: those are equal, but mean something else in a rule.
    """

    attributes: tuple[Attribute, ...]
    event_types: tuple[str, ...]
    channels: tuple[str, ...]
    offer_kinds: tuple[str, ...]
    engagement: Engagement
    rules: tuple[tuple[str, Predicate], ...] = field(compare=False)
    spelt_rules: str

    @property
    def machines(self) -> tuple[object, ...]:
        """What tells people from machines; nothing where both count alike."""
        return told_apart(self.engagement, self.engagement.scanned_channels)


def _declared(catalogue: Catalogue) -> _Declared:
    rules = tuple((stage.stage_id, stage.entry) for stage in catalogue.stages)
    return _Declared(
        attributes=catalogue.customer_attributes,
        event_types=catalogue.event_types,
        channels=tuple(catalogue.channels),
        offer_kinds=catalogue.offer_kinds,
        engagement=catalogue.engagement,
        rules=rules,
        spelt_rules=repr(rules),
    )


def feature_schema(catalogue: Catalogue) -> FeatureSchema:
    """The schema of a catalogue's features: a pure function, so every process agrees on names and order.

    Raises:
        InvalidPolicyError: Two features would have one name.
    """
    return _schema(_declared(catalogue))


def definitions(catalogue: Catalogue) -> tuple[Definition, ...]:
    """Every definition but the stage features, which are rules over these (`features.computing.stages`)."""
    return _definitions(_declared(catalogue))


@lru_cache(maxsize=64)  # one catalogue is asked about many times while it is checked and put in force
def _schema(declared: _Declared) -> FeatureSchema:
    defined = _definitions(declared)
    names_of: dict[Group, list[str]] = {group: [] for group in Group}
    for definition in defined:
        names_of[definition.group].append(definition.name)
    if declared.rules:
        names_of[Group.JOURNEY] += [STAGE_INDEX, STAGE_AGE_DAYS]
    groups = tuple(
        FeatureGroup(name=group.value, features=tuple(names), max_age_days=MAX_AGE_DAYS[group])
        for group, names in names_of.items()
        if names
    )
    names = tuple(name for group in groups for name in group.features)
    _refuse_repeats(names)
    about = {one.name: one.about for one in defined} | dict.fromkeys(
        (STAGE_INDEX, STAGE_AGE_DAYS), declared.spelt_rules
    )
    return FeatureSchema(
        names=names,
        groups=groups,
        fingerprint=fingerprint_of(
            (DEFINITIONS_VERSION, groups, declared.attributes, declared.rules, *declared.machines),
        ),
        meanings=tuple(fingerprint_of((DEFINITIONS_VERSION, name, about[name])) for name in names),
    )


@lru_cache(maxsize=64)
def _definitions(declared: _Declared) -> tuple[Definition, ...]:
    return (
        *profile(declared.attributes),
        *purchases(),
        *activity(declared.event_types),
        *engagement(declared.channels, declared.engagement),
        *response(declared.offer_kinds, declared.engagement),
        *contacts(),
        *service(),
        *listening(),
    )


def feature_meanings(catalogue: Catalogue) -> list[dict[str, str]]:
    """Every feature in the order of the schema: `feature`, `group`, `meaning`."""
    meaning = {definition.name: definition.meaning for definition in definitions(catalogue)} | {
        STAGE_INDEX: "Place of the customer's journey stage, from 0.",
        STAGE_AGE_DAYS: "Days in that stage so far, in steps of 7, 56 for longer.",
    }
    return [
        {"feature": name, "group": group.name, "meaning": meaning[name]}
        for group in feature_schema(catalogue).groups
        for name in group.features
    ]


def _refuse_repeats(names: tuple[str, ...]) -> None:
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise InvalidPolicyError(
            f"feature names must be unique, got {', '.join(repeated)} more than once: "
            "rename the attribute, event type, offer kind or channel it comes from"
        )
