"""What a policy would have been worth on a log it never saw, against silence, one message for all, and the log itself.

Every decision of the log stays in, but for those about people who opted out of profiling, and for the few that alone of
nearly all have no action probability. One whose message the policy could not have sent (it is not in the catalogue, or
a gate closes it) is a choice the policy makes with probability 0, so it weighs nothing for the policy and is counted.

What is valued is what is served. Stage credit is part of every value; it is the model's own word for what comes beyond
the window, so it is told apart, too, and no logged outcome corrects it. Room prices and residuals steer choices where
the log says how things stood at the moment; elsewhere choices are made without, and these are counted.

Values are net of what contacts cost wherever the reward is money, or the learned rate at the values offers declare.
What a policy's contacts cost is known exactly, so it is taken off without weighting.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import polars as pl

from decisioning.catalogue.catalogue import Catalogue
from decisioning.errors import InsufficientDataError
from decisioning.value_model import ValueModel
from features.history import History
from features.log.contracts import UTC_TIME
from features.models.logged_decisions import LoggedDecisions
from features.progress import OnStageProgress
from features.settings import Settings
from training.data.datasets import (
    OPTED_OUT,
    PUT_OFF,
    UNSAID,
    windows,
    with_probabilities,
    without_opted_out,
    without_put_off,
)
from training.data.measures import settled_at
from training.off_policy.choices import PolicyChoices, choose, policy_to_judge
from training.off_policy.logged_moments import NO_MOMENTS, logged_moments
from training.off_policy.logged_rows import LoggedRows, outcome_words
from training.off_policy.policy_values import (
    ALONE,
    CONSTANT,
    ESTIMATORS,
    EXPLORING,
    GREEDY,
    LOGGED,
    SILENT,
    PairedDifference,
    PolicyValue,
    all_values,
    differences_of,
    targets_of,
)
from training.off_policy.rewards import Reward, reward_of, rewards_of
from training.off_policy.segments import Segment, groups_of, segments_by

__all__ = [
    "ALONE",
    "CONSTANT",
    "ESTIMATORS",
    "EXPLORING",
    "GREEDY",
    "LOGGED",
    "SILENT",
    "Evaluation",
    "Judged",
    "MessageSupport",
    "evaluate",
    "judge",
]

DEFAULT_WINDOW_DAYS = 7.0


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
        segments: Values within groups of decisions, by what they are grouped by.
        left_out: Decisions that could not be judged, by reason.
        valued_without: Decisions that were made without something that serving has, by what.
        unmatched: Decisions whose logged choice the policy could not make, by reason; they are part of every number.
        constant: The best single message; None where the model names none.
        put_off: Decisions that serving would put off to a better hour. They are valued as made at the logged one, so
            what waiting adds is in no number.
    """

    reward: Reward
    decisions: int
    customers: int
    values: tuple[PolicyValue, ...]
    differences: tuple[PairedDifference, ...]
    messages: tuple[MessageSupport, ...]
    outcome_model: str
    is_net: bool
    segments: Mapping[str, tuple[Segment, ...]]
    left_out: Mapping[str, int]
    valued_without: Mapping[str, int]
    unmatched: Mapping[str, int]
    constant: str | None
    put_off: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """Decisions of a log beside what the policy does at each of them.

    Attributes:
        decisions: n rows: canonical columns, `starts_at`, `ends_at`, `message_key`.
        choices: The policy's side.
        left_out: Decisions that could not be judged, by reason.
        has_prices: The policy and its model price room under caps.
    """

    decisions: pl.DataFrame
    choices: PolicyChoices
    left_out: Mapping[str, int]
    has_prices: bool = False


def judge(
    history: History,
    catalogue: Catalogue,
    model: ValueModel,
    settings: Settings,
    *,
    recorded: pl.DataFrame | None = None,
    on_progress: OnStageProgress | None = None,
) -> Judged:
    """Decide every decision of a log again, by a model that never saw its customers.

    Args:
        history: The log.
        catalogue: What is in force.
        model: As it serves.
        settings: Where catalogues of old are archived, without which no record is read.
        recorded: Canonical rows of the log's decisions that have a record.
        on_progress: Told how far it is.

    Raises:
        InsufficientDataError: There is no decision, or none whose window is over.
        InvalidInputError: Decisions name no touchpoint of the catalogue.
    """
    if history.decisions.is_empty():
        raise InsufficientDataError("--log must hold decisions, got none; put decisions.parquet or .csv in the folder")
    days = catalogue.learning.window_days if catalogue.learning else DEFAULT_WINDOW_DAYS
    profiled = without_opted_out(history.decisions, history)
    chosen = without_put_off(profiled)
    decisions = windows(chosen, catalogue, window_days=days)
    over = decisions.filter(_is_over(catalogue, _last_moment(history)))
    if over.is_empty():
        raise InsufficientDataError(
            f"decisions must have a window that is over, got none of {decisions.height:,}: the log ends before;"
            " wait, or fill in `window_ends_at`"
        )
    over = over.sort("decided_at", "decision_id")
    policy, moments = policy_to_judge(catalogue, settings.policy_seed), NO_MOMENTS
    if recorded is not None:
        moments = logged_moments(recorded, LoggedDecisions(settings), policy, model.version)
    choices = choose(history, over, policy, model, moments=moments, on_progress=on_progress)
    left_out = {
        "window not over yet": decisions.height - over.height,
        OPTED_OUT: history.decisions.height - profiled.height,
        PUT_OFF: profiled.height - chosen.height,
    }
    has_prices = model.foresight is not None and bool(model.foresight.slots) and catalogue.switches.slot_prices
    return Judged(decisions=over, choices=choices, left_out=left_out, has_prices=has_prices)


