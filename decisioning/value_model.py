"""What each message is worth to a customer: one learned function over customer, message and context, silence included.

The learned function `f` is one booster over a design matrix with one row per candidate. On its own such a function
overfits: it finds, for every customer, the message whose estimate happens to be too high. So a decision does not
compare its raw outputs, but values in which every difference between customers or messages has been shrunk to what the
log gives evidence for::

    value(x, silence) = a + b f(x, silence)
    value(x, message) = value(x, silence) + offset(message)
                        + s_common response(message) g(x)
                        + s_specific (d(x, message) - response(message) g(x))
                        + sum_j loading_j(message) u_j(x)

with d(x, message) = f(x, message) - f(x, silence), what the message changes, and g(x) the weighted mean of d over a
fixed set of reference messages, what being contacted changes. Three parts of an effect, from the surest to the least
sure: the average effect of each message (in `offset`), customers who respond more to whatever they get, in proportion
to what a message does on average (`response` times g), and whatever is particular to one customer and one message.
What is particular comes from the booster, and from effects that are linear in a few numbers u_j of the customer
(`decisioning.effects.linear_basis`), where every message has loadings of its own. Where the model has `decisioning.
group_slopes`, all that differs from a message's average effect counts by the slope of the customer's groups. Offset,
response, average and loadings are columns of the design matrix, so that a message is described by its row alone; no
booster splits on them. The numbers are estimated by `training.models.effects`, `linear_fit` and `group_slopes` from
the log's action probabilities.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Protocol, runtime_checkable

import numpy as np

from decisioning.arrays import FloatArray, IndexArray
from decisioning.catalogue.measure import Unit
from decisioning.catalogue.message import Message
from decisioning.effects.group_slopes import GroupSlopes
from decisioning.effects.linear_basis import LinearBasis, linear_effects
from decisioning.effects.message_coding import MessageCoding, message_matrix
from decisioning.errors import InvalidInputError
from decisioning.foresight.slots import Foresight
from decisioning.foresight.stages import StageCredit, at_stages
from decisioning.scoring import FeatureVector

type Predict = Callable[[FloatArray], FloatArray]
"""The learned function of any rows: shape (n, p) in, shape (n,) out, each row by itself."""

type PredictShared = Callable[[FloatArray], FloatArray]
"""The learned function of n customers with the same r message rows: shape (n, d + c) in, shape (n, r) out."""


@runtime_checkable
class OnMessages(Protocol):
    """A learned function that knows a faster way for rows of fixed messages, equal to the last bit."""

    def __call__(self, matrix: FloatArray) -> FloatArray:
        """Of any rows, as `Predict`."""
        ...

    def on(self, messages: FloatArray) -> PredictShared:
        """Of fixed message rows, shape (r, m)."""
        ...


CONTEXT_COLUMNS = ("window_days", "hour_of_day", "weekday")
"""Length of the window the worth is counted in, and the moment in UTC."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DesignLayout:
    """Columns of the design matrix: customer features, then message columns, then context.

    Attributes:
        customer: d feature names.
        message: m message columns: `is_silence`, what describes a message, `message_offset`, `message_response`, where
            the coding has one its average, and its loadings.
        context: c context columns.
    """

    customer: tuple[str, ...]
    message: tuple[str, ...]
    context: tuple[str, ...] = CONTEXT_COLUMNS

    @property
    def columns(self) -> tuple[str, ...]:
        """All p = d + m + c column names in order."""
        return (*self.customer, *self.message, *self.context)


@dataclass(frozen=True, slots=True, kw_only=True)
class Calibrator:
    """The numbers between the learned function and a value; see the module's formula.

    Attributes:
        baseline_intercept: `a`, in the measure's unit.
        baseline_slope: `b`.
        common_slope: `s_common`: how much of the difference between customers in what contact changes is believed.
        specific_slope: `s_specific`: how much of what is particular to one customer and one message is believed.
        reference: shape (r, m), message columns of the reference messages; may be empty where both slopes are equal
            (g then cancels).
        reference_weights: shape (r,), non-negative, sum 1.
    """

    baseline_intercept: float
    baseline_slope: float
    common_slope: float
    specific_slope: float
    reference: FloatArray
    reference_weights: FloatArray


