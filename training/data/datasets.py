"""What a model learns from: one row per logged decision, with features as of that moment and what came of it."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import numpy as np
import polars as pl

from decisioning.arrays import BoolArray, FloatArray, IntArray
from decisioning.catalogue.catalogue import Catalogue, Learning
from decisioning.catalogue.measure import Measure
from decisioning.catalogue.message import SILENCE, Message
from decisioning.errors import InsufficientDataError, InvalidPolicyError
from decisioning.value_model import CONTEXT_COLUMNS
from features.history import History
from features.log.contracts import UTC_TIME
from features.log.identities import by_person, people
from training.data.measures import decision_values, settled_at

OPTED_OUT = "customer opted out of profiling"
"""Why a decision is in no training set and in no evaluation."""

PUT_OFF = "put off to a better hour"
"""Why a decision is in no training set and in no evaluation: what was chosen is in the one that followed."""

UNSAID = "no action probability"
"""Why a decision is left out of a log in which nearly all have one."""

MOST_UNSAID = 0.05
"""Share of decisions without an action probability up to which a log is one that says how probable its choices were."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """n decisions.

    Attributes:
        decisions: n rows of `decision_id`, `customer_id`, `decided_at`, in the order of every array.
        customers: shape (n,), a whole number per customer.
        features: shape (n, d), NaN where missing.
        feature_names: d names.
        contexts: shape (n, c), columns of `value_model.CONTEXT_COLUMNS`.
        messages: k messages that were sent at least once, by key.
        actions: shape (n,), 0 for silence, i for `messages[i - 1]`.
        probabilities: shape (n,), action probability of what was chosen; NaN where the log does not say.
        values: shape (n,), the measure in each decision's window, capped as the measure says.
        left_out: Decisions that could not be used, by reason.
    """

    decisions: pl.DataFrame
    customers: IntArray
    features: FloatArray
    feature_names: tuple[str, ...]
    contexts: FloatArray
    messages: tuple[Message, ...]
    actions: IntArray
    probabilities: FloatArray
    values: FloatArray
    left_out: Mapping[str, int] = field(default_factory=dict[str, int])

    @property
    def size(self) -> int:
        """Number of decisions."""
        return len(self.values)

    @property
    def is_randomised(self) -> bool:
        """Whether the log says how probable every choice was, so that differences can be read as effects."""
        return bool(np.isfinite(self.probabilities).all())

    @property
    def keys(self) -> tuple[str, ...]:
        """What each action number means: `silence`, then message keys."""
        return (SILENCE, *(message.key for message in self.messages))

    @property
    def digest(self) -> str:
        """SHA-256 over every number and identifier; the same decisions give the same digest in any order of files."""
        hashed = hashlib.sha256("\n".join((*self.feature_names, *self.keys)).encode())
        hashed.update("\n".join(self.decisions["decision_id"]).encode())
        for array in (self.features, self.contexts, self.actions, self.probabilities, self.values):
            hashed.update(np.ascontiguousarray(array).tobytes())
        return hashed.hexdigest()

    def take(self, rows: BoolArray) -> "Dataset":
        """The decisions where `rows`, shape (n,), is true; messages and numbers stay as they are."""
        names = ("customers", "features", "contexts", "actions", "probabilities", "values")
        arrays = {name: getattr(self, name)[rows] for name in names}
        return replace(self, decisions=self.decisions.filter(pl.Series(rows)), **arrays)


@dataclass(frozen=True, slots=True, kw_only=True)
class LearningWindow:
    """Decisions that can be learned from, with the window that each is judged in.

    Attributes:
        decisions: `decision_id`, `customer_id`, `decided_at`, `starts_at`, `ends_at`, `message_key` (null where the
            catalogue has no such message), `action_probability`.
        left_out: Decisions whose window was not over yet, whose message the catalogue does not have, or whose customer
            opted out of profiling, which were put off to a better hour, or which alone of nearly all have no action
            probability.
    """

    decisions: pl.DataFrame
    left_out: Mapping[str, int]


def learning_of(catalogue: Catalogue) -> tuple[Learning, Measure]:
    """What the catalogue says a model learns.

    Raises:
        InvalidPolicyError: It does not say, or names no measure of its own.
    """
    if catalogue.learning is None:
        raise InvalidPolicyError("learning must name a measure and a window, got nothing; add it to the catalogue")
    measure = catalogue.measures.get(catalogue.learning.measure_id)
    if measure is None:
        raise InvalidPolicyError(f"learning.measure must be a declared measure, got {catalogue.learning.measure_id!r}")
    return catalogue.learning, measure


def messages_of(catalogue: Catalogue) -> dict[str, Message]:
    """Every message of a catalogue by key."""
    made = (
        Message(offer=catalogue.offers[one.offer_id], channel=catalogue.channels[one.channel_id], creative=one)
        for one in catalogue.creatives
    )
    return {message.key: message for message in sorted(made, key=lambda message: message.key)}


def message_keys(decisions: pl.DataFrame, catalogue: Catalogue) -> pl.Series:
    """What was chosen: `silence`, a message key, or null where the catalogue has no such message.

    A decision that names no channel or creative is taken to be the first message, by key, that fits what it names.
    """
    asked = decisions.select("offer_id", "channel", "creative_id")
    found = {row: _message_key(row, catalogue) for row in asked.unique().iter_rows()}
    return pl.Series("message_key", [found[row] for row in asked.iter_rows()], dtype=pl.String)


def _message_key(row: Sequence[str | None], catalogue: Catalogue) -> str | None:
    offer_id, channel, creative_id = row
    if offer_id is None:
        return SILENCE
    for key, message in messages_of(catalogue).items():
        is_channel = channel in {None, message.channel.channel_id}
        is_creative = creative_id in {None, message.creative.creative_id}
        if message.offer.offer_id == offer_id and is_channel and is_creative:
            return key
    return None


def learnable(history: History, catalogue: Catalogue, *, as_of: datetime) -> LearningWindow:
    """Decisions whose window was over by `as_of` and whose message the catalogue still has.

    People who opted out of profiling, by now, are not among them: no model learns from anybody who does not want it.
    """
    learning, measure = learning_of(catalogue)
    profiled = without_opted_out(history.decisions, history)
    chosen = without_put_off(profiled)
    decisions = windows(chosen, catalogue, window_days=learning.window_days)
    is_over = settled_at([measure]) <= pl.lit(as_of).cast(UTC_TIME)
    over = decisions.filter(is_over)
    known = over.filter(pl.col("message_key").is_not_null())
    said = with_probabilities(known)
    return LearningWindow(
        decisions=said.sort("decided_at", "decision_id"),
        left_out={
            "window not over yet": decisions.height - over.height,
            "message not in the catalogue": over.height - known.height,
            OPTED_OUT: history.decisions.height - profiled.height,
            PUT_OFF: profiled.height - chosen.height,
            UNSAID: known.height - said.height,
        },
    )


def with_probabilities(decisions: pl.DataFrame) -> pl.DataFrame:
    """Decisions that say how probable they were, where nearly all do; else all, and then none says it.

    A few missing probabilities cost these few decisions; where many are missing, what is left would be another log.
    """
    missing = decisions["action_probability"].null_count()
    if 0 < missing <= MOST_UNSAID * decisions.height:
        return decisions.filter(pl.col("action_probability").is_not_null())
    return decisions


def without_opted_out(decisions: pl.DataFrame, history: History) -> pl.DataFrame:
    """Decisions about people who did not opt out of profiling, as far as the history knows."""
    return decisions.filter(~pl.col("customer_id").is_in(sorted(history.not_profiled())))


def without_put_off(decisions: pl.DataFrame) -> pl.DataFrame:
    """Decisions that chose: one that was put off to a better hour is no silence that could be learned from."""
    return decisions.filter(pl.col("put_off_until").is_null())


def windows(decisions: pl.DataFrame, catalogue: Catalogue, *, window_days: float) -> pl.DataFrame:
    """Decisions with the window each is judged in, and what was chosen as a message key."""
    given = pl.col("window_ends_at")
    return decisions.with_columns(
        message_keys(decisions, catalogue),
        starts_at=pl.col("decided_at"),
        ends_at=given.fill_null(pl.col("decided_at") + timedelta(days=window_days)),
    )


SMALLEST_CUSTOMERS = 10
"""Fewer customers than this cannot be told apart: boosters are tried on customers they did not learn from."""


def make_dataset(window: LearningWindow, features: pl.DataFrame, history: History, catalogue: Catalogue) -> Dataset:
    """Put decisions, features and worth side by side; arguments and errors are those of `dataset_of`.

    Args:
        window: From `learnable`.
        features: One row per decision of the window, in its order: `customer_id`, `event_timestamp`, features.
        history: Where the worth of decisions is read from.
        catalogue: Says what the worth is.
    """
    names = tuple(name for name in features.columns if name not in {"customer_id", "event_timestamp"})
    return dataset_of(window, names, matrix_of(features, names), history, catalogue)


def dataset_of(
    window: LearningWindow, names: tuple[str, ...], matrix: FloatArray, history: History, catalogue: Catalogue
) -> Dataset:
    """Put decisions, features and worth side by side.

    Args:
        window: From `learnable`, n decisions.
        names: d features.
        matrix: shape (n, d), NaN where missing.
        history: Where the worth of decisions is read from.
        catalogue: Says what the worth is.

    Raises:
        InsufficientDataError: Fewer than `SMALLEST_CUSTOMERS` customers, or nothing but silence or messages, or nothing
            came of any decision.
    """
    _, measure = learning_of(catalogue)
    decisions = window.decisions
    _refuse_too_few(decisions)
    sent = sorted(set(decisions["message_key"]) - {SILENCE})
    places = {key: place for place, key in enumerate((SILENCE, *sent))}
    known = messages_of(catalogue)
    worth = decision_values(
        history, decisions.select("decision_id", "customer_id", "starts_at", "ends_at"), measure, cap=True
    )
    _refuse_nothing(worth["value"], measure)
    people_of = by_person(decisions, people(history.events))
    return Dataset(
        decisions=people_of.select("decision_id", "customer_id", "decided_at"),
        customers=people_of["customer_id"].rank("dense").cast(pl.Int64).to_numpy() - 1,
        features=matrix,
        feature_names=names,
        contexts=_without_hours(contexts_of(decisions)) if leaves_hours_apart(catalogue) else contexts_of(decisions),
        messages=tuple(known[key] for key in sent),
        actions=decisions["message_key"].replace_strict(places, return_dtype=pl.Int64).to_numpy(),
        probabilities=decisions["action_probability"].fill_null(np.nan).to_numpy(),
        values=worth["value"].to_numpy(),
        left_out=window.left_out,
    )


def _refuse_too_few(decisions: pl.DataFrame) -> None:
    customers = decisions["customer_id"].n_unique()
    if customers < SMALLEST_CUSTOMERS:
        raise InsufficientDataError(
            f"training needs decisions about at least {SMALLEST_CUSTOMERS} customers whose window is over, got"
            f" {customers} with {decisions.height} decisions: a model must be tested on customers it did not"
            " learn from; import more history or wait"
        )
    kinds = set(decisions["message_key"])
    if SILENCE not in kinds or len(kinds) == 1:
        raise InsufficientDataError(
            f"training needs decisions for silence and for messages, got only {', '.join(sorted(kinds))[:80]};"
            " without silence the uplift of a message cannot be estimated: log the customers who got no message, too"
        )


def _refuse_nothing(values: pl.Series, measure: Measure) -> None:
    if not (values != 0).any():
        counted = sorted(
            {name for one, _ in measure.plain for name in (*one.added_events, *one.subtracted_events, *one.outcomes)}
        )
        raise InsufficientDataError(
            f"training needs decisions followed by outcomes, got {len(values):,} decisions worth nothing by"
            f" {measure.measure_id!r} ({', '.join(counted)}): check that these are in the log, with amounts, within"
            " learning.window_days of decisions about the same customer_id"
        )


def matrix_of(features: pl.DataFrame, names: Sequence[str]) -> FloatArray:
    """Feature columns as one C-ordered matrix, NaN where missing."""
    columns = features.select(pl.col(name).cast(pl.Float64).fill_null(np.nan) for name in names)
    return np.ascontiguousarray(columns.to_numpy(), dtype=np.float64)


def leaves_hours_apart(catalogue: Catalogue) -> bool:
    """Whether a model must not look at the hour, since messages may wait and a table says what hours add."""
    return any(one.wait_seconds for one in catalogue.touchpoints.values())


def _without_hours(contexts: FloatArray) -> FloatArray:
    """The same with every decision at one moment, which no model can look at."""
    return contexts * np.array([name == CONTEXT_COLUMNS[0] for name in CONTEXT_COLUMNS], dtype=np.float64)


def contexts_of(decisions: pl.DataFrame) -> FloatArray:
    """Context columns of decisions, shape (n, c): as `value_model.context_vector` gives them at each moment."""
    at = pl.col("decided_at")
    return decisions.select(
        window_days=(pl.col("ends_at") - pl.col("starts_at")).dt.total_microseconds() / 86_400e6,
        hour_of_day=at.dt.hour() + at.dt.minute() / 60.0,
        weekday=(at.dt.weekday() - 1).cast(pl.Float64),
    ).to_numpy()
