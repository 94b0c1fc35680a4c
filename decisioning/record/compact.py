"""The compact form of a record, which the log keeps.

Of a decision it holds what its row in the log does not say already: which sets of messages each gate refused and why,
what was charged and drawn, and everything that was looked at, packed (see `packing`). Names of the catalogue and of the
features are written as places in a `Vocabulary`, so a reader needs the catalogue of that time. What arbitration works
out from the rest (uplifts, priorities, the order) is left out. `document` makes the document that people read of it.

What the packed form has no place for, such as a time that is not in UTC, makes a record a full document.
"""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np

from decisioning.arrays import BoolArray, FloatArray, IndexArray, IntArray
from decisioning.catalogue.care import CaseState
from decisioning.catalogue.message import SILENCE, message_key
from decisioning.choice.arbitration import Bids, Evaluations, priorities, residual_column
from decisioning.decision import (
    Action,
    BetterHour,
    Decision,
    Evaluated,
    Excluded,
    Exclusion,
    Ghost,
    Inputs,
    Position,
    Reason,
)
from decisioning.errors import InvalidInputError
from decisioning.gates.message_sets.exclusions import Exclusions, Saying, excluded_messages
from decisioning.gates.message_sets.grouping import MessageSet, places_of, union
from decisioning.record.document import Record, decision_to_record
from decisioning.record.packed_foresight import pack_foresight, pack_waiting, read_foresight, read_waiting
from decisioning.record.packed_inputs import pack_inputs, read_features, read_inputs
from decisioning.record.packing import NoPlaceError, Packer, Unpacker
from decisioning.record.vocabulary import DIGEST_BYTES, NameList, Vocabulary
from decisioning.residuals import residuals_at
from decisioning.scoring import FeatureVector

COMPACT_VERSION = 3

_EXCLUSIONS, _REASONS, _CARE = tuple(Exclusion), tuple(Reason), tuple(CaseState)
"""Written by their place: new ones go to the end."""
_CODE = {one: place for place, one in enumerate(_EXCLUSIONS)}


def compact_record(decision: Decision, vocabulary: Vocabulary) -> Record:
    """The record of a decision as the log keeps it.

    Args:
        decision: As `decide` made it.
        vocabulary: Of its touchpoint and catalogue.

    Returns:
        The compact form, or the full document where that has no place for something.
    """
    try:
        return _compact(decision, vocabulary)
    except NoPlaceError:
        return decision_to_record(decision)


def decision_from_compact(row: Mapping[str, Any], record: Mapping[str, Any], vocabulary: Vocabulary) -> Decision:
    """The decision that a row of the log and its compact record hold.

    Args:
        row: Columns of the canonical table `decisions`; times as `datetime` or as ISO 8601 texts, `arms` and `ghost`
            read from their JSON.
        record: The column `record`, read from its JSON.
        vocabulary: Of the row's touchpoint and of the catalogue that decided.

    Raises:
        InvalidInputError: Another catalogue, an unknown feature schema, or a damaged record.
    """
    with _damage_told():
        return _read(row, record, vocabulary)


def features_from_compact(
    row: Mapping[str, Any], record: Mapping[str, Any], vocabulary: Vocabulary
) -> FeatureVector | None:
    """The features alone, in a third of the time; None where the decision looked at none.

    Arguments and errors are those of `decision_from_compact`.
    """
    with _damage_told():
        packed = _unpacker(_moment(row["decided_at"]), record, vocabulary)
        _read_choice(packed, vocabulary.keys)
        said, _ = _read_refusals(packed, vocabulary.keys)
        _read_columns(packed, len(vocabulary.keys.all), union(messages for messages, _, _ in said))
        return read_features(packed, record["facts"], row, vocabulary)


@contextmanager
def _damage_told() -> Generator[None]:
    try:
        yield
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise InvalidInputError(
            f"record must be one that compact_record wrote with this catalogue, got {type(error).__name__}; "
            "it is damaged, or the catalogue or the feature schema is another one"
        ) from error


