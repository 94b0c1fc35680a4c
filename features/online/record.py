"""One packed record per customer: every feature in a fixed place, so that one GET and one `np.frombuffer` read it.

A record is a row of little-endian 8-byte words, one segment per feature group in schema order::

    [schema fingerprint u64] [event time i64, microseconds] [value f64] * features of the group

Each group is written on its own with SETRANGE, or all of them at once with SET; neither needs to read first. Redis
fills a gap with zero bytes, so a fingerprint of 0 says "never written". Every segment names the schema it was written
under: after a change of schema no old bytes can pass for new values.

A group that is older than its greatest age reads as missing (NaN) and keeps its age, so that the decision record shows
why. A model trained with missing values and rules that are false on missing facts both stay on the safe side of that.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from struct import Struct

import numpy as np
import numpy.typing as npt

from decisioning.arrays import FloatArray
from decisioning.errors import FeatureUnavailableError
from decisioning.scoring import FeatureVector
from features.computing.feature_schema import FeatureGroup, FeatureSchema

type TimeArray = npt.NDArray[np.int64]

WORD_BYTES = 8
HEAD_WORDS = 2

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RecordLayout:
    """Where everything is, in words.

    Attributes:
        code: The fingerprint as a number.
        starts: First word of each of the g groups' segments.
        value_words: shape (d,), word of each feature, in the order of `schema.names`.
        slices: Place of each group's features among all d.
        heads: Unpacks fingerprint and event time of each group.
    """

    schema: FeatureSchema
    code: int
    word_count: int
    starts: tuple[int, ...]
    value_words: npt.NDArray[np.intp]
    slices: tuple[slice, ...]
    max_age_us: tuple[float, ...]
    group_names: tuple[str, ...]
    heads: Struct

    @property
    def size_bytes(self) -> int:
        """Length of a whole record."""
        return self.word_count * WORD_BYTES

    def offset_bytes(self, group_name: str) -> int:
        """Where a group's segment begins."""
        return self.starts[self.group_names.index(group_name)] * WORD_BYTES


def record_layout(schema: FeatureSchema) -> RecordLayout:
    """The layout of a schema."""
    starts, slices, value_words = [], [], []
    word = 0
    for group in schema.groups:
        width = len(group.features)
        starts.append(word)
        slices.append(slice(len(value_words), len(value_words) + width))
        value_words.extend(range(word + HEAD_WORDS, word + HEAD_WORDS + width))
        word += HEAD_WORDS + width
    return RecordLayout(
        schema=schema,
        code=int(schema.fingerprint, 16),
        word_count=word,
        starts=tuple(starts),
        value_words=np.asarray(value_words, dtype=np.intp),
        slices=tuple(slices),
        max_age_us=tuple(days_to_us(group.max_age_days) for group in schema.groups),
        group_names=tuple(group.name for group in schema.groups),
        heads=Struct("<" + "".join(f"Qq{len(group.features) * WORD_BYTES}x" for group in schema.groups)),
    )


_layouts: dict[str, RecordLayout] = {}


def _layout_by_fingerprint(schema: FeatureSchema) -> RecordLayout:
    """Hashing a schema costs more than decoding a record, and its fingerprint already says who it is."""
    layout = _layouts.get(schema.fingerprint)
    if layout is None:
        layout = _layouts[schema.fingerprint] = record_layout(schema)
    return layout


def record_schema(payload: bytes) -> str:
    """Fingerprint of the schema that a record's first group was written under."""
    return f"{int.from_bytes(payload[:WORD_BYTES], 'little'):016x}"