def context_vector(now: datetime, window_days: float) -> FloatArray:
    """Context columns: shape (c,), in the order of `CONTEXT_COLUMNS`; `now` is aware and in UTC.

    Example:
        >>> from datetime import UTC
        >>> context_vector(datetime(2026, 11, 21, 18, 30, tzinfo=UTC), 7.0).tolist()
        [7.0, 18.5, 5.0]
    """
    return np.array([window_days, now.hour + now.minute / 60.0, float(now.weekday())])


def design_matrix(features: FloatArray, messages: FloatArray, context: FloatArray) -> FloatArray:
    """Design matrix of one decision.

    Args:
        features: shape (d,), the layout's customer features.
        messages: shape (k + 1, m), from `message_matrix`.
        context: shape (c,).

    Returns:
        Shape (k + 1, p), C-contiguous; every row repeats the customer and the context.
    """
    d, m = features.shape[0], messages.shape[1]
    matrix = np.empty((messages.shape[0], d + m + context.shape[0]))
    matrix[:, :d] = features
    matrix[:, d : d + m] = messages
    matrix[:, d + m :] = context
    return matrix


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueModel:
    """A trained model: layout, coding, learned function, calibrator.

    Attributes:
        version: Registered version, for records.
        feature_schema: Fingerprint of the feature schema it was trained on.
        feature_meanings: What each of its customer features meant in training, by name; empty if not recorded.
        measure_id: The measure it predicts.
        measure_definition: Fingerprint of what that measure counted in training; empty if not recorded.
        unit: Of that measure; None if not recorded.
        window_days: The window its predictions are for, in days.
        predict: The learned function `f` of any rows; where it is `OnMessages`, fixed messages are scored by that.
        basis: What the coding's loadings apply to; None where it has none.
        foresight: What lies ahead, for decisions that are made by it.
        credit: What messages add beyond the window.
        group_slopes: How much of what is personal is believed, by groups of customers; None for all of it. The coding
            has averages if there are.
    """

    version: str
    feature_schema: str
    measure_id: str
    window_days: float
    layout: DesignLayout
    coding: MessageCoding
    calibrator: Calibrator
    predict: Predict
    feature_meanings: Mapping[str, str] = field(default_factory=dict[str, str])
    unit: Unit | None = None
    basis: LinearBasis | None = None
    measure_definition: str = ""
    foresight: Foresight | None = None
    credit: StageCredit | None = None
    group_slopes: GroupSlopes | None = None

    def messages(self, messages: Sequence[Message]) -> FloatArray:
        """Message columns of silence and the candidates, shape (k + 1, m): make them once per touchpoint."""
        return message_matrix(self.coding, messages)

    def on(self, messages: Sequence[Message]) -> "MessageValues":
        """The values of silence and the given candidates: work it out once per touchpoint and policy version."""
        return MessageValues(self, self.messages(messages), messages)

    def expected_values_of(self, matrices: FloatArray) -> FloatArray:
        """Expected measure per candidate of n decisions with k candidates each: shape (n, k + 1, p) in, (n, k + 1) out.

        Every decision's values are those that it would get alone, to the last bit.

        Raises:
            InvalidInputError: The matrices have another number of columns, or a first row is not silence.
        """
        self._check(matrices)
        start, end = len(self.layout.customer), len(self.layout.customer) + len(self.layout.message)
        common, raw = self._common_effect(matrices, start, end)
        numbers = _Numbers.in_columns(matrices[:, 1:, start:end], self.coding)
        return self.put_together(common, raw, numbers, matrices[:, 0, :start])

    def put_together(
        self, common: FloatArray, raw: FloatArray, numbers: "_Numbers", features: FloatArray
    ) -> FloatArray:
        """The module's formula: shape (n, k + 1) from g(x), shape (n,), f, (n, k + 1), and n customers, (n, d)."""
        values = _values(self.calibrator, common, raw, numbers, self.linear(features, numbers.loadings))
        if self.group_slopes is None or numbers.averages is None:
            return values
        silence, slopes = values[:, :1], self.group_slopes.of(self.layout.customer, features)[:, np.newaxis]
        values[:, 1:] = silence + numbers.averages + slopes * (values[:, 1:] - silence - numbers.averages)
        return values

    def linear(self, features: FloatArray, loadings: FloatArray) -> FloatArray | None:
        """Linear effects of messages with these loadings on n customers, shape (n, d); None without a basis."""
        return None if self.basis is None else linear_effects(self.basis.of(features), loadings)

    def _common_effect(self, matrices: FloatArray, start: int, end: int) -> tuple[FloatArray, FloatArray]:
        """What contact changes, g(x), shape (n,), and f of every row, shape (n, k + 1), from one call of `predict`."""
        numbers = self.calibrator
        n, rows, p = matrices.shape
        if numbers.common_slope == numbers.specific_slope:
            return np.zeros(n), self.predict(matrices.reshape(n * rows, p)).reshape(n, rows)
        extra = len(numbers.reference)
        both = np.empty((n, rows + extra, p))
        both[:, :rows] = matrices
        both[:, rows:] = matrices[:, :1]
        both[:, rows:, start:end] = numbers.reference
        raw = self.predict(both.reshape(n * (rows + extra), p)).reshape(n, rows + extra)
        return _common(numbers, raw, rows), np.ascontiguousarray(raw[:, :rows])

    def _check(self, matrices: FloatArray) -> None:
        width = len(self.layout.columns)
        if matrices.shape[2] != width:
            raise InvalidInputError(f"design matrix must have {width} columns, got {matrices.shape[2]}")
        if not (matrices[:, 0, len(self.layout.customer)] == 1.0).all():
            raise InvalidInputError("row 0 of a design matrix must be silence, got a message; see design_matrix")


