"""What the gate asks beside value: time to score, parity of the compiled scorer, harm, and burden and benefit by group.

Each reading compares a candidate with the champion and is broken only beyond noise and beyond what is tolerated; where
there is too little data it says so and lets the candidate pass. Harm and groups are read on held-back decisions with
twins, as value is; time and parity are read of the versions that would serve.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from time import perf_counter

import numpy as np

from decisioning.arrays import FloatArray, IntArray
from decisioning.catalogue.measure import Measure, Unit
from decisioning.catalogue.message import Message
from decisioning.value_model import ValueModel
from features.log.outcome_types import OutcomeType
from features.models.fit import ModelFit
from training.data.datasets import Dataset
from training.intervals import CONFIDENCE, MIN_CASES, MIN_CUSTOMERS, ratio
from training.judgement.comparison import SILENCE_RULE, Judgement
from training.off_policy.estimators import Estimate, mean_estimate
from training.registry.canary_guard import MOST_SLOWER, SLOWER_BY_S

HARM = Measure(
    measure_id="unsubscribed or complained",
    unit=Unit.RATE,
    outcomes=frozenset({OutcomeType.UNSUBSCRIBED.value, OutcomeType.COMPLAINED.value}),
)
"""What a promotion must not make more of."""

TOLERATED_HARM = 0.1
"""Share by which harm may rise, beyond noise, before a candidate is refused."""

TOLERATED_LOSS = 0.1
"""Share of what the champion gains in a group that the group may lose, beyond noise."""

TOLERATED_BURDEN = 0.25
"""Share by which a group's contacts may rise, beyond noise, where the group is not estimated to gain by it."""

PARITY = 1e-9
"""Most by which the compiled scorer may differ from the booster, relative to the largest value."""

_CUSTOMERS_SCORED = 64
_ROUNDS = 9
_MOST_CELLS = 4_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class GateReading:
    """One thing that a gate looks at.

    Attributes:
        words: What was found, for people.
        numbers: The same for the ledger, by name.
        is_broken: The candidate is refused for it.
        is_told: It stands among the reasons of a promotion; the ledger has its numbers either way.
    """

    words: str
    numbers: Mapping[str, float]
    is_broken: bool = False
    is_told: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoicePair:
    """Two policies on the same n held-back decisions.

    Attributes:
        dataset: The decisions.
        judgement: Of both.
        choices: shape (n,) each, the candidate's first.
        names: The candidate's and the champion's name in the judgement.
    """

    dataset: Dataset
    judgement: Judgement
    choices: tuple[IntArray, IntArray]
    names: tuple[str, str]