def decode_record(payload: bytes, schema: FeatureSchema, now: datetime) -> FeatureVector:
    """Features of a customer from the bytes of one GET.

    The record is shorter where its last groups were never written; ages are measured from `now` (aware).

    Raises:
        FeatureUnavailableError: The record was written under another schema.
    """
    layout = _layout_by_fingerprint(schema)
    if len(payload) < layout.size_bytes:
        payload = payload.ljust(layout.size_bytes, b"\0")
    values = np.frombuffer(payload, dtype="<f8", count=layout.word_count)[layout.value_words]
    heads = layout.heads.unpack_from(payload)
    now_us = microseconds(now)
    ages: dict[str, float | None] = {}
    for place, name in enumerate(layout.group_names):
        code, event_us = heads[2 * place], heads[2 * place + 1]
        if code == layout.code:
            ages[name] = (now_us - event_us) / 1e6
            if now_us - event_us > layout.max_age_us[place]:
                values[layout.slices[place]] = np.nan
        elif code == 0:
            ages[name] = None
            values[layout.slices[place]] = np.nan
        else:
            raise _wrong_schema(layout.code, code)
    return FeatureVector(names=schema.names, values=values, ages_seconds=ages, schema=schema.fingerprint)


def _wrong_schema(expected: int, found: int) -> FeatureUnavailableError:
    return FeatureUnavailableError(
        f"feature record must have schema {expected:016x}, got {found:016x}: "
        "run `nextbest features build` and `nextbest features materialise`"
    )


def days_to_us(days: float) -> float:
    """Days as microseconds."""
    return days * 86_400e6


def microseconds(moment: datetime) -> int:
    """Whole microseconds since 1970."""
    delta = moment - _EPOCH
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds


def moment_of(value_us: int) -> datetime:
    """The opposite of `microseconds`."""
    return datetime.fromtimestamp(value_us // 1_000_000, UTC).replace(microsecond=value_us % 1_000_000)


def encode_segment(code: int, times: TimeArray, values: FloatArray) -> list[bytes]:
    """Segments of one group.

    Args:
        code: Fingerprint of the schema as a number.
        times: shape (n,), event times, microseconds.
        values: shape (n, features of the group), NaN where missing.
    """
    words = np.empty((len(values), HEAD_WORDS + values.shape[1]), dtype="<f8")
    _fill(words, code, times, values)
    return _rows(words)


def encode_records(layout: RecordLayout, times: TimeArray, values: FloatArray) -> list[bytes]:
    """Whole records: `times` has shape (n,), `values` (n, d) in the order of the schema's names."""
    words = np.empty((len(values), layout.word_count), dtype="<f8")
    for start, place in zip(layout.starts, layout.slices, strict=True):
        width = place.stop - place.start
        _fill(words[:, start : start + HEAD_WORDS + width], layout.code, times, values[:, place])
    return _rows(words)


def _fill(words: FloatArray, code: int, times: TimeArray, values: FloatArray) -> None:
    words.view("<u8")[:, 0] = code
    words.view("<i8")[:, 1] = times
    words[:, HEAD_WORDS:] = values


def _rows(words: FloatArray) -> list[bytes]:
    size = words.shape[1] * WORD_BYTES
    payload = words.tobytes()
    return [payload[start : start + size] for start in range(0, len(payload), size)]


def decode_segment(payload: bytes, code: int, group: FeatureGroup, now: datetime) -> tuple[datetime, FloatArray] | None:
    """One group's event time and values from its segment; None where it was never written.

    Values older than the group's greatest age are NaN, as in `decode_record`.

    Raises:
        FeatureUnavailableError: The segment was written under another schema.
    """
    if len(payload) < (HEAD_WORDS + len(group.features)) * WORD_BYTES:
        return None
    words = np.frombuffer(payload, dtype="<u8", count=HEAD_WORDS + len(group.features))
    if words[0] == 0:
        return None
    if words[0] != code:
        raise _wrong_schema(code, int(words[0]))
    event_us = int(words.view("<i8")[1])
    values = words.view("<f8")[HEAD_WORDS:].copy()
    if microseconds(now) - event_us > days_to_us(group.max_age_days):
        values[:] = np.nan
    return moment_of(event_us), values