def _common(numbers: Calibrator, raw: FloatArray, rows: int) -> FloatArray:
    """What contact changes, g(x), shape (n,), from f of silence, the candidates, and behind them the references."""
    return ((raw[:, rows:] - raw[:, :1]) * numbers.reference_weights).sum(axis=1)


@dataclass(frozen=True, slots=True)
class _Numbers:
    """What was estimated for k messages: shapes (..., k), and (..., k, r) of loadings; averages where there are."""

    offsets: FloatArray
    responses: FloatArray
    averages: FloatArray | None
    loadings: FloatArray

    @classmethod
    def in_columns(cls, columns: FloatArray, coding: MessageCoding) -> "_Numbers":
        """From message columns, shape (..., k, m), of which the last are these."""
        at, end = len(coding.described_columns), columns.shape[-1] - len(coding.loadings)
        return cls(
            offsets=columns[..., at],
            responses=columns[..., at + 1],
            averages=None if coding.averages is None else columns[..., at + 2],
            loadings=columns[..., end:],
        )


def _values(
    calibrator: Calibrator, common: FloatArray, raw: FloatArray, numbers: _Numbers, linear: FloatArray | None
) -> FloatArray:
    """All of it in full: shape (n, k + 1) from g(x), shape (n,), f, shape (n, k + 1), and linear effects, (n, k)."""
    values = np.empty_like(raw)
    values[:, :1] = calibrator.baseline_intercept + calibrator.baseline_slope * raw[:, :1]
    slack = calibrator.common_slope - calibrator.specific_slope
    effects = slack * numbers.responses * common[:, np.newaxis]
    effects = numbers.offsets + effects + calibrator.specific_slope * (raw[:, 1:] - raw[:, :1])
    values[:, 1:] = values[:, :1] + (effects if linear is None else effects + linear)
    return values