def _unpacker(decided_at: datetime, record: Mapping[str, Any], vocabulary: Vocabulary) -> Unpacker:
    packed = Unpacker(decided_at, record["packed"], [*vocabulary.words.all, *record["words"]])
    packed.moment()
    if packed.raw(DIGEST_BYTES) != vocabulary.digest:
        raise ValueError
    return packed


def _compact(decision: Decision, vocabulary: Vocabulary) -> Record:
    packer = Packer(decision.decided_at, vocabulary.words.place_of, vocabulary.packed)
    packer.moment(decision.decided_at)  # refuses a moment that is not in UTC
    packer.raw(vocabulary.digest)
    _pack_choice(packer, decision, vocabulary.keys)
    evaluated, excluded = _as_decided(decision)
    _pack_exclusions(packer, excluded, vocabulary.keys)
    _pack_evaluations(packer, evaluated)
    facts = pack_inputs(packer, decision, vocabulary)
    foresight = decision.inputs.foresight
    if foresight is not None:
        pack_foresight(packer, foresight)
        packer.usual_column(evaluated.bids.opportunity_minor)
    hours = None if foresight is None else foresight.hours
    has_waiting = hours is not None or decision.inputs.put_off is not None or decision.better_hour is not None
    if has_waiting:
        pack_waiting(packer, hours, decision.inputs.put_off, decision.better_hour, vocabulary.keys)
        packer.usual_column(evaluated.bids.hour_minor)
    record: Record = {
        "record_version": COMPACT_VERSION,
        "words": packer.words,
        "packed": packer.packed(),
        "facts": facts,
    }
    if decision.programme_holdouts:
        record["programme_holdouts"] = sorted(decision.programme_holdouts)
    if foresight is not None:
        record["has_foresight"] = True
    if has_waiting:
        record["has_waiting"] = True
    return record


def _as_decided(decision: Decision) -> tuple[Evaluations, Exclusions]:
    evaluated, excluded = decision.evaluated, decision.excluded
    if not isinstance(evaluated, Evaluations) or not isinstance(excluded, Exclusions):
        raise NoPlaceError
    return evaluated, excluded


def _read(row: Mapping[str, Any], record: Mapping[str, Any], vocabulary: Vocabulary) -> Decision:
    decided_at = _moment(row["decided_at"])
    packed = _unpacker(decided_at, record, vocabulary)
    choice = _read_choice(packed, vocabulary.keys)
    refused, excluded = _read_exclusions(packed, vocabulary.keys)
    columns = _read_columns(packed, len(vocabulary.keys.all), refused)
    inputs = read_inputs(packed, record["facts"], row, decided_at, vocabulary)
    inputs, foreseen, better_hour = _read_foreseen(packed, record, inputs, len(columns.rows), vocabulary.keys)
    key = _key_in(row)
    ghost = row.get("ghost")
    return Decision(
        decision_id=row["decision_id"],
        customer_id=row["customer_id"],
        touchpoint_id=row["touchpoint"],
        decided_at=decided_at,
        action=Action.HOLD if key == SILENCE else Action.SEND,
        message_key=key,
        offer_id=row["offer_id"],
        channel_id=row["channel"],
        creative_id=row["creative_id"],
        action_probability=row["action_probability"],
        stage_id=row["stage"],
        arms=dict(row["arms"]),
        is_held_out=row["is_held_out"],
        policy_version=row["policy_version"],
        model_version=row["model_version"],
        degraded=inputs.degraded,
        evaluated=_evaluated(columns, foreseen, inputs, row["stage"], vocabulary.keys),
        excluded=excluded,
        inputs=inputs,
        ghost=None if ghost is None else Ghost(**ghost),
        programme_holdouts=frozenset(record.get("programme_holdouts", ())),
        better_hour=better_hour,
        **choice,
    )


class _Foreseen(NamedTuple):
    """What lies ahead, by evaluated row: shape (n,) each."""

    opportunity_minor: FloatArray
    hour_minor: FloatArray


