"""Policies valued on one log by every estimator, with the differences between them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from decisioning.arrays import FloatArray, IndexArray
from decisioning.errors import InsufficientDataError
from training.off_policy.choices import PolicyChoices
from training.off_policy.estimators import (
    Estimate,
    Support,
    check_support,
    clipped_ips,
    difference,
    direct_method,
    doubly_robust,
    importance_weights,
    ips,
    mean_estimate,
    snips,
    support_of,
    switch_doubly_robust,
)
from training.off_policy.logged_rows import LoggedRows

GREEDY, EXPLORING, LOGGED = "greedy", "exploring", "logging_policy"
SILENT, CONSTANT = "silence", "best_single_message"
ALONE = "model_alone"
"""The greedy choice without stage credit, hours, room prices and residuals, where these change any."""

ESTIMATORS = ("dr", "switch_dr", "snips", "ips", "clipped_ips", "dm")
"""Doubly robust, the same with a switch to the model, self-normalised, weighted, weighted with a cap, direct method."""

MAX_UNTRIED = 0.01
"""Share of its probability that a policy may put on messages the log never sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyValue:
    """Value of one policy per decision, in the reward's unit.

    Attributes:
        estimates: By each of `ESTIMATORS`; none where the log cannot say.
        problem: Why it cannot; None where it can.
        contact_cost: What its contacts cost per decision, which the estimates have taken off; 0 for a gross reward.
        beyond_window: What its choices add beyond the window, as the model's stage credit says, which is part of the
            estimates; None where there is none.
    """

    name: str
    estimates: Mapping[str, Estimate] = field(default_factory=dict[str, Estimate])
    contact_cost: float = 0.0
    beyond_window: Estimate | None = None
    support: Support | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedDifference:
    """One policy less another, on the same decisions, by each of `ESTIMATORS`."""

    policy: str
    against: str
    estimates: Mapping[str, Estimate]


def targets_of(choices: PolicyChoices, constant: str | None) -> dict[str, FloatArray]:
    """Probabilities of each policy but the logging one: shape (n, k + 1) each; the model alone where it differs."""
    n, width = choices.probabilities.shape
    one_hot = np.eye(width)
    targets = {
        GREEDY: one_hot[choices.greedy],
        EXPLORING: choices.probabilities,
        SILENT: np.broadcast_to(one_hot[0], (n, width)),
    }
    if (choices.alone != choices.greedy).any():
        targets[ALONE] = one_hot[choices.alone]
    if constant is not None and constant in choices.keys:
        column = choices.keys.index(constant)
        targets[CONSTANT] = one_hot[np.where(choices.permitted[:, column], column, 0)]
    return targets


def value_of(rows: LoggedRows, name: str, target: FloatArray, *, must: bool = False) -> PolicyValue:
    """Value of a policy with probabilities `target`, shape (n, k + 1), net of its contacts.

    Raises:
        InsufficientDataError: The log cannot say, and it `must`; else this is the value's `problem`.
    """
    support: Support | None = None
    try:
        weights = importance_weights(np.minimum(rows.counted_of_logged(target), 1.0), rows.logged)
        support = support_of(weights, rows.customers)
        _check_tried(rows, name, target)
        check_support(support, name)
    except InsufficientDataError as error:
        if must:
            raise
        return PolicyValue(name=name, support=support, problem=str(error))
    counted = rows.worth.counted(target)
    counts = weights if rows.worth.is_even else rows.counted_of_logged(counted) / rows.logged
    told, expected = rows.of_logged(rows.predicted), (counted * rows.predicted).sum(axis=1)
    weighted, modelled = (counts, rows.rewards), (counts, rows.rewards, told, expected)
    estimates = {
        "dr": doubly_robust(*modelled, rows.customers),
        "switch_dr": switch_doubly_robust(*modelled, rows.customers),
        "snips": snips(*weighted, rows.customers),
        "ips": ips(*weighted, rows.customers),
        "clipped_ips": clipped_ips(*weighted, rows.customers),
        "dm": direct_method(expected, rows.customers),
    }
    costs, later = target @ rows.worth.costs, (counted * rows.credit).sum(axis=1)
    known = mean_estimate(costs - later, rows.customers)  # without weighting
    net = {name: replace(difference(one, known, rows.customers), cap=one.cap) for name, one in estimates.items()}
    return PolicyValue(
        name=name,
        estimates=net,
        contact_cost=float(costs.mean()),
        beyond_window=_beyond(rows, later),
        support=support,
    )