def _is_over(catalogue: Catalogue, until: datetime) -> pl.Expr:
    """Whether all is known of what a decision was worth; a log that says where its windows end holds all of them."""
    learned = catalogue.measures.get(catalogue.learning.measure_id) if catalogue.learning else None
    settled = settled_at([learned] if learned else [])
    is_said = pl.col("window_ends_at").is_not_null() & (settled == pl.col("ends_at"))
    return is_said | (settled <= until)


def evaluate(
    judged: Judged,
    history: History,
    catalogue: Catalogue,
    *,
    reward: str | None = None,
    cap: float | None = None,
    constant: str | None = None,
    by: Sequence[str] = (),
) -> Evaluation:
    """Value the policy and what it is measured against.

    Args:
        judged: From `judge`.
        history: Where rewards are read.
        catalogue: Declares measures.
        reward: Its name; default what models learn.
        cap: Largest amount that one transaction counts for, in major units.
        constant: Key of the best single message, chosen on training data; None for none.
        by: What decisions are grouped by, too; see `segments.groups_of`.

    Raises:
        UnknownNameError: No such reward, or nothing to group by.
        InvalidInputError: A cap that does not fit, or probabilities out of range.
        InsufficientDataError: Too many decisions without a probability, a reward that never happens, or a policy about
            which the log says too little.
    """
    judged = said(judged)
    wanted = reward_of(catalogue, reward, cap=cap)
    rows = rows_of(judged, history, catalogue, wanted)
    targets = targets_of(judged.choices, constant)
    values = all_values(rows, targets, must=GREEDY)
    groups = {one: groups_of(one, judged.decisions, judged.choices, history, catalogue) for one in by}
    return Evaluation(
        reward=wanted,
        decisions=judged.decisions.height,
        customers=judged.decisions["customer_id"].n_unique(),
        values=tuple(values),
        differences=differences_of(values, rows.customers),
        messages=_messages(judged, rows),
        outcome_model=outcome_words(wanted),
        segments={one: segments_by(rows, targets, names) for one, names in groups.items()},
        is_net=bool(np.isfinite(rows.worth.unit_minor)),
        left_out=judged.left_out,
        valued_without=_valued_without(judged, catalogue),
        unmatched=_unmatched(judged, rows),
        constant=constant,
        put_off=int(judged.choices.put_off.sum()),
    )


def rows_of(judged: Judged, history: History, catalogue: Catalogue, reward: Reward) -> LoggedRows:
    """What the log says of decisions that have an action probability.

    Raises:
        InsufficientDataError: A reward that never happens.
    """
    rewards = rewards_of(history, judged.decisions, reward)
    return LoggedRows.of(judged.decisions, judged.choices, rewards, reward, catalogue)


def said(judged: Judged) -> Judged:
    """Without the few decisions that have no action probability, counted; the rule is that of training."""
    kept = with_probabilities(judged.decisions.with_row_index("row"))
    rows = kept["row"].to_numpy().astype(np.intp)
    left_out = {**judged.left_out, UNSAID: judged.decisions.height - kept.height}
    return replace(judged, decisions=kept.drop("row"), choices=judged.choices.take(rows), left_out=left_out)


def _messages(judged: Judged, rows: LoggedRows) -> tuple[MessageSupport, ...]:
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


def _valued_without(judged: Judged, catalogue: Catalogue) -> dict[str, int]:
    choices, learning = judged.choices, catalogue.learning
    learns_in_minutes = learning is not None and learning.in_minutes
    return {
        "room prices (no record says who was contacted when)": int((~choices.has_contacts).sum()) * judged.has_prices,
        "residuals (no record of this model version has any)": int((~choices.has_residuals).sum()) * learns_in_minutes,
    }


def _unmatched(judged: Judged, rows: LoggedRows) -> dict[str, int]:
    is_known, unheard_of = rows.actions >= 0, judged.decisions["message_key"].null_count()
    is_permitted = rows.of_logged(judged.choices.permitted)
    return {
        "logged message is not in the catalogue": unheard_of,
        "logged message is none of the touchpoint's": int((~is_known).sum()) - unheard_of,
        "logged message was not permitted": int((is_known & ~is_permitted & (rows.actions > 0)).sum()),
        "customer was unknown": int((~judged.choices.is_known).sum()),
    }


def _last_moment(history: History) -> datetime:
    times = pl.concat([history.events["occurred_at"], history.outcomes["occurred_at"], history.decisions["decided_at"]])
    return times.cast(UTC_TIME).dt.max()  # pyright: ignore[reportReturnType] - there is a decision
