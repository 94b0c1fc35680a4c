"""`measures` and `engagement` as the core's types."""

from collections.abc import Mapping
from typing import Any

from decisioning.catalogue.channel import Channel
from decisioning.catalogue.measure import Engagement, Measure, MeasurePart, Returns, mail_channels
from features.catalogue.building.money import to_minor
from features.catalogue.forms.catalogue_form import EngagementFile, MeasureFile


def build_engagement(file: EngagementFile, channels: Mapping[str, Channel]) -> Engagement:
    """How machines count; where no channel is named, programs are at work wherever a message has a subject."""
    named = file.scanned_channels
    scanned = mail_channels(channels) if named is None else frozenset(named)
    return Engagement(machine_weight=file.machine_weight, scanned_channels=scanned)


def build_measures(sound: Mapping[str, Any], engagement: Engagement, currency: str) -> dict[str, Measure]:
    """All measures by name, those with parts made of the others."""
    files: Mapping[str, MeasureFile] = sound["measures"]
    plain = {k: _measure(k, v, engagement, currency) for k, v in files.items() if not v.parts}
    return {k: plain[k] if k in plain else _sum(k, v, plain) for k, v in sorted(files.items())}


def _sum(name: str, file: MeasureFile, plain: Mapping[str, Measure]) -> Measure:
    parts = tuple(MeasurePart(measure=plain[k], times=times) for k, times in sorted(file.parts.items()))
    return Measure(measure_id=name, unit=file.unit, parts=parts, version=file.version)


def _measure(name: str, file: MeasureFile, engagement: Engagement, currency: str) -> Measure:
    worth = {one: to_minor(worth, currency) for one, worth in sorted(file.worth.items())}
    returns = file.returns
    return Measure(
        measure_id=name,
        unit=file.unit,
        added_events=frozenset(file.add),
        subtracted_events=frozenset(file.subtract),
        outcomes=frozenset(file.outcomes),
        outcome_worth_minor={one: minor for one, minor in worth.items() if one in file.outcomes},
        event_worth_minor={one: minor for one, minor in worth.items() if one in file.add},
        cap_minor=None if file.cap is None else round(to_minor(file.cap, currency)),
        window_days=file.window_days,
        returns=returns and Returns(window_days=returns.window_days, events=frozenset(returns.events)),
        version=file.version,
        engagement=engagement,
    )
