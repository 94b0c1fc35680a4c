"""Messages as numbers: columns that say what a message is, and columns that hold what was estimated for it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from decisioning.arrays import FloatArray
from decisioning.catalogue.catalogue import Attribute, AttributeKind
from decisioning.catalogue.message import Message
from decisioning.rules.predicate import FactValue

_FIXED_MESSAGE_COLUMNS = ("is_silence", "offer_kind", "channel")
_OFFSET_COLUMN = "message_offset"
_RESPONSE_COLUMN = "message_response"
_AVERAGE_COLUMN = "message_average"


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageNumbers:
    """A number that was estimated for every message of the log, and what to expect of others.

    Attributes:
        by_message: By message key.
        by_offer: By offer, for a known offer on a new channel or in new words.
        prior: Of an offer never seen, before its attributes are looked at.
        prior_slopes: Its change per unit of a message column, by column name and, where the column holds codes, by
            `column=code`.
    """

    by_message: Mapping[str, float] = field(default_factory=dict[str, float])
    by_offer: Mapping[str, float] = field(default_factory=dict[str, float])
    prior: float = 0.0
    prior_slopes: Mapping[str, float] = field(default_factory=dict[str, float])

    def of(self, message: Message, terms: Sequence[tuple[str, float]]) -> float:
        """The number of a message, whose columns are given as `_terms` reads them."""
        known = self.by_message.get(message.key, self.by_offer.get(message.offer.offer_id))
        if known is not None:
            return known
        return self.prior + sum(self.prior_slopes.get(name, 0.0) * amount for name, amount in terms)


@dataclass(frozen=True, slots=True, kw_only=True)
class MessageCoding:
    """How a message becomes numbers: by what it is, so that one the model never saw has a row too.

    Attributes:
        offer_kinds: Kinds in code order; one that is not listed is missing.
        channels: Channels in code order.
        attributes: Offer attributes in column order; a category's code is its position among its values.
        offsets: Offset of each message seen in training, by message key.
        offer_offsets: The same by offer, for a known offer on a new channel or in new words.
        prior_offset: Offset of an offer never seen, before its attributes are looked at.
        prior_slopes: Change of that offset per unit of a message column, by column name and, where the column holds
            codes, by `column=code`.
        responses: How strongly a message's effect grows with the customer's response to any message, by message key.
        offer_responses: The same by offer.
        prior_response: The same for an offer never seen; 1 where effects grow alike.
        response_slopes: Its change per unit of a message column, as `prior_slopes`.
        number_ranges: Lowest, mean and highest number of a message column in training, by column name. Slopes are not
            followed beyond what was seen, and a missing number counts as the mean.
        loadings: Of each number of the linear basis; empty without one.
        averages: Average effects, for a model that may have slopes by group; None for another.
    """

    offer_kinds: tuple[str, ...]
    channels: tuple[str, ...]
    attributes: tuple[Attribute, ...] = ()
    offsets: Mapping[str, float] = field(default_factory=dict[str, float])
    offer_offsets: Mapping[str, float] = field(default_factory=dict[str, float])
    prior_offset: float = 0.0
    prior_slopes: Mapping[str, float] = field(default_factory=dict[str, float])
    responses: Mapping[str, float] = field(default_factory=dict[str, float])
    offer_responses: Mapping[str, float] = field(default_factory=dict[str, float])
    prior_response: float = 1.0
    response_slopes: Mapping[str, float] = field(default_factory=dict[str, float])
    number_ranges: Mapping[str, tuple[float, float, float]] = field(
        default_factory=dict[str, tuple[float, float, float]]
    )
    loadings: tuple[MessageNumbers, ...] = ()
    averages: MessageNumbers | None = None

    @property
    def described_columns(self) -> tuple[str, ...]:
        """Message columns that say what a message is, in order."""
        return (*_FIXED_MESSAGE_COLUMNS, *(f"offer_{one.name}" for one in self.attributes))

    @property
    def columns(self) -> tuple[str, ...]:
        """Message columns of the design, in order: what describes a message, then the numbers estimated for it."""
        loadings = (f"message_loading_{place}" for place in range(1, len(self.loadings) + 1))
        average = () if self.averages is None else (_AVERAGE_COLUMN,)
        return (*self.described_columns, _OFFSET_COLUMN, _RESPONSE_COLUMN, *average, *loadings)

    @property
    def numbers(self) -> tuple[MessageNumbers, ...]:
        """Offset, response, average and loadings, in the order of their columns."""
        offset = MessageNumbers(
            by_message=self.offsets,
            by_offer=self.offer_offsets,
            prior=self.prior_offset,
            prior_slopes=self.prior_slopes,
        )
        response = MessageNumbers(
            by_message=self.responses,
            by_offer=self.offer_responses,
            prior=self.prior_response,
            prior_slopes=self.response_slopes,
        )
        return (offset, response, *(() if self.averages is None else (self.averages,)), *self.loadings)

    @property
    def code_columns(self) -> frozenset[str]:
        """Message columns whose numbers are codes and have no order."""
        words = (one for one in self.attributes if one.kind is AttributeKind.CATEGORY)
        return frozenset({"offer_kind", "channel", *(f"offer_{one.name}" for one in words)})


def message_matrix(coding: MessageCoding, messages: Sequence[Message]) -> FloatArray:
    """Message columns of silence and k messages.

    Depends on the catalogue only: make it once per touchpoint and policy version.

    Args:
        coding: The model's coding.
        messages: The touchpoint's candidates in order.

    Returns:
        Shape (k + 1, m): row 0 is silence, with `is_silence` 1 and everything else missing.
    """
    matrix = np.full((len(messages) + 1, len(coding.columns)), np.nan)
    matrix[0, 0] = 1.0
    numbers = coding.numbers
    for row, message in enumerate(messages, start=1):
        described = describe(coding, message)
        terms = _terms(coding, described)
        matrix[row] = [*described, *(one.of(message, terms) for one in numbers)]
    return matrix


def describe(coding: MessageCoding, message: Message) -> list[float]:
    """The message columns that say what a message is: all but the numbers estimated for it."""
    row = [0.0, _code(coding.offer_kinds, message.offer.kind), _code(coding.channels, message.channel.channel_id)]
    return row + [_attribute_value(one, message.offer.attributes.get(one.name)) for one in coding.attributes]


def _terms(coding: MessageCoding, row: list[float]) -> list[tuple[str, float]]:
    """What a prior's slopes apply to: numbers within what was seen, codes as one indicator each."""
    codes, terms = coding.code_columns, list[tuple[str, float]]()
    for name, value in zip(coding.described_columns[1:], row[1:], strict=True):
        if name not in codes:
            lowest, mean, highest = coding.number_ranges.get(name, (-np.inf, 0.0, np.inf))
            terms.append((name, mean if np.isnan(value) else min(max(value, lowest), highest)))
        elif not np.isnan(value):
            terms.append((f"{name}={int(value)}", 1.0))
    return terms


def _code(words: tuple[str, ...], word: FactValue) -> float:
    return float(words.index(word)) if isinstance(word, str) and word in words else np.nan


def _attribute_value(attribute: Attribute, value: FactValue) -> float:
    if attribute.kind is AttributeKind.CATEGORY:
        return _code(attribute.values, value)
    return np.nan if value is None or isinstance(value, str) else float(value)
