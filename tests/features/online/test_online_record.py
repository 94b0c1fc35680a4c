"""The packed record: it is read back as written, and other bytes are never accepted."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from decisioning.errors import FeatureUnavailableError
from features.computing.feature_schema import FeatureGroup, FeatureSchema
from features.online.record import (
    decode_record,
    decode_segment,
    encode_records,
    encode_segment,
    microseconds,
    moment_of,
    record_layout,
)

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
HOUR_AGO = microseconds(NOW - timedelta(hours=1))
SCHEMA = FeatureSchema(
    names=("a", "b", "c", "d", "e"),
    groups=(
        FeatureGroup(name="first", features=("a", "b"), max_age_days=1.0),
        FeatureGroup(name="second", features=("c",), max_age_days=2.0),
        FeatureGroup(name="third", features=("d", "e"), max_age_days=30.0),
    ),
    fingerprint="00000000deadbeef",
)
LAYOUT = record_layout(SCHEMA)


def record(values: list[float], at_us: int = HOUR_AGO) -> bytes:
    return encode_records(LAYOUT, np.asarray([at_us]), np.asarray([values]))[0]


@settings(max_examples=50, deadline=None)
@given(values=arrays(np.float64, (3, 5)), times=arrays(np.int64, 3, elements=st.integers(HOUR_AGO - 10**9, HOUR_AGO)))
def test_a_record_is_read_back_bit_for_bit(values, times):
    for payload, expected, at_us in zip(encode_records(LAYOUT, times, values), values, times, strict=True):
        vector = decode_record(payload, SCHEMA, NOW)
        np.testing.assert_array_equal(vector.values, expected)
        assert vector.names == SCHEMA.names
        assert set(vector.ages_seconds.values()) == {(microseconds(NOW) - at_us) / 1e6}


def test_segments_written_separately_make_the_whole_record():
    whole = record([1, 2, 3, 4, 5])
    parts = bytearray(len(whole))
    for group, place in zip(SCHEMA.groups, LAYOUT.slices, strict=True):
        values = np.asarray([[1.0, 2, 3, 4, 5][place]])
        segment = encode_segment(LAYOUT.code, np.asarray([HOUR_AGO]), values)[0]
        offset = LAYOUT.offset_bytes(group.name)
        parts[offset : offset + len(segment)] = segment
    assert bytes(parts) == whole


def test_a_group_that_was_never_written_is_missing():
    segment = encode_segment(LAYOUT.code, np.asarray([HOUR_AGO]), np.asarray([[7.0]]))[0]
    payload = bytes(LAYOUT.offset_bytes("second")) + segment  # as SETRANGE leaves it
    vector = decode_record(payload, SCHEMA, NOW)
    np.testing.assert_array_equal(vector.values, [np.nan, np.nan, 7.0, np.nan, np.nan])
    assert vector.ages_seconds == {"first": None, "second": 3600.0, "third": None}


def test_a_group_older_than_its_maximum_age_is_missing_and_keeps_its_age():
    later = NOW + timedelta(hours=24)
    vector = decode_record(record([1, 2, 3, 4, 5]), SCHEMA, later)
    np.testing.assert_array_equal(vector.values, [np.nan, np.nan, 3, 4, 5])
    assert vector.ages_seconds["first"] == 25 * 3600


def test_a_record_of_another_schema_is_refused_with_what_to_do():
    other = replace(SCHEMA, fingerprint="00000000deadbee0")
    with pytest.raises(FeatureUnavailableError, match="nextbest features materialise"):
        decode_record(record([1, 2, 3, 4, 5]), other, NOW)


def test_old_bytes_are_never_read_as_values_of_a_longer_schema():
    grown = replace(
        SCHEMA,
        names=("a", "b", "x", "c", "d", "e"),
        groups=(replace(SCHEMA.groups[0], features=("a", "b", "x")), *SCHEMA.groups[1:]),
        fingerprint="0000000000000bad",
    )
    layout = record_layout(grown)
    payload = bytearray(record([1, 2, 3, 4, 5]))
    segment = encode_segment(layout.code, np.asarray([HOUR_AGO]), np.asarray([[1.0, 2, 3]]))[0]
    payload[: len(segment)] = segment  # one group is rewritten, the others still have the old schema
    with pytest.raises(FeatureUnavailableError, match="must have schema"):
        decode_record(bytes(payload), grown, NOW)


def test_a_segment_reads_like_the_whole_record():
    payload = record([1, 2, 3, 4, 5])
    for group, place in zip(SCHEMA.groups, LAYOUT.slices, strict=True):
        found = decode_segment(payload[LAYOUT.offset_bytes(group.name) :], LAYOUT.code, group, NOW)
        assert found is not None
        assert found[0] == NOW - timedelta(hours=1)
        np.testing.assert_array_equal(found[1], np.asarray([1.0, 2, 3, 4, 5])[place])
    assert decode_segment(b"", LAYOUT.code, SCHEMA.groups[0], NOW) is None
    assert decode_segment(bytes(64), LAYOUT.code, SCHEMA.groups[0], NOW) is None


@given(
    moment=st.integers(-(10**15), 5 * 10**15).map(
        lambda us: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)
    )
)
def test_moments_survive_as_microseconds(moment):
    assert moment_of(microseconds(moment)) == moment
