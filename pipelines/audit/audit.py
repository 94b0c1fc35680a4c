"""Audit of the logged action probabilities: recomputed, drawn again, and compared with the logged choices.

Four questions about a sample of logged decisions, each with the policy of that time:

1. Probabilities: deciding again gives every probability exactly as logged.
2. Keys: the draw of each decision is the one that its request key gives, so nobody picked it.
3. Frequency: with M fresh draws per decision, `decide` chooses each message as often as was logged; one test over
   everything, and one for each reason and experiment arm.
4. Choices: what was really chosen is spread as the logged probabilities say, and the draws are uniform.

1 and 2 are exact: a single deviation fails. 3 and 4 are tests; together they fail an honest log with a probability of
at most `false_alarm` (Bonferroni).
"""

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import polars as pl

from decisioning.decision import Decision, request_uniform
from decisioning.draw import unit_hash
from decisioning.errors import InsufficientDataError, InvalidInputError
from decisioning.policy import Policy, decide
from features.log.contracts import DECISIONS
from features.log.event_log import EventLog
from features.models.logged_decisions import READ_COLUMNS, LoggedDecisions
from features.models.policy_archive import Absence
from features.progress import OnProgress
from pipelines.audit.draw_statistics import FrequencyTest, detectable_shift, place_in_order, uniformity

BATCH_ROWS = 500
DRAWS_WITHOUT_CHANCE = 5
"""Fresh draws of a decision that leaves nothing to chance: any number of them gives the same, if all is well."""

LARGEST_ERROR = 1e-12
"""Probabilities that differ by no more are the same: other machines round the last digit otherwise."""

type Decide = Callable[[Policy, Any, str], Decision]


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditPlan:
    """How much to look at.

    Attributes:
        decisions: Size of the sample.
        draws: Fresh draws per decision.
        seed: Which sample, and which draws; another one looks elsewhere.
        false_alarm: Greatest probability of failing an honest log.
    """

    decisions: int = 200
    draws: int = 200
    seed: str = "audit"
    false_alarm: float = 0.001


@dataclass(frozen=True, slots=True, kw_only=True)
class WrongProbability:
    """A probability that deciding again does not give."""

    decision_id: str
    message_key: str
    logged: float | None
    recomputed: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TestResult:
    """One test; `fails` where its p-value is below the level that each test has."""

    name: str
    decisions: int
    draws: int
    p_value: float
    fails: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditReport:
    """What the audit found.

    Attributes:
        audited: Decisions of the sample that could be decided again.
        absent: Those whose policy cannot be built, by reason.
        with_chance: Audited decisions that left something to chance.
        wrong: Probabilities that are not what was logged.
        picked: Decisions whose draw is not that of their request key.
        false_alarm: Probability of failing an honest log, at most.
        detectable: Distance between logged and real distribution of choices that is seen with 90 % power or more.
    """

    audited: int
    absent: Mapping[str, int]
    with_chance: int
    wrong: tuple[WrongProbability, ...]
    picked: tuple[str, ...]
    tests: tuple[TestResult, ...]
    false_alarm: float
    detectable: float
    seconds: float

    @property
    def passes(self) -> bool:
        """No deviation, and no test that fails."""
        return not (self.wrong or self.picked or any(test.fails for test in self.tests))

    def document(self) -> dict[str, Any]:
        """As plain values."""
        return {"passes": self.passes} | asdict(self)


@dataclass(slots=True)
class _Tally:
    """What is gathered decision by decision."""

    audited: int = 0
    absent: Counter[str] = field(default_factory=Counter[str])
    wrong: list[WrongProbability] = field(default_factory=list[WrongProbability])
    picked: list[str] = field(default_factory=list[str])
    frequencies: dict[str, FrequencyTest] = field(default_factory=dict[str, FrequencyTest])
    places: list[float] = field(default_factory=list[float])
    uniforms: dict[tuple[str, str, str], float] = field(default_factory=dict[tuple[str, str, str], float])


def audit_policy(
    log: EventLog,
    logged: LoggedDecisions,
    plan: AuditPlan,
    *,
    on_progress: OnProgress | None = None,
    decide: Decide = decide,
) -> AuditReport:
    """Audit a sample of the log's decisions; another `decide` than the engine only shows what it would find.

    Raises:
        InsufficientDataError: The log has no decision that can be decided again.
        InvalidInputError: A record that cannot be read; `nextbest log verify` says more.
        LogUnavailableError: The log could not be read.
    """
    started, tally = time.perf_counter(), _Tally()
    wanted = _sample(log, plan)
    for done, decision in enumerate(_decisions(log, logged, wanted), start=1):
        policy = logged.archive.policy(decision.policy_version)
        if isinstance(policy, Absence):
            tally.absent[policy.value] += 1
        else:
            _audit(decision, policy, plan, tally, decide)
        if on_progress is not None:
            on_progress(done, len(wanted))
    if not tally.audited:
        raise InsufficientDataError(
            f"an audit must have decisions whose policy is available, got none of {len(wanted)}; decide first"
        )
    return _report(tally, plan, seconds=time.perf_counter() - started)