def _beyond(rows: LoggedRows, later: FloatArray) -> Estimate | None:
    return mean_estimate(later, rows.customers) if rows.credit.any() else None


def _check_tried(rows: LoggedRows, name: str, target: FloatArray) -> None:
    """Refuse a policy that relies on messages the log never sent."""
    sent = np.bincount(rows.actions[rows.actions >= 0], minlength=len(rows.keys)) > 0
    shares = target.mean(axis=0)
    untried = float(shares[~sent].sum())
    if untried > MAX_UNTRIED:
        most = ", ".join(rows.keys[place] for place in np.argsort(-shares * ~sent)[:3] if not sent[place])
        raise InsufficientDataError(
            f"log must have tried what the policy {name!r} does, got {untried:.1%} of its choices on messages that the"
            f" log never sent ({most}); their value is unknown: send them to some customers at random"
        )


def logged_value(rows: LoggedRows) -> PolicyValue:
    """What the log did is worth its mean, less what its contacts cost, by every estimator: all weights are 1."""
    earned = rows.rewards
    if not rows.worth.is_even:
        silence = rows.predicted[:, 0]
        earned = silence + rows.worth.weights[np.maximum(rows.actions, 0)] * (earned - silence)
    later = np.where(
        rows.actions >= 0, rows.worth.weights[np.maximum(rows.actions, 0)] * rows.of_logged(rows.credit), 0.0
    )
    mean = mean_estimate(earned - rows.paid + later, rows.customers)
    support = support_of(np.ones_like(rows.rewards), rows.customers)
    return PolicyValue(
        name=LOGGED,
        estimates=dict.fromkeys(ESTIMATORS, mean),
        contact_cost=float(rows.paid.mean()),
        beyond_window=_beyond(rows, later),
        support=support,
    )


def differences_of(values: Sequence[PolicyValue], customers: IndexArray) -> tuple[PairedDifference, ...]:
    """What the policy is worth more than each of the others that are known, with and without exploration."""
    known = {one.name: one for one in values if one.problem is None}
    pairs = [(one, other) for one in (GREEDY, EXPLORING) for other in (CONSTANT, SILENT, LOGGED)]
    pairs.insert(0, (GREEDY, ALONE))
    return tuple(paired(known[one], known[other], customers) for one, other in pairs if one in known and other in known)


def paired(one: PolicyValue, other: PolicyValue, customers: IndexArray) -> PairedDifference:
    """One policy less another, by every estimator."""
    gaps = {name: difference(one.estimates[name], other.estimates[name], customers) for name in ESTIMATORS}
    return PairedDifference(policy=one.name, against=other.name, estimates=gaps)


def all_values(rows: LoggedRows, targets: Mapping[str, FloatArray], *, must: str | None = None) -> list[PolicyValue]:
    """The value of every policy and of the log itself, in the order of reports.

    Args:
        rows: n decisions.
        targets: By policy, shape (n, k + 1), from `targets_of`.
        must: The policy that the log must say something about.

    Raises:
        InsufficientDataError: It does not.
    """
    values = [logged_value(rows)]
    values += [value_of(rows, name, target, must=name == must) for name, target in targets.items()]
    return sorted(values, key=lambda one: [GREEDY, EXPLORING, ALONE, CONSTANT, SILENT, LOGGED].index(one.name))
