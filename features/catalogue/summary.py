"""A catalogue in a few plain values, and what a check found of it in words, for people."""

from collections.abc import Iterator, Sequence

from decisioning.catalogue.catalogue import Catalogue
from features.catalogue.checks.findings import Finding, Proof, Severity

TITLES = {
    Proof.MISTAKE: "mistake",
    Proof.RULE_ALWAYS_HOLDS: "rule that does nothing",
    Proof.RULE_ASKS_NOTHING: "rule that asks nothing",
    Proof.RULE_PART_NEVER_HOLDS: "rule nobody meets",
    Proof.RULE_UNPROVEN: "rule beyond proof",
    Proof.STAGE_NOBODY_ENTERS: "stage nobody enters",
    Proof.STAGE_NOBODY_LEAVES: "stage nobody leaves",
    Proof.OFFER_UNREACHABLE: "offer nobody can get",
    Proof.OFFER_OVER: "offer that is over",
    Proof.OFFER_EXCLUDES_ITSELF: "offer that excludes itself",
    Proof.CREATIVE_UNREACHABLE: "wording nobody can get",
    Proof.CREATIVE_BREAKS_CHANNEL: "wording that breaks its channel",
    Proof.CREATIVE_MISSING: "wording that is missing",
    Proof.CHANNEL_FOR_OTHER_GOALS: "channel that is for something else",
    Proof.NOTHING_BEGINS: "follow-up without a beginning",
    Proof.CREATIVE_NEEDS_FIELD: "creatives that need a field",
    Proof.FLOOR_OUT_OF_REACH: "exploration that promises more than it may take",
    Proof.CREATIVE_READS_LIKE_MARKETING: "marketing under another name",
    Proof.CAP_STARVES: "limit that lets nothing through",
    Proof.CLASS_STARVES: "message that starves the others",
    Proof.LIMIT_CLOSED: "capacity or budget that is closed",
    Proof.LIMIT_OVER: "capacity or budget that is over",
    Proof.SHARE_IMPOSSIBLE: "share nobody can reach",
    Proof.NEVER_AWAKE: "channel that never wakes",
    Proof.LEVER_OVER: "lever that is over",
    Proof.LEVER_ENDS_SOON: "lever that ends soon",
}
"""What each kind of finding is called in words."""


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
        yield f"{finding.severity.value}: {TITLES[finding.proof]}"
        yield f"  where  {finding.file}:{finding.line}  {finding.field}"
        yield f"  what   {finding.found}"
        if finding.advice:
            yield f"  do     {finding.advice}"


def _counted(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"
