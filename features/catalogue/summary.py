"""A catalogue in a few plain values, and what a check found of it in words, for people."""

from collections.abc import Iterator, Sequence

from decisioning.catalogue.catalogue import Catalogue
from features.catalogue.checks.findings import Finding, Severity


def summary_of(catalogue: Catalogue) -> dict[str, str | int]:
    """Version, counts, and the names of stages and touchpoints."""
    return {
        "version": catalogue.version,
        "currency": catalogue.currency,
        "goals": ", ".join(catalogue.goals),
        "stages": " > ".join(stage.stage_id for stage in catalogue.stages),
        "touchpoints": ", ".join(catalogue.touchpoints),
        "channels": ", ".join(catalogue.channels),
        "offers": len(catalogue.offers),
        "creatives": len(catalogue.creatives),
        "measures": ", ".join(catalogue.measures),
        "experiments": ", ".join(each.experiment_id for each in catalogue.experiments),
    }


def offer_rows(catalogue: Catalogue) -> list[dict[str, str | float]]:
    """One row per offer: what it is and how it can travel; values in minor units."""
    channels: dict[str, set[str]] = {}
    for creative in catalogue.creatives:
        channels.setdefault(creative.offer_id, set()).add(creative.channel_id)
    return [
        {
            "offer": offer.offer_id,
            "kind": offer.kind,
            "class": offer.message_class.value,
            "goal": offer.goal_id,
            "stages": ", ".join(sorted(offer.stages)) or "all",
            "channels": ", ".join(sorted(channels.get(offer.offer_id, set()))),
            "value_minor": offer.value_minor,
        }
        for offer in catalogue.offers.values()
    ]


def verdict_of(name: str, findings: Sequence[Finding]) -> str:
    """One line on what a check found.

    Example:
        >>> verdict_of("shop", [])
        'shop has no problems'
    """
    errors = sum(finding.severity is Severity.ERROR for finding in findings)
    if not findings:
        return f"{name} has no problems"
    if errors:
        return f"{name} has {_counted(errors, 'error')}: it cannot be used until they are corrected"
    return f"{name} has no errors and {_counted(len(findings), 'warning')}"


def finding_lines(findings: Sequence[Finding]) -> Iterator[str]:
    """What was found as people read it: where, what it is, what is so, what to do."""
    for finding in findings:
        yield f"{finding.severity.value}: {finding.proof.words}"
        yield f"  where  {finding.file}:{finding.line}  {finding.field}"
        yield f"  what   {finding.found}"
        if finding.advice:
            yield f"  do     {finding.advice}"


def _counted(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
