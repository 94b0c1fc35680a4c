"""The version of a catalogue: a hash of what it says, whatever files say it in which order."""

from collections.abc import Mapping, Set
from dataclasses import MISSING, Field, fields, is_dataclass, replace
from datetime import date
from hashlib import sha256
from typing import Any

import orjson

from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.measure import ENGAGED, Engagement, Measure, mail_channels
from decisioning.catalogue.message import MessageClass
from decisioning.catalogue.message_classes import ClassRules, Layer

_DIGITS = 16

_LATER = frozenset(
    {
        ("Catalogue", "conversation"), ("Channel", "purposes"), ("Channel", "address_fields"),
        ("Measure", "outcome_worth_minor"), ("Learning", "method"), ("Learning", "change_cost"),
        ("Learning", "horizon_days"), ("Learning", "stage_credit"),
        ("CaseKind", "owner"), ("Offer", "answers_in_kind"), ("CaseKind", "answer_within_seconds"),
        ("Catalogue", "listening"), ("Offer", "asks"), ("Creative", "place"),
        ("Experiment", "part"), ("Arm", "spans"),
        ("Creative", "requires"), ("Measure", "event_worth_minor"), ("Measure", "window_days"), ("Measure", "parts"),
        ("Measure", "returns"), ("Measure", "version"), ("Learning", "in_minutes"),
        ("ArbitrationSwitches", "slot_prices"), ("Experiment", "inference"), ("Touchpoint", "wait_seconds"),
    }
)  # fmt: skip
"""Fields that came after catalogues were first kept: where they say nothing they do not enter, so that a catalogue that
does not use them has the version it always had, and decisions of old find the policy that made them."""

_APART = frozenset({("Measure", "engagement"), ("Catalogue", "engagement")})
"""Fields that are told apart: a catalogue that says nothing of machines has the version it always had."""

_LATER_EVENTS = frozenset({"social_post", "survey_answer", "call_note"})
"""Built-in event types that came later: every catalogue has them, so they tell none from another."""


def catalogue_version(catalogue: Catalogue) -> str:
    """Hash of a catalogue's content, 16 hexadecimal digits; its `version`, file names, order and comments do not enter.

    The one order that does is that of the wordings of what is owed: the first that may go is sent.

    Example:
        >>> from dataclasses import replace
        >>> from pathlib import Path
        >>> from features.catalogue import load_catalogue
        >>> catalogue = load_catalogue(Path("tests/catalogues/shop"))
        >>> catalogue_version(replace(catalogue, version="another")) == catalogue.version
        True
    """
    plain = replace(catalogue, classes=_effective_classes(catalogue))
    content = {each.name: _canonical(getattr(plain, each.name)) for each in fields(plain) if not _is_idle(plain, each)}
    del content["version"]
    if catalogue.engagement != Engagement(scanned_channels=mail_channels(catalogue.channels)):
        content["engagement"] = _canonical(catalogue.engagement)
    content["event_types"] = [each for each in catalogue.event_types if each not in _LATER_EVENTS]
    return sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()[:_DIGITS]


def measure_definition(measure: Measure) -> str:
    """Hash of what a measure counts, 16 hexadecimal digits: a model that learned another definition is told by it.

    Its name and the window of whoever asks do not enter; what machines count for does where opens or clicks count.
    """
    parts = [(one, times) for one, times in measure.plain]
    machines = [_canonical(one.engagement) for one, _ in parts if one.outcomes & ENGAGED]
    content = [[_canonical(replace(one, measure_id="")), times] for one, times in parts]
    said = orjson.dumps([content, measure.version, machines], option=orjson.OPT_SORT_KEYS)
    return sha256(said).hexdigest()[:_DIGITS]


def _is_idle(value: Any, field: Field[Any]) -> bool:
    if (type(value).__name__, field.name) in _APART:
        return True
    default = field.default if field.default_factory is MISSING else field.default_factory()
    return (type(value).__name__, field.name) in _LATER and getattr(value, field.name) == default


def _effective_classes(catalogue: Catalogue) -> dict[MessageClass, ClassRules]:
    """The matrix without layers that cannot refuse anything in this catalogue, since bypassing them means nothing."""
    idle = set[Layer]()
    if all(channel.purposes is None for channel in catalogue.channels.values()):
        idle.add(Layer.PURPOSE)
    if catalogue.conversation is None:
        idle.add(Layer.CONVERSATION)
    return {name: replace(rules, bypasses=rules.bypasses - idle) for name, rules in catalogue.classes.items()}


def _canonical(value: Any) -> Any:
    """Plain values in one form: sets sorted, numbers as floats, types by name."""
    if is_dataclass(value):
        named = {
            each.name: _canonical(getattr(value, each.name)) for each in fields(value) if not _is_idle(value, each)
        }
        return {"": type(value).__name__, **named}
    if isinstance(value, Mapping):
        return {str(key): _canonical(each) for key, each in value.items()}
    if isinstance(value, Set):
        return sorted(_canonical(each) for each in value)
    if isinstance(value, tuple):
        return [_canonical(each) for each in value]
    if isinstance(value, date):  # a moment, too
        return value.isoformat()
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value
