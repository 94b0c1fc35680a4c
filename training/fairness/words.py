"""Fairness in plain sentences, written once when it is computed."""

from collections.abc import Sequence

from features.catalogue.fairness_rules import FairnessUnit, Guardrail
from features.reports.fairness import FairnessVerdict, GroupStanding
from features.reports.readout_words import format_difference, format_interval, format_number, format_value
from features.reports.readouts import ReadoutUnit

_UNITS = {FairnessUnit.RATE: ReadoutUnit.RATE, FairnessUnit.MONEY_MINOR: ReadoutUnit.MONEY_MINOR}
_SUFFIXES = {FairnessUnit.HOURS: " hours", FairnessUnit.CONTACTS: " contacts a month"}


def sentence_of(
    guardrail: Guardrail, verdict: FairnessVerdict, standings: Sequence[GroupStanding], currency: str
) -> str:
    """What a comparison says."""
    name = name_of(guardrail)
    if verdict is FairnessVerdict.GAP:
        worst = worst_of(standings)
        gap = difference_words(worst.worse_by or 0.0, guardrail, currency)
        ends = interval_words(worst, guardrail, currency)
        return f"{name}: {worst.group} fares worse than everybody else by {gap} (interval {ends}), beyond tolerance."
    if verdict is FairnessVerdict.FAIR:
        limit = difference_words(guardrail.tolerance, guardrail, currency)
        return f"{name}: no group fares worse than everybody else by more than {limit}."
    unknown = [each for each in standings if each.verdict is FairnessVerdict.UNKNOWN]
    if not unknown:
        return f"{name}: nobody can tell yet: there is nobody to compare."
    first = min(unknown, key=lambda each: (each.reason is None, -(each.upper or 0.0)))
    why = (
        first.reason
        or f"{first.group} may fare worse by up to {difference_words(first.upper or 0.0, guardrail, currency)}"
    )
    return f"{name}: nobody can tell yet: {f'{first.group}: ' if first.reason and first.group else ''}{why}."


def worst_of(standings: Sequence[GroupStanding]) -> GroupStanding:
    """The group with the gap that is surest to be large."""
    return max((each for each in standings if each.lower is not None), key=lambda each: each.lower or 0.0)


def name_of(guardrail: Guardrail) -> str:
    """A guardrail's name, or what is compared."""
    where = f" on {guardrail.channel}" if guardrail.channel else ""
    what = f"{guardrail.measure.value}{where} by {guardrail.groups}"
    return f"{guardrail.guardrail_id} ({what})" if guardrail.guardrail_id else what


def difference_words(value: float, guardrail: Guardrail, currency: str) -> str:
    """A difference with its unit."""
    unit = _UNITS.get(guardrail.unit)
    if unit is None:
        return f"{format_number(value, 2)}{_SUFFIXES[guardrail.unit]}"
    return format_difference(value, unit, currency, signed=False)


def value_words(value: float, guardrail: Guardrail, currency: str) -> str:
    """A value with its unit."""
    unit = _UNITS.get(guardrail.unit)
    return format_number(value, 2) if unit is None else format_value(value, unit, currency)


def interval_words(standing: GroupStanding, guardrail: Guardrail, currency: str) -> str:
    """The interval of how much worse a group fares."""
    if standing.lower is None or standing.upper is None:
        return ""
    unit = _UNITS.get(guardrail.unit, ReadoutUnit.NUMBER)
    return format_interval(standing.lower, standing.upper, unit, currency)