class MessageValues:
    """A model on fixed messages: what depends on them alone is worked out, and a customer brings the rest.

    The one way from features to values: serving, batch and evaluation all go through it. The values are those of
    `ValueModel.expected_values_of` for the same matrices, to the last bit.
    """

    __slots__ = ("_credit", "_has_references", "_model", "_numbers", "_predict", "_rows", "_stage")

    def __init__(self, model: ValueModel, columns: FloatArray, messages: Sequence[Message] = ()) -> None:
        """Take message columns from `ValueModel.messages`, shape (k + 1, m), and the messages, for credit."""
        self._model, offers = model, [one.offer.offer_id for one in messages]
        self._credit = model.credit and model.credit.table(offers)
        self._rows, self._stage = len(columns), model.credit.feature if model.credit else ""
        self._numbers = _Numbers.in_columns(columns[1:], model.coding)
        calibrator = model.calibrator
        self._has_references = calibrator.common_slope != calibrator.specific_slope
        lines = np.concatenate([columns, calibrator.reference]) if self._has_references else columns
        predict = model.predict
        is_fast = isinstance(predict, OnMessages)
        self._predict = predict.on(lines) if is_fast else row_by_row(predict, len(model.layout.customer), lines)

    def of(
        self,
        features: Sequence[FeatureVector],
        moments: Sequence[datetime],
        window_days: Sequence[float] | None = None,
    ) -> FloatArray:
        """Expected measure of silence and every candidate for n customers: shape (n, k + 1).

        Args:
            features: Of each customer; matched by name, and what a vector does not have is missing.
            moments: When each is decided (aware, UTC).
            window_days: Windows that the measure is counted in; default the model's own, and what it adds beyond.
        """
        layout = self._model.layout
        width = len(layout.customer)
        windows = [self._model.window_days] * len(features) if window_days is None else window_days
        shared = np.empty((len(features), width + len(layout.context)))
        for row, one, now, days in zip(shared, features, moments, windows, strict=True):
            row[:width] = _by_name(layout, one)
            row[width:] = context_vector(now, days)
        return self.served(shared) if window_days is None else self.of_columns(shared)

    def served(self, shared: FloatArray) -> FloatArray:
        """As `of_columns`, with what messages add beyond the window: what decisions are made by."""
        values, names = self.of_columns(shared), self._model.layout.customer
        if self._credit is None or self._stage not in names:
            return values
        return values + at_stages(self._credit, shared[:, names.index(self._stage)])

    def of_columns(self, shared: FloatArray) -> FloatArray:
        """The same from customer and context columns in the layout's order: shape (n, d + c)."""
        raw = self._predict(shared)
        if not self._has_references:
            common = np.zeros(len(raw))
        else:
            common, raw = _common(self._model.calibrator, raw, self._rows), np.ascontiguousarray(raw[:, : self._rows])
        return self._model.put_together(common, raw, self._numbers, shared[:, : len(self._model.layout.customer)])


def row_by_row(predict: Predict, first: int, messages: FloatArray) -> PredictShared:
    """The learned function of fixed message rows, from one that only knows whole rows.

    Args:
        predict: The learned function.
        first: Column where the message's stand, behind the customer's.
        messages: shape (r, m).
    """
    rows, m = messages.shape

    def of(shared: FloatArray) -> FloatArray:
        n = len(shared)
        matrices = np.empty((n, rows, shared.shape[1] + m))
        matrices[:, :, :first] = shared[:, np.newaxis, :first]
        matrices[:, :, first : first + m] = messages
        matrices[:, :, first + m :] = shared[:, np.newaxis, first:]
        return predict(matrices.reshape(n * rows, -1)).reshape(n, rows)

    return of


def _by_name(layout: DesignLayout, features: FeatureVector) -> FloatArray:
    """Features in a layout's order; one that the vector does not have is missing."""
    if features.names == layout.customer:
        return features.values
    return np.append(features.values, np.nan)[_positions(layout.customer, features.names)]


@lru_cache(maxsize=64)
def _positions(wanted: tuple[str, ...], given: tuple[str, ...]) -> IndexArray:
    """Where each wanted feature stands among the given ones; the place behind the last where it is absent."""
    places = {name: place for place, name in enumerate(given)}
    return np.array([places.get(name, len(given)) for name in wanted], dtype=np.intp)