def _read_foreseen(
    packed: Unpacker, record: Mapping[str, Any], inputs: Inputs, count: int, keys: NameList
) -> tuple[Inputs, _Foreseen, BetterHour | None]:
    opportunity = hour = np.zeros(count)
    better = None
    if record.get("has_foresight", False):
        inputs = replace(inputs, foresight=read_foresight(packed))
        opportunity = packed.column(count)
    if record.get("has_waiting", False):
        hours, put_off, better = read_waiting(packed, keys)
        foresight = inputs.foresight and replace(inputs.foresight, hours=hours)
        inputs, hour = replace(inputs, foresight=foresight, put_off=put_off), packed.column(count)
    return inputs, _Foreseen(opportunity, hour), better


def _moment(moment: datetime | str) -> datetime:
    return (datetime.fromisoformat(moment) if isinstance(moment, str) else moment).astimezone(UTC)


def _key_in(row: Mapping[str, Any]) -> str:
    if row["offer_id"] is None:
        return SILENCE
    return message_key(row["offer_id"], row["channel"], row["creative_id"])


# What was chosen: `Decision` has these fields, and no column of the row does.


def _pack_choice(packer: Packer, decision: Decision, keys: NameList) -> None:
    packer.number(_REASONS.index(decision.reason))
    packer.number(0 if decision.care is None else 1 + _CARE.index(decision.care))
    packer.optional_moment(decision.retry_at)
    _pack_key(packer, decision.best_key, keys)
    packer.number(len(decision.further))
    for position in decision.further:
        packer.word(position.placement_id)
        _pack_key(packer, position.message_key, keys)
        packer.real(position.action_probability)
        packer.flag(position.is_best)


def _read_choice(packed: Unpacker, keys: NameList) -> dict[str, Any]:
    reason, care = _REASONS[packed.number()], packed.number()
    return {
        "reason": reason,
        "care": _CARE[care - 1] if care else None,
        "retry_at": packed.optional_moment(),
        "best_key": _read_key(packed, keys),
        "further": tuple(_read_position(packed, keys) for _ in range(packed.number())),
    }


def _read_position(packed: Unpacker, keys: NameList) -> Position:
    return Position(
        placement_id=packed.text(),
        message_key=_read_key(packed, keys) or SILENCE,
        action_probability=packed.real(),
        is_best=packed.flag(),
    )


def _pack_key(packer: Packer, key: str | None, keys: NameList) -> None:
    """No message, silence, or a candidate by its place."""
    packer.number(0 if key is None else 1 if key == SILENCE else 2 + keys.place_of[key])


def _read_key(packed: Unpacker, keys: NameList) -> str | None:
    number = packed.number()
    return (None, SILENCE)[number] if number < 2 else keys.all[number - 2]  # noqa: PLR2004 - two before the candidates


# What the gates refused.


def _pack_exclusions(packer: Packer, excluded: Exclusions, keys: NameList) -> None:
    width = (len(keys.all) + 7) // 8
    packer.number(len(excluded.refused))
    for one in excluded.refused:
        packer.raw(one.messages.to_bytes(width, "little"))
        packer.number(_CODE[one.exclusion])
        packer.phrase(one.detail)
    packer.number(len(excluded.waits))
    for messages, moment in excluded.waits:
        packer.raw(messages.to_bytes(width, "little"))
        packer.moment(moment)


def _read_exclusions(packed: Unpacker, keys: NameList) -> tuple[MessageSet, tuple[Excluded, ...]]:
    """All that were refused, and each with every reason."""
    said, waits = _read_refusals(packed, keys)
    return union(messages for messages, _, _ in said), tuple(excluded_messages(keys.all, said, waits))


def _read_refusals(packed: Unpacker, keys: NameList) -> tuple[list[Saying], list[tuple[MessageSet, datetime]]]:
    width = (len(keys.all) + 7) // 8
    said = [_read_saying(packed, width) for _ in range(packed.number())]
    return said, [(_read_set(packed, width), packed.moment()) for _ in range(packed.number())]


