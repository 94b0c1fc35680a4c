"""What two models choose for the same held-back decisions: how many differ, for whom, and what that gains."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from decisioning.arrays import BoolArray, FloatArray, IntArray
from decisioning.value_model import ValueModel
from training.data.datasets import Dataset
from training.data.net_worth import NetWorth
from training.intervals import MIN_CUSTOMERS, Interval
from training.judgement.comparison import SILENCE_RULE, Judgement, own_uplifts
from training.off_policy.estimators import Estimate, mean_estimate

STAGE = "stage"
UNNAMED = "not named"
"""The stage of a decision whose log names none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupChange:
    """Held-back decisions about a group of customers, and how many of them differ."""

    group: str
    decisions: int
    differing: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelMove:
    """Decisions that go from one choice to another.

    Attributes:
        gain: What a move gains per decision that moves; None with too few customers.
    """

    before: str
    after: str
    decisions: int
    gain: Interval | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelContest:
    """What two versions choose for the same held-back decisions, in the measure's unit per decision.

    Attributes:
        is_free: Both chose freely; False where a log that rules have shaped says only which sent messages they keep.
        gain: Of the second over the first, paired by customer.
        over_silence: Of each version.
        qini_gain: How much better the second orders customers, paired; None where nobody can tell.
        by_stage: By journey stage as logged.
        by_segment: By grouping of customers, as of the first decision.
        moves: Most frequent first.
    """

    decisions: int
    customers: int
    is_free: bool
    gain: Interval
    over_silence: Mapping[str, Interval]
    qini_gain: Interval | None
    differing: int
    by_stage: tuple[GroupChange, ...]
    by_segment: Mapping[str, tuple[GroupChange, ...]]
    moves: tuple[ModelMove, ...]


def choices_of(
    judgement: Judgement, dataset: Dataset, models: Mapping[str, ValueModel], worth: NetWorth
) -> dict[str, IntArray]:
    """What each model chooses, shape (n,): freely, or, on a log that rules have shaped, whether it keeps what was sent.

    Args:
        judgement: Of these models on these decisions.
        dataset: n held-back decisions.
        models: By name.
        worth: Of the dataset's messages.
    """
    if judgement.tries is not None:
        return {name: judgement.tries.choices[name] for name in models}
    nothing = np.zeros(dataset.size)
    nets = {
        name: worth.of_logged(own_uplifts(model, dataset), dataset.actions, nothing) for name, model in models.items()
    }
    return {name: np.where(net > 0, dataset.actions, 0) for name, net in nets.items()}


def contest_of(
    judgement: Judgement,
    choices: Mapping[str, IntArray],
    keys: Sequence[str],
    groups: Mapping[str, Sequence[str]],
    qini_gain: Interval | None = None,
) -> ModelContest:
    """Compare the newer of two models, which comes first, with the older one.

    Args:
        judgement: Of both.
        choices: By model, shape (n,), the newer one first.
        keys: What choices mean.
        groups: By grouping, the group of each of n decisions.
        qini_gain: Of the newer one.
    """
    newer, older = choices
    differs = choices[newer] != choices[older]
    by_group = {name: _by_group(members, differs) for name, members in groups.items()}
    terms = judgement.terms[newer] - judgement.terms[older]
    return ModelContest(
        decisions=judgement.decisions,
        customers=judgement.customer_count,
        is_free=judgement.tries is not None,
        gain=_interval(judgement.gain(newer, older)),
        over_silence={name: _interval(judgement.gain(name, SILENCE_RULE)) for name in (older, newer)},
        qini_gain=qini_gain,
        differing=int(differs.sum()),
        by_stage=by_group.pop(STAGE, ()),
        by_segment=by_group,
        moves=_moves(choices[older], choices[newer], keys, terms, judgement.customers),
    )


def _interval(estimate: Estimate) -> Interval:
    return Interval(value=estimate.value, lower=estimate.lower, upper=estimate.upper, error=estimate.standard_error)


def _by_group(members: Sequence[str], differs: BoolArray) -> tuple[GroupChange, ...]:
    sizes, differing = Counter(members), Counter(np.array(members)[differs].tolist())
    return tuple(
        GroupChange(group=group, decisions=sizes[group], differing=differing[group]) for group in sorted(sizes)
    )


def _moves(
    before: IntArray, after: IntArray, keys: Sequence[str], terms: FloatArray, customers: IntArray
) -> tuple[ModelMove, ...]:
    moved = np.flatnonzero(before != after)
    pairs = before[moved] * len(keys) + after[moved]
    found = []
    for pair in [int(one) for one in np.unique(pairs)]:
        rows = moved[pairs == pair]
        gain = None
        if np.unique(customers[rows]).size >= MIN_CUSTOMERS:
            gain = _interval(mean_estimate(terms[rows], customers[rows]))
        start, end = (int(place) for place in divmod(pair, len(keys)))
        found.append(ModelMove(before=keys[start], after=keys[end], decisions=int(rows.size), gain=gain))
    return tuple(sorted(found, key=lambda move: (-move.decisions, move.before, move.after)))