def _sample(log: EventLog, plan: AuditPlan) -> list[str]:
    """A random sample that depends on the seed alone."""
    made = log.scan(DECISIONS).filter(pl.col("record").is_not_null()).select("decision_id")
    ids = log.collect(DECISIONS, made)["decision_id"].to_list()
    return sorted(ids, key=lambda one: unit_hash("audit-sample", plan.seed, one))[: plan.decisions]


def _decisions(log: EventLog, logged: LoggedDecisions, wanted: Sequence[str]) -> Iterator[Decision]:
    rows = log.scan(DECISIONS).filter(pl.col("decision_id").is_in(list(wanted))).select(READ_COLUMNS)
    for batch in log.batches(DECISIONS, rows, size=BATCH_ROWS):
        for row in batch.iter_rows(named=True):
            try:
                yield logged.decision(row)
            except InvalidInputError as error:
                raise InvalidInputError(
                    f"record of {row['decision_id']} must be readable, got {error}; see nextbest log verify"
                ) from error


def _audit(decision: Decision, policy: Policy, plan: AuditPlan, tally: _Tally, decide: Decide) -> None:
    tally.audited += 1
    inputs = decision.inputs
    tally.wrong.extend(_wrong(decision, decide(policy, inputs, decision.decision_id)))
    if inputs.uniform != request_uniform(policy.seed, inputs.request):
        tally.picked.append(decision.decision_id)
    logged = {one.message_key: one.probability for one in decision.evaluated}
    counts = _drawn(decision, policy, _draw_count(logged, plan), plan, decide)
    for group in _groups(decision):
        tally.frequencies.setdefault(group, FrequencyTest()).add(logged, counts)
    _note_choice(decision, logged, plan, tally)


def _wrong(logged: Decision, again: Decision) -> list[WrongProbability]:
    """Every probability of the first position and of further ones that differs."""
    said, found = _probabilities(logged), _probabilities(again)
    return [
        WrongProbability(
            decision_id=logged.decision_id, message_key=key, logged=said.get(key), recomputed=found.get(key)
        )
        for key in dict.fromkeys((*said, *found))
        if not _is_same(said.get(key), found.get(key))
    ]


def _probabilities(decision: Decision) -> dict[str, float]:
    further = {
        f"{position.placement_id}: {position.message_key}": position.action_probability for position in decision.further
    }
    chosen = {f"chosen: {decision.message_key}": decision.action_probability}
    return {one.message_key: one.probability for one in decision.evaluated} | chosen | further


def _is_same(one: float | None, other: float | None) -> bool:
    return one is not None and other is not None and abs(one - other) <= LARGEST_ERROR


def _draw_count(logged: Mapping[str, float], plan: AuditPlan) -> int:
    has_chance = sum(chance > 0 for chance in logged.values()) > 1
    return plan.draws if has_chance else min(plan.draws, DRAWS_WITHOUT_CHANCE)


def _drawn(decision: Decision, policy: Policy, count: int, plan: AuditPlan, decide: Decide) -> Counter[str]:
    """How often each message is chosen with fresh draws; slates are drawn for their first position."""
    inputs = decision.inputs
    alone = replace(inputs, request=replace(inputs.request, placements=inputs.request.placements[:1]))
    draws = (unit_hash("audit-draw", plan.seed, decision.decision_id, str(number)) for number in range(count))
    return Counter(decide(policy, replace(alone, uniform=draw), decision.decision_id).message_key for draw in draws)


def _groups(decision: Decision) -> Iterator[str]:
    yield "all"
    yield f"reason {decision.reason.value}"
    for experiment, arm in decision.arms.items():
        yield f"arm {experiment}: {arm}"


def _note_choice(decision: Decision, logged: Mapping[str, float], plan: AuditPlan, tally: _Tally) -> None:
    """Where the logged choice lies; one per draw, since asks that share their draw say the same twice."""
    request = decision.inputs.request
    key = (request.customer_id, request.touchpoint_id, request.request_key)
    if logged.get(decision.message_key, 0.0) >= 1 or key in tally.uniforms:
        return
    tally.uniforms[key] = decision.inputs.uniform
    fresh = unit_hash("audit-place", plan.seed, decision.decision_id)
    tally.places.append(place_in_order(logged, decision.message_key, fresh))


def _report(tally: _Tally, plan: AuditPlan, *, seconds: float) -> AuditReport:
    found = [
        (f"frequency, {name}", test.decisions, test.draws, test.p_value()) for name, test in tally.frequencies.items()
    ]
    count = len(tally.places)
    found.append(("choices follow probabilities", count, count, uniformity(tally.places)))
    found.append(("draws are uniform", count, count, uniformity(list(tally.uniforms.values()))))
    level = plan.false_alarm / len(found)
    return AuditReport(
        audited=tally.audited,
        absent=dict(tally.absent),
        with_chance=tally.frequencies["all"].decisions,
        wrong=tuple(tally.wrong),
        picked=tuple(tally.picked),
        tests=tuple(
            TestResult(name=name, decisions=decisions, draws=draws, p_value=p_value, fails=p_value < level)
            for name, decisions, draws, p_value in found
        ),
        false_alarm=plan.false_alarm,
        detectable=detectable_shift(count, false_alarm=level),
        seconds=round(seconds, 3),
    )