def _read_saying(packed: Unpacker, width: int) -> Saying:
    return _read_set(packed, width), _EXCLUSIONS[packed.number()], packed.phrase()


def _read_set(packed: Unpacker, width: int) -> MessageSet:
    return int.from_bytes(packed.raw(width), "little")


# What the rest was worth: columns over silence and the permitted candidates.

_CHARGES = ("cost_minor", "fatigue_minor", "shadow_minor", "context_weight", "business_weight")


class _Columns(NamedTuple):
    """What is written of `Bids`; `worth_minor` is NaN where it is the uplift."""

    rows: IndexArray
    is_scored: BoolArray
    charges: Sequence[FloatArray]
    evidence: IntArray
    worth_minor: FloatArray
    probabilities: FloatArray


def _pack_evaluations(packer: Packer, evaluated: Evaluations) -> None:
    bids = evaluated.bids
    is_scored = ~np.isnan(bids.expected_value_minor)
    has_own_worth = ~is_scored | (bids.worth_minor != bids.uplift_minor)
    is_any = bool(has_own_worth.any())
    packer.flag(is_any)
    if is_any:
        packer.raw(np.packbits(is_scored).tobytes())
        packer.raw(np.packbits(has_own_worth).tobytes())
        packer.column(bids.worth_minor[has_own_worth])
    for name in _CHARGES:
        packer.usual_column(getattr(bids, name))
    packer.usual_column(bids.evidence.astype(np.float64))
    packer.column(evaluated.probabilities)


def _read_columns(packed: Unpacker, candidate_count: int, refused: MessageSet) -> _Columns:
    permitted = ((1 << candidate_count) - 1) & ~refused
    rows = np.concatenate([[0], places_of(permitted) + 1]).astype(np.intp)
    count = len(rows)
    is_scored, worth = np.ones(count, dtype=np.bool_), np.full(count, np.nan)
    if packed.flag():
        is_scored, has_own_worth = _read_flags(packed, count), _read_flags(packed, count)
        worth[has_own_worth] = packed.column(int(has_own_worth.sum()))
    return _Columns(
        rows=rows,
        is_scored=is_scored,
        worth_minor=worth,
        charges=[packed.column(count) for _ in _CHARGES],
        evidence=packed.column(count).astype(np.int64),
        probabilities=packed.column(count),
    )


def _read_flags(packed: Unpacker, count: int) -> BoolArray:
    return np.unpackbits(np.frombuffer(packed.raw((count + 7) // 8), dtype=np.uint8), count=count).astype(np.bool_)


def _evaluated(
    columns: _Columns, foreseen: _Foreseen, inputs: Inputs, stage_id: str | None, keys: NameList
) -> tuple[Evaluated, ...]:
    """The permitted candidates with everything that follows from the columns, as arbitration works it out."""
    value = uplift = np.full(len(columns.rows), np.nan)
    expected_values, residuals = inputs.expected_values, residuals_at(inputs.residuals, stage_id)
    if expected_values is not None:
        expected_values = expected_values if residuals is None else residuals.on(expected_values)
        value = np.where(columns.is_scored, expected_values[columns.rows], np.nan)
        uplift = value - expected_values[0]
    worth = np.where(np.isnan(columns.worth_minor), uplift, columns.worth_minor)
    cost, fatigue, shadow, context, business = columns.charges
    net = worth + foreseen.hour_minor - cost - fatigue - shadow - foreseen.opportunity_minor
    bids = Bids(
        rows=columns.rows,
        expected_value_minor=value,
        uplift_minor=uplift,
        cost_minor=cost,
        fatigue_minor=fatigue,
        shadow_minor=shadow,
        context_weight=context,
        business_weight=business,
        evidence=columns.evidence,
        worth_minor=worth,
        residual_minor=residual_column(columns.rows, value, residuals),
        priority_minor=priorities(net, context, business),
        opportunity_minor=foreseen.opportunity_minor,
        hour_minor=foreseen.hour_minor,
    )
    return Evaluations(keys.all, bids, columns.probabilities).items()
