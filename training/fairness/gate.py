"""The fairness gate of a promotion: no model becomes champion while a guardrail is broken or unknown."""

from datetime import datetime, timedelta

from decisioning.errors import InsufficientDataError, InvalidInputError
from features.catalogue import load_fairness
from features.catalogue.fairness_rules import FairnessRules, Guardrail
from features.reports.fairness import FAIRNESS_FILES, READ, FairnessReport, FairnessVerdict
from features.settings import Settings

_WAY_OUT = f"read again with `{READ}`, close the gap, or overrule with --force --reason"


def check_guardrails(settings: Settings, *, now: datetime) -> None:
    """Ask the newest stored report about every guardrail that blocks promotions; without any, nothing is asked.

    Raises:
        InvalidInputError: A guardrail is broken.
        InsufficientDataError: Nobody can tell: no report, one that is too old or made for another guardrail, or too
            little data.
    """
    rules = load_fairness(settings.catalogue_path)
    asked = [guardrail for guardrail in rules.guardrails if guardrail.blocks_promotion]
    if not asked:
        return
    report = _fresh_report(settings, rules, now)
    for guardrail in asked:
        _check(guardrail, report)


def _fresh_report(settings: Settings, rules: FairnessRules, now: datetime) -> FairnessReport:
    try:
        report = FAIRNESS_FILES.newest(settings.fairness_path)
    except InvalidInputError as error:
        raise InsufficientDataError(f"fairness must be known before a promotion, got none: {error}") from error
    age = now - report.as_of
    if age > timedelta(days=rules.max_age_days):
        raise InsufficientDataError(
            f"fairness report must be at most {rules.max_age_days:g} days old, got one of {age.days}; {_WAY_OUT}"
        )
    return report


def _check(guardrail: Guardrail, report: FairnessReport) -> None:
    found = report.of_guardrail(guardrail)
    if found is None:
        raise InsufficientDataError(
            f"guardrail {guardrail.guardrail_id} must be in the fairness report, got one made without it; {_WAY_OUT}"
        )
    if found.verdict is FairnessVerdict.GAP:
        raise InvalidInputError(f"guardrail must be kept, got {found.sentence.rstrip('.')}; {_WAY_OUT}")
    if found.verdict is FairnessVerdict.UNKNOWN:
        raise InsufficientDataError(f"guardrail must be known to be kept, got {found.sentence.rstrip('.')}; {_WAY_OUT}")
