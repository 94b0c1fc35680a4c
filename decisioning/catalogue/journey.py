"""Journey stages, and the touchpoints that ask for a decision."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from decisioning.rules.fact_names import is_behaviour, is_feature
from decisioning.rules.predicate import ALWAYS, Facts, Predicate, Rule, compile_predicate, facts_of
from decisioning.value_class import value_class


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What a department wants."""

    goal_id: str
    department: str


@dataclass(frozen=True, slots=True, kw_only=True)
class JourneyStage:
    """A stage of the journey; `entry` is the rule that puts a customer in it, the first match in order wins."""

    stage_id: str
    goal_id: str
    entry: Predicate = ALWAYS


@dataclass(frozen=True, slots=True, kw_only=True)
class Touchpoint:
    """A place or moment that asks for a decision.

    Attributes:
        touchpoint_id: Name.
        channels: Channels a message may travel on when this touchpoint asks.
        context: Declared context fields and their types: `number`, `text` or `flag`.
        sticky_seconds: How long the same dedupe key gets the same decision.
        needs_permit: A decision only reserves; it counts when a permit was given or the message arrived. Without it,
            a decision counts as a contact at once, until it is reported as not sent or bounced.
        reserve_seconds: How long a reservation holds.
        wait_seconds: How long marketing may wait for an hour in which it does more; 0 for not at all, a week at most.
    """

    touchpoint_id: str
    channels: frozenset[str]
    context: Mapping[str, str] = field(default_factory=dict[str, str])
    sticky_seconds: int = 86_400
    needs_permit: bool = False
    reserve_seconds: int = 86_400
    wait_seconds: int = 0


@value_class
class StageStanding:
    """Where a customer stands.

    Attributes:
        stage_id: None where no stage matches or none can be told.
        is_known: False where the answer depends on something that could not be read, or must not be.
    """

    stage_id: str | None
    is_known: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledStage:
    """A stage with its entry rule compiled, and what the rule looks at: features, or what the customer just did."""

    stage_id: str
    is_entered: Rule
    features: frozenset[str] = frozenset()
    needs_behaviour: bool = False


def compile_stages(stages: Iterable[JourneyStage]) -> tuple[CompiledStage, ...]:
    """Compile the entry rules, in journey order.

    Raises:
        InvalidPolicyError: A rule that could never be true.
    """
    return tuple(
        CompiledStage(
            stage_id=stage.stage_id,
            is_entered=compile_predicate(stage.entry),
            features=frozenset(filter(is_feature, needed)),
            needs_behaviour=any(map(is_behaviour, needed)),
        )
        for stage in stages
        for needed in (facts_of(stage.entry),)
    )


def standing(
    stages: Iterable[CompiledStage],
    facts: Facts,
    *,
    has_behaviour: bool = True,
    moved_to: str | None = None,
) -> StageStanding:
    """The stage that an event just named, else the first whose entry rule holds.

    The search ends at the first rule over a feature that was not read: a later stage that takes everybody would
    otherwise collect customers who belong to an earlier one, and an outage would make all of them look lapsed.

    Args:
        stages: In journey order.
        facts: As `facts.gather_facts`; a feature that was read is there, whether it has a value or not.
        has_behaviour: False where nobody may look at what the customer just did; the search ends there likewise.
        moved_to: As `live.stage_moved_to`; a stage that is not declared moves nobody.
    """
    stages = tuple(stages)
    if moved_to is not None and any(stage.stage_id == moved_to for stage in stages):
        return StageStanding(stage_id=moved_to)
    for stage in stages:
        if not stage.features <= facts.keys() or (stage.needs_behaviour and not has_behaviour):
            return StageStanding(stage_id=None, is_known=False)
        if stage.is_entered(facts):
            return StageStanding(stage_id=stage.stage_id)
    return StageStanding(stage_id=None)