def read_parity(fit: ModelFit, messages: Mapping[str, Sequence[Message]], shared: FloatArray) -> GateReading:
    """Score customers as a server does and by the booster itself, on every touchpoint.

    Args:
        fit: Of the version that would serve.
        messages: By touchpoint.
        shared: shape (n, d + c), customer and context columns in the model's order.
    """
    model = fit.model
    plain = replace(model, predict=partial(model.predict))  # of whole rows: LightGBM itself
    worst = size = 0.0
    for name, of in messages.items():
        rows = shared[: max(1, _MOST_CELLS // ((len(of) + 1) * len(model.layout.columns)))]
        right = plain.on(of).of_columns(rows)
        worst = max(worst, float(np.abs(fit.on_touchpoint[name].of_columns(rows) - right).max()))
        size = max(size, float(np.abs(right).max()))
    is_broken = not worst <= PARITY * max(size, 1.0)
    said = "the booster to the last bit" if worst == 0 else f"the booster within {worst:.2g}"
    words = f"scores {len(shared):,} customers like {said}"
    if is_broken:
        words = f"must score customers like its booster within {PARITY:g} of the largest value, got {worst:.3g} off"
    return GateReading(words=words, numbers={"gate_parity": worst}, is_broken=is_broken)


def read_latency(candidate: ModelFit, champion: ModelFit, ours: FloatArray, theirs: FloatArray) -> GateReading:
    """Time to score a customer on all touchpoints, on this machine: the fastest of several rounds, in turn.

    Args:
        candidate: As it would serve.
        champion: As it serves.
        ours: Customer and context columns in the candidate's order.
        theirs: The same in the champion's order.
    """
    pairs = ((candidate, ours[:_CUSTOMERS_SCORED]), (champion, theirs[:_CUSTOMERS_SCORED]))
    times = [[_seconds(fit, rows) for fit, rows in pairs] for _ in range(_ROUNDS + 1)][1:]  # the first one warms up
    mean, usual = (min(one) for one in zip(*times, strict=True))
    is_broken = mean > MOST_SLOWER * usual and mean > usual + SLOWER_BY_S
    words = f"{mean * 1000:.2f} ms to score a customer against {usual * 1000:.2f}"
    if is_broken:
        words = f"must not take more than {MOST_SLOWER:g} times as long to score a customer, got {words}"
    numbers = {"gate_seconds_to_score": mean, "gate_seconds_to_score_champion": usual}
    return GateReading(words=words, numbers=numbers, is_broken=is_broken)


def _seconds(fit: ModelFit, rows: FloatArray) -> float:
    """Mean time per customer; each is scored alone, as a request does."""
    began = perf_counter()
    for place in range(len(rows)):
        for values in fit.on_touchpoint.values():
            values.of_columns(rows[place : place + 1])
    return (perf_counter() - began) / len(rows)


def read_harm(pair: ChoicePair, harm: FloatArray, expected: FloatArray) -> GateReading:
    """How many decisions would end in harm under either policy, by doubly robust estimation.

    Args:
        pair: Both policies on n decisions.
        harm: shape (n,), 1 where the customer unsubscribed or complained.
        expected: shape (k + 1,), how often that follows each action, seen on other customers.
    """
    count = int(harm.sum())
    if count < MIN_CASES:
        words = f"harm is not compared: {count} held-back decisions were followed by any, and it takes {MIN_CASES}"
        return GateReading(words=words, numbers={"gate_harm_cases": float(count)})
    ours, theirs = (_harm_terms(pair, harm, expected, one) for one in pair.choices)
    gap = mean_estimate(ours - theirs, pair.dataset.customers)
    tries = pair.judgement.tries
    if tries is not None:
        gap = replace(tries, spread=float(harm.std())).widened(gap, *pair.names)
    mean, usual = float(ours.mean()), float(theirs.mean())
    is_broken = gap.lower > TOLERATED_HARM * max(usual, 0.0)
    words = f"{mean:.2%} unsubscribe or complain against {usual:.2%} [{gap.lower:+.2%}, {gap.upper:+.2%}]"
    if is_broken:
        words = f"must not make more than a tenth more customers leave or complain, got {words}"
    numbers = {"gate_harm": mean, "gate_harm_champion": usual, **_ends("gate_harm_gap", gap)}
    return GateReading(words=words, numbers=numbers, is_broken=is_broken)


def _harm_terms(pair: ChoicePair, harm: FloatArray, expected: FloatArray, choices: IntArray) -> FloatArray:
    """One term per decision, whose mean is how often harm follows; of sent messages, those that are kept."""
    dataset = pair.dataset
    is_same = choices == dataset.actions
    if pair.judgement.tries is None:
        return np.where(is_same & (dataset.actions > 0), harm, 0.0)
    return expected[choices] + np.where(is_same, (harm - expected[dataset.actions]) / dataset.probabilities, 0.0)


def read_groups(
    pair: ChoicePair, members: Mapping[str, Sequence[str]], declared: frozenset[str]
) -> Iterator[GateReading]:
    """Contacts and value per customer in each group.

    All intervals hold jointly. Only groupings that the catalogue's guardrails name can refuse a candidate.

    Args:
        pair: Both policies on n decisions.
        members: By grouping, the group of each decision.
        declared: Groupings that guardrails name.
    """
    found = [
        (f"{grouping}={group}", grouping in declared, rows)
        for grouping, names in members.items()
        for group in sorted(set(names))
        if np.unique(pair.dataset.customers[rows := np.array(names) == group]).size >= MIN_CUSTOMERS
    ]
    for name, is_declared, rows in found:
        yield _group(pair, name, rows, 1 - (1 - CONFIDENCE) / len(found), is_declared=is_declared)


def _group(pair: ChoicePair, name: str, rows: np.ndarray, confidence: float, *, is_declared: bool) -> GateReading:
    (ours, theirs), (mine, other) = (one[rows] > 0 for one in pair.choices), pair.names
    terms = {rule: pair.judgement.terms[rule][rows] for rule in (mine, other, SILENCE_RULE)}
    _, who = np.unique(pair.dataset.customers[rows], return_inverse=True)
    ones = np.ones(int(who.max()) + 1)

    def by_customer(values: FloatArray) -> FloatArray:
        return np.bincount(who, weights=values)

    benefit = ratio(by_customer(terms[mine] - terms[other]), ones, confidence=confidence)
    burden = ratio(by_customer(ours.astype(float) - theirs.astype(float)), ones, confidence=confidence)
    usual = float(by_customer(theirs.astype(float)).mean())
    gain = max(float(by_customer(terms[other] - terms[SILENCE_RULE]).mean()), 0.0)
    is_poorer = benefit.ends[1] < -TOLERATED_LOSS * gain
    is_pressed = burden.ends[0] > TOLERATED_BURDEN * usual and benefit.value <= 0
    words = (
        f"{name}: value a customer {benefit.value:+,.4g} [{benefit.ends[0]:+,.4g}, {benefit.ends[1]:+,.4g}], contacts"
        f" {burden.value:+,.3g} [{burden.ends[0]:+,.3g}, {burden.ends[1]:+,.3g}] from {usual:,.3g}"
    )
    is_broken = is_declared and (is_poorer or is_pressed)
    if is_broken:
        rule = "make no group poorer" if is_poorer else "contact no group more for nothing"
        words = f"must {rule}, got {words}"
    numbers = {
        f"gate_value:{name}": benefit.value,
        f"gate_value_lower:{name}": benefit.ends[0],
        f"gate_value_upper:{name}": benefit.ends[1],
        f"gate_contacts:{name}": usual + burden.value,
        f"gate_contacts_champion:{name}": usual,
    }
    return GateReading(words=words, numbers=numbers, is_broken=is_broken, is_told=is_declared)


def _ends(name: str, estimate: Estimate) -> dict[str, float]:
    return {name: estimate.value, f"{name}_lower": estimate.lower, f"{name}_upper": estimate.upper}


def drawn_customers(model: ValueModel) -> FloatArray:
    """Made-up customer and context columns, where there are no real ones to try a model on; some are missing."""
    width = len(model.layout.customer) + len(model.layout.context)
    rng = np.random.default_rng(20_261_130)
    rows = rng.normal(0.0, 10.0, (_CUSTOMERS_SCORED, width))
    rows[rng.random(rows.shape) < 0.2] = np.nan  # noqa: PLR2004 - as many as a tenth of training has, twice
    return rows
