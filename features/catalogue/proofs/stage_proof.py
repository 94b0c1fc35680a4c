"""Stages that nobody enters by their rules, and stages that nobody leaves."""

from collections.abc import Iterator, Sequence

from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.journey import JourneyStage, compile_stages, standing
from decisioning.rules.predicate import AllOf, Not, Predicate, Rule, compile_predicate, facts_of
from decisioning.rules.predicate_analysis import ProofVerdict, can_hold, find_example
from features.catalogue.checks.findings import Finding, Proof
from features.catalogue.proofs.ground import ProofInputs

_ONLY_GROWS = "customer_tenure_days"
"""The one fact of which it is certain that it grows with time and never falls."""


def region_of(catalogue: Catalogue, stage_id: str) -> Predicate:
    """The rule for being in a stage: its own holds, and none of an earlier stage."""
    earlier: list[Predicate] = []
    for stage in catalogue.stages:
        if stage.stage_id == stage_id:
            return AllOf(parts=(stage.entry, *earlier))
        earlier.append(Not(part=stage.entry))
    return AllOf(parts=())


def prove_stages(ground: ProofInputs) -> Iterator[Finding]:
    """Warnings about stages that nobody enters by the rules, and that nobody who was in them leaves."""
    stages = ground.catalogue.stages
    passes = [compile_predicate(Not(part=stage.entry)) for stage in stages]
    for index in range(len(stages)):
        if not _may_be_entered(ground, passes, index):
            yield _nobody_enters(ground, index)
    for index in range(len(stages) - 1):
        if _is_final(stages[: index + 1]):
            later = ", ".join(repr(stage.stage_id) for stage in stages[index + 1 :])
            found = f"nobody leaves stage {stages[index].stage_id!r}: its rule holds from some day on for ever"
            advice = f"say when it ends, or put it last: {later} can only hold who never was in it"
            yield ground.warning(("stages", index, "entry"), Proof.STAGE_NOBODY_LEAVES, found, advice)


def _may_be_entered(ground: ProofInputs, passes: Sequence[Rule], index: int) -> bool:
    """Whether somebody enters a stage by the rules; True where that cannot be disproved.

    An example is looked for against few of the stages before it: those that took the last example, and twice as many of
    its neighbours each time. Most stages have one at once, where a proof against all before it grows with their square.
    """
    stages = ground.catalogue.stages
    against, reach = set[int](), 1
    while True:
        earlier = (Not(part=stages[place].entry) for place in sorted(against))
        found = find_example(AllOf(parts=(stages[index].entry, *earlier)), ground.domains)
        if found.example is None:
            return found.verdict is not ProofVerdict.NO
        taken_by = next((place for place in range(index) if not passes[place](found.example)), None)
        if taken_by is None:
            return True
        against |= {taken_by, *range(max(0, index - reach), index)}
        reach *= 2


def _nobody_enters(ground: ProofInputs, index: int) -> Finding:
    stages = ground.catalogue.stages
    stage = stages[index]
    if can_hold(stage.entry, ground.domains) is ProofVerdict.NO:
        why = "its rule never holds"
    else:
        taken = [each.stage_id for each in stages[:index] if _overlaps(ground, each, stage)]
        why = f"all of them are taken by {', '.join(map(repr, taken))} before"
    found = f"nobody enters stage {stage.stage_id!r} by the rules: {why}"
    advice = "change its rule or the order, unless only an event or the caller ever names it"
    return ground.warning(("stages", index), Proof.STAGE_NOBODY_ENTERS, found, advice)


def _overlaps(ground: ProofInputs, first: JourneyStage, second: JourneyStage) -> bool:
    return can_hold(AllOf(parts=(first.entry, second.entry)), ground.domains) is not ProofVerdict.NO


def _is_final(stages: tuple[JourneyStage, ...]) -> bool:
    """True where the last of these stages is where everybody ends who ever was in it, and somebody was.

    Proven only where its rule and those before it look at nothing but the time since the relation began.
    """
    if frozenset[str]().union(*(facts_of(stage.entry) for stage in stages)) != {_ONLY_GROWS}:
        return False
    oldest = {_ONLY_GROWS: 1e12}  # beyond every constant that a rule about days can mean
    return standing(compile_stages(stages), oldest).stage_id == stages[-1].stage_id
