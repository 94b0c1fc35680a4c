"""Packed values are restored unchanged."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from decisioning.record.packing import NoPlaceError, Packer, Unpacker

NOW = datetime(2026, 11, 1, 12, tzinfo=UTC)
KNOWN = ("in", "stage")
MOMENTS = st.datetimes(timezones=st.just(UTC))
AMOUNTS = st.floats() | st.integers(-(2**53), 2**53).map(float) | st.just(-0.0)


def through(pack: Callable[[Packer], Any], read: Callable[[Unpacker], Any], kept: Any = None) -> Any:
    packer = Packer(NOW, {word: place for place, word in enumerate(KNOWN)}, {} if kept is None else kept)
    pack(packer)
    packer.number(7)
    unpacker = Unpacker(NOW, packer.packed(), [*KNOWN, *packer.words])
    found = read(unpacker)
    assert unpacker.number() == 7  # nothing was left over
    return found


@given(st.integers(0, 2**80))
def test_a_natural_number_is_restored(number: int) -> None:
    assert through(lambda to: to.number(number), lambda of: of.number()) == number


@given(st.lists(st.integers(0, 300)))
def test_natural_numbers_are_restored(numbers: list[int]) -> None:
    assert through(lambda to: to.numbers(numbers), lambda of: of.numbers(len(numbers))) == numbers


@given(st.integers(-(2**80), 2**80))
def test_a_whole_number_is_restored(number: int) -> None:
    assert through(lambda to: to.signed(number), lambda of: of.signed()) == number


@given(AMOUNTS)
def test_an_amount_is_restored_bit_for_bit(amount: float) -> None:
    found = through(lambda to: to.real(amount), lambda of: of.real())
    assert np.float64(found).tobytes() == np.float64(amount).tobytes()


@given(MOMENTS)
def test_a_moment_is_restored(moment: datetime) -> None:
    assert through(lambda to: to.moment(moment), lambda of: of.moment()) == moment


def test_a_moment_outside_utc_cannot_be_packed() -> None:
    for zone in (None, timezone(timedelta(hours=1))):
        with pytest.raises(NoPlaceError):
            Packer(NOW, {}, {}).moment(NOW.replace(tzinfo=zone))


@given(st.lists(AMOUNTS, max_size=20), st.integers(1, 40))
def test_a_column_is_restored_bit_for_bit(amounts: list[float], times: int) -> None:
    values = np.array(amounts * times, dtype=np.float64)
    found = through(lambda to: to.column(values), lambda of: of.column(len(values)))
    assert found.tobytes() == values.tobytes()


@pytest.mark.parametrize("different", [1, 2, 16, 17, 254, 255, 300])
def test_a_column_with_few_different_values_takes_less_space(different: int) -> None:
    values = np.arange(3_000) % different / 7
    packer = Packer(NOW, {}, {})
    packer.column(values)
    assert (len(packer.packed()) < 3_000 * 8) == (different < 256)
    assert through(lambda to: to.column(values), lambda of: of.column(3_000)).tobytes() == values.tobytes()


@given(st.lists(st.just(float("nan")) | st.integers(0, 300).map(float) | st.floats(allow_nan=False), max_size=60))
def test_a_sparse_column_is_restored_bit_for_bit(amounts: list[float]) -> None:
    values = np.array(amounts, dtype=np.float64)
    found = through(lambda to: to.sparse(values), lambda of: of.sparse(len(values)))
    assert found.tobytes() == values.tobytes()


@given(st.lists(st.text() | st.sampled_from([*KNOWN, "in stage new", "in  stage"])))
def test_texts_are_restored_as_words_and_as_phrases(texts: list[str]) -> None:
    assert through(lambda to: to.texts(texts), lambda of: of.texts()) == tuple(texts)

    def pack(to: Packer) -> None:
        for text in texts * 2:
            to.phrase(text)

    assert through(pack, lambda of: [of.phrase() for _ in texts * 2]) == texts * 2


def test_a_phrase_of_known_words_is_encoded_once() -> None:
    kept: dict[str | bytes, bytes] = {}
    for _ in range(2):
        packer = Packer(NOW, {"in": 0, "stage": 1}, kept)
        packer.phrase("in stage in")
        packer.phrase("in stage new")
        assert packer.words == ["new"]
    assert list(kept) == ["in stage in"]


def test_truncated_or_missing_data_are_an_error() -> None:
    packer = Packer(NOW, {}, {})
    packer.word(None)
    with pytest.raises(ValueError, match=r"^$"):
        Unpacker(NOW, packer.packed(), []).text()
    with pytest.raises(ValueError, match=r"^$"):
        Unpacker(NOW, packer.packed(), []).raw(2)
    reader = Unpacker(NOW, packer.packed(), [])
    reader.number()
    with pytest.raises(IndexError):
        reader.number()


@pytest.mark.parametrize("damaged", ["", "0", "00000", '0000"', "0000\u00e9"])
def test_bytes_that_no_packer_wrote_are_an_error(damaged: str) -> None:
    with pytest.raises(ValueError, match=r"^$|can't encode"):
        Unpacker(NOW, damaged, [])


@pytest.mark.parametrize("text", ["", "00ff", "00FF", "00 ff", "0ff", "2026-W45", "a" * 400])
def test_a_text_is_restored_whether_it_is_hexadecimal_or_not(text: str) -> None:
    assert through(lambda to: to.hexadecimal(text), lambda of: of.hexadecimal()) == text


def test_hexadecimal_text_takes_one_byte_for_two_digits() -> None:
    packer = Packer(NOW, {}, {})
    packer.hexadecimal("0f" * 16)
    assert packer.words == []
    assert len(packer.packed()) <= 25


def test_a_common_column_is_encoded_once_and_the_cache_stays_small() -> None:
    kept: dict[str | bytes, bytes] = {}
    usual = np.array([0.0, 1.0, 0.5])
    for _ in range(2):
        found = through(lambda to: to.usual_column(usual), lambda of: of.column(3), kept)
        assert found.tobytes() == usual.tobytes()
    assert list(kept) == [usual.tobytes()]
    packer = Packer(NOW, {}, kept)
    packer.usual_column(np.arange(3_000.0))
    assert list(kept) == [usual.tobytes()]
    for number in range(5_000):
        packer.usual_column(np.array([float(number)]))
    assert len(kept) < 5_000
