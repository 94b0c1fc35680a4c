"""What a policy would have been worth on a log it never saw, against silence, one message for all, and the log itself.

Every decision of the log stays in, but for those about people who opted out of profiling, and for the few that alone of
nearly all have no action probability. One whose message the policy could not have sent (it is not in the catalogue, or
a gate closes it) is a choice the policy makes with probability 0, so it weighs nothing for the policy and is counted.

Values are net of what contacts cost wherever the reward is money, or the learned rate at the values offers declare.
What a policy's contacts cost is known exactly, so it is taken off without weighting.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from decisioning.arrays import FloatArray, IndexArray
from decisioning.catalogue.catalogue import Catalogue
from decisioning.errors import InsufficientDataError
from decisioning.value_model import ValueModel
from features.history import History
from features.log.contracts import UTC_TIME
from features.progress import OnStageProgress
from features.settings import Settings
from training.data.datasets import OPTED_OUT, UNSAID, messages_of, windows, with_probabilities, without_opted_out
from training.data.net_worth import NetWorth, paid_minor
from training.off_policy.choices import PolicyChoices, choose, policy_to_judge
from training.off_policy.estimators import (
    Estimate,
    Support,
    check_support,
    difference,
    doubly_robust,
    importance_weights,
    ips,
    mean_estimate,
    snips,
    support_of,
)
from training.off_policy.rewards import Reward, reward_of, rewards_of

GREEDY, EXPLORING, LOGGED = "greedy", "exploring", "logging_policy"
SILENT, CONSTANT = "silence", "best_single_message"

ESTIMATORS = ("dr", "snips", "ips")
"""Doubly robust, self-normalised, and inverse probability weighting."""

MAX_UNTRIED = 0.01
"""Share of its probability that a policy may put on messages the log never sent."""

DEFAULT_WINDOW_DAYS = 7.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyValue:
    """Value of one policy per decision, in the reward's unit.

    Attributes:
        estimates: By each of `ESTIMATORS`; none where the log cannot say.
        problem: Why it cannot; None where it can.
        contact_cost: What its contacts cost per decision, which the estimates have taken off; 0 for a gross reward.
    """

    name: str
    estimates: Mapping[str, Estimate] = field(default_factory=dict[str, Estimate])
    contact_cost: float = 0.0
    support: Support | None = None
    problem: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedDifference:
    """One policy less another, on the same decisions, by each of `ESTIMATORS`."""

    policy: str
    against: str
    estimates: Mapping[str, Estimate]


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageSupport:
    """How a message (or silence) stands in the log and in the policy.

    Attributes:
        logged: Decisions of the log that chose it.
        chosen: Decisions for which the policy chooses it, before any chance.
        matched: Decisions in which both did: the ones that speak about the choice.
        probability: Its mean probability under the policy with exploration.
    """

    message: str
    logged: int
    chosen: int
    matched: int
    probability: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Evaluation:
    """Everything that an evaluation found.

    Attributes:
        is_net: Contact costs are taken off.
        outcome_model: What predicts rewards for the doubly robust estimate, in words.
        left_out: Decisions that could not be judged, by reason.
        unmatched: Decisions whose logged choice the policy could not make, by reason; they are part of every number.
        constant: The best single message; None where the model names none.
    """

    reward: Reward
    decisions: int
    customers: int
    values: tuple[PolicyValue, ...]
    differences: tuple[PairedDifference, ...]
    messages: tuple[MessageSupport, ...]
    outcome_model: str
    is_net: bool
    left_out: Mapping[str, int]
    unmatched: Mapping[str, int]
    constant: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """Decisions of a log beside what the policy does at each of them.

    Attributes:
        decisions: n rows: canonical columns, `starts_at`, `ends_at`, `message_key`.
        choices: The policy's side.
        left_out: Decisions that could not be judged, by reason.
    """

    decisions: pl.DataFrame
    choices: PolicyChoices
    left_out: Mapping[str, int]


def judge(
    history: History,
    catalogue: Catalogue,
    model: ValueModel,
    settings: Settings,
    *,
    on_progress: OnStageProgress | None = None,
) -> Judged:
    """Decide every decision of a log again, by a model that never saw its customers.

    Raises:
        InsufficientDataError: There is no decision, or none whose window is over.
        InvalidInputError: Decisions name no touchpoint of the catalogue.
    """
    if history.decisions.is_empty():
        raise InsufficientDataError("--log must hold decisions, got none; put decisions.parquet or .csv in the folder")
    days = catalogue.learning.window_days if catalogue.learning else DEFAULT_WINDOW_DAYS
    profiled = without_opted_out(history.decisions, history)
    decisions = windows(profiled, catalogue, window_days=days)
    over = decisions.filter(pl.col("window_ends_at").is_not_null() | (pl.col("ends_at") <= _last_moment(history)))
    if over.is_empty():
        raise InsufficientDataError(
            f"decisions must have a window that is over, got none of {decisions.height:,}: the log ends before;"
            " wait, or fill in `window_ends_at`"
        )
    over = over.sort("decided_at", "decision_id")
    choices = choose(history, over, policy_to_judge(catalogue, settings.policy_seed), model, on_progress=on_progress)
    left_out = {
        "window not over yet": decisions.height - over.height,
        OPTED_OUT: history.decisions.height - profiled.height,
    }
    return Judged(decisions=over, choices=choices, left_out=left_out)


def evaluate(
    judged: Judged,
    history: History,
    catalogue: Catalogue,
    *,
    reward: str | None = None,
    cap: float | None = None,
    constant: str | None = None,
) -> Evaluation:
    """Value the policy and what it is measured against.

    Args:
        judged: From `judge`.
        history: Where rewards are read.
        catalogue: Declares measures.
        reward: Its name; default what models learn.
        cap: Largest amount that one transaction counts for, in major units.
        constant: Key of the best single message, chosen on training data; None for none.

    Raises:
        UnknownNameError: No such reward.
        InvalidInputError: A cap that does not fit, or probabilities out of range.
        InsufficientDataError: Too many decisions without a probability, a reward that never happens, or a policy about
            which the log says too little.
    """
    judged = _said(judged)
    wanted = reward_of(catalogue, reward, cap=cap)
    rows = _rows(judged, rewards_of(history, judged.decisions, wanted), wanted, catalogue)
    values = [_logged_value(rows)]
    for name, target in _targets(judged.choices, constant).items():
        values.append(_value(rows, judged.choices, name, target, must=name == GREEDY))
    values.sort(key=lambda one: [GREEDY, EXPLORING, CONSTANT, SILENT, LOGGED].index(one.name))
    return Evaluation(
        reward=wanted,
        decisions=judged.decisions.height,
        customers=judged.decisions["customer_id"].n_unique(),
        values=tuple(values),
        differences=_differences(values, rows.customers),
        messages=_messages(judged, rows),
        outcome_model=_outcome_words(wanted),
        is_net=bool(np.isfinite(rows.worth.unit_minor)),
        left_out=judged.left_out,
        unmatched=_unmatched(judged, rows),
        constant=constant,
    )


def _said(judged: Judged) -> Judged:
    """Without the few decisions that have no action probability, counted; the rule is that of training."""
    kept = with_probabilities(judged.decisions.with_row_index("row"))
    rows = kept["row"].to_numpy().astype(np.intp)
    left_out = {**judged.left_out, UNSAID: judged.decisions.height - kept.height}
    return replace(judged, decisions=kept.drop("row"), choices=judged.choices.take(rows), left_out=left_out)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rows:
    """The log's side of n decisions; `actions` is -1 where the touchpoint has no such message.

    `paid` is what the logged contacts cost, and `worth` what the policy's would; both nothing for a gross reward.
    """

    rewards: FloatArray
    logged: FloatArray
    actions: IndexArray
    customers: IndexArray
    predicted: FloatArray
    paid: FloatArray
    worth: NetWorth


def _rows(judged: Judged, rewards: FloatArray, reward: Reward, catalogue: Catalogue) -> _Rows:
    decisions = judged.decisions
    actions = judged.choices.columns(decisions["message_key"].to_list())
    customers = (decisions["customer_id"].rank("dense").cast(pl.Int64) - 1).to_numpy().astype(np.intp)
    worth = _worth(judged.choices, reward, catalogue)
    predicted = judged.choices.predicted / reward.per_unit
    if not reward.is_learned:
        predicted = _rescaled(predicted, rewards, actions, customers)
    return _Rows(
        rewards=rewards,
        logged=decisions["action_probability"].fill_null(np.nan).to_numpy(),
        actions=actions,
        customers=customers,
        predicted=np.nan_to_num(predicted, nan=0.0),
        paid=paid_minor(decisions, catalogue) / worth.unit_minor / reward.per_unit,
        worth=worth,
    )


def _worth(choices: PolicyChoices, reward: Reward, catalogue: Catalogue) -> NetWorth:
    """What the policy's choices cost and count for, in the report's unit."""
    if not reward.is_net:
        return NetWorth.gross(len(choices.keys) - 1)
    known = messages_of(catalogue)
    worth = NetWorth.of([known[key] for key in choices.keys[1:]], reward.measure.unit)
    return replace(worth, costs=worth.costs / reward.per_unit)


def _rescaled(predicted: FloatArray, rewards: FloatArray, actions: IndexArray, customers: IndexArray) -> FloatArray:
    """Predictions of another measure turned into predictions of this one.

    Every message gets the mean reward it brought, and customers differ around it along a line. Both are taken from
    the other half of the customers, so that no reward predicts itself.
    """
    told = _at(predicted, actions)
    is_usable = (actions >= 0) & np.isfinite(told)
    result = np.empty_like(predicted)
    for half in (0, 1):
        is_here = customers % 2 == half
        others = np.flatnonzero(is_usable & ~is_here)
        result[is_here] = _on_scale(predicted[is_here], told[others], rewards[others], actions[others])
    return result


def _on_scale(predicted: FloatArray, told: FloatArray, rewards: FloatArray, actions: IndexArray) -> FloatArray:
    """Predictions, shape (n, k + 1), on the scale of rewards that m other decisions brought."""
    if not told.size:
        return np.zeros_like(predicted)
    width = predicted.shape[1]
    counts = np.bincount(actions, minlength=width)
    means = [
        np.where(counts > 0, np.bincount(actions, weights=one, minlength=width) / np.maximum(counts, 1), one.mean())
        for one in (told, rewards)
    ]
    around = told - means[0][actions]
    spread = float((around**2).sum())
    slope = float((around * rewards).sum()) / spread if spread > 0 else 0.0
    return means[1] + slope * (predicted - means[0])


def _outcome_words(reward: Reward) -> str:
    if not reward.is_learned:
        return "the model's predictions of what it learned, put on this reward's scale with other customers"
    if reward.measure.cap_minor is None:
        return "the model's predictions (it may have learned from capped transactions; the reward is not capped)"
    return "the model's predictions"  # of capped amounts, where its measure has a cap


def _targets(choices: PolicyChoices, constant: str | None) -> dict[str, FloatArray]:
    """Probabilities of each policy but the logging one: shape (n, k + 1) each."""
    n, width = choices.probabilities.shape
    one_hot = np.eye(width)
    targets = {
        GREEDY: one_hot[choices.greedy],
        EXPLORING: choices.probabilities,
        SILENT: np.broadcast_to(one_hot[0], (n, width)),
    }
    if constant is not None and constant in choices.keys:
        column = choices.keys.index(constant)
        targets[CONSTANT] = one_hot[np.where(choices.permitted[:, column], column, 0)]
    return targets


def _value(rows: _Rows, choices: PolicyChoices, name: str, target: FloatArray, *, must: bool) -> PolicyValue:
    """Value of a policy; where it must be known, a log that cannot say is an error."""
    support: Support | None = None
    try:
        weights = importance_weights(_chance_of_logged(rows, target), rows.logged)
        support = support_of(weights, rows.customers)
        _check_tried(rows, choices, name, target)
        check_support(support, name)
    except InsufficientDataError as error:
        if must:
            raise
        return PolicyValue(name=name, support=support, problem=str(error))
    counted = rows.worth.counted(target)
    counts = (
        weights if rows.worth.is_even else np.where(rows.actions >= 0, _at(counted, rows.actions), 0.0) / rows.logged
    )
    told, expected = _at(rows.predicted, rows.actions), (counted * rows.predicted).sum(axis=1)
    estimates = {
        "dr": doubly_robust(counts, rows.rewards, told, expected, rows.customers),
        "snips": snips(counts, rows.rewards, rows.customers),
        "ips": ips(counts, rows.rewards, rows.customers),
    }
    spent = mean_estimate(target @ rows.worth.costs, rows.customers)
    net = {name: difference(one, spent, rows.customers) for name, one in estimates.items()}
    return PolicyValue(name=name, estimates=net, contact_cost=spent.value, support=support)


def _at(matrix: npt.NDArray[Any], actions: IndexArray) -> npt.NDArray[Any]:
    """A matrix's value for the logged action of each decision, shape (n,); for silence's where the action is -1."""
    return np.take_along_axis(matrix, np.maximum(actions, 0)[:, None], axis=1)[:, 0]


def _chance_of_logged(rows: _Rows, target: FloatArray) -> FloatArray:
    return np.where(rows.actions >= 0, np.minimum(_at(target, rows.actions), 1.0), 0.0)


def _check_tried(rows: _Rows, choices: PolicyChoices, name: str, target: FloatArray) -> None:
    """Refuse a policy that relies on messages the log never sent."""
    sent = np.bincount(rows.actions[rows.actions >= 0], minlength=len(choices.keys)) > 0
    shares = target.mean(axis=0)
    untried = float(shares[~sent].sum())
    if untried > MAX_UNTRIED:
        most = ", ".join(choices.keys[place] for place in np.argsort(-shares * ~sent)[:3] if not sent[place])
        raise InsufficientDataError(
            f"log must have tried what the policy {name!r} does, got {untried:.1%} of its choices on messages that the"
            f" log never sent ({most}); their value is unknown: send them to some customers at random"
        )


def _logged_value(rows: _Rows) -> PolicyValue:
    """What the log did is worth its mean, less what its contacts cost, by every estimator: all weights are 1."""
    earned = rows.rewards
    if not rows.worth.is_even:
        silence = rows.predicted[:, 0]
        earned = silence + rows.worth.weights[np.maximum(rows.actions, 0)] * (earned - silence)
    mean = mean_estimate(earned - rows.paid, rows.customers)
    support = support_of(np.ones_like(rows.rewards), rows.customers)
    return PolicyValue(
        name=LOGGED,
        estimates=dict.fromkeys(ESTIMATORS, mean),
        contact_cost=float(rows.paid.mean()),
        support=support,
    )


def _differences(values: list[PolicyValue], customers: IndexArray) -> tuple[PairedDifference, ...]:
    known = {one.name: one for one in values if one.problem is None}
    pairs = [(one, other) for one in (GREEDY, EXPLORING) for other in (CONSTANT, SILENT, LOGGED)]
    return tuple(
        PairedDifference(
            policy=one,
            against=other,
            estimates={
                name: difference(known[one].estimates[name], known[other].estimates[name], customers)
                for name in ESTIMATORS
            },
        )
        for one, other in pairs
        if one in known and other in known
    )


def _messages(judged: Judged, rows: _Rows) -> tuple[MessageSupport, ...]:
    choices, greedy = judged.choices, judged.choices.greedy
    logged, chosen, matched = (
        np.bincount(actions, minlength=len(choices.keys)).tolist()
        for actions in (rows.actions[rows.actions >= 0], greedy, greedy[greedy == rows.actions])
    )
    found = zip(choices.keys, logged, chosen, matched, choices.probabilities.mean(axis=0).tolist(), strict=True)
    return tuple(
        MessageSupport(message=key, logged=one, chosen=other, matched=both, probability=share)
        for key, one, other, both, share in found
    )


def _unmatched(judged: Judged, rows: _Rows) -> dict[str, int]:
    is_known, unheard_of = rows.actions >= 0, judged.decisions["message_key"].null_count()
    is_permitted = _at(judged.choices.permitted, rows.actions)
    return {
        "logged message is not in the catalogue": unheard_of,
        "logged message is none of the touchpoint's": int((~is_known).sum()) - unheard_of,
        "logged message was not permitted": int((is_known & ~is_permitted & (rows.actions > 0)).sum()),
        "customer was unknown": int((~judged.choices.is_known).sum()),
    }


def _last_moment(history: History) -> datetime:
    times = pl.concat([history.events["occurred_at"], history.outcomes["occurred_at"], history.decisions["decided_at"]])
    return times.cast(UTC_TIME).dt.max()  # pyright: ignore[reportReturnType] - there is a decision
