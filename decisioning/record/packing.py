"""Numbers, moments, sets and columns as bytes, written one after the other and read back in the same order.

A natural number takes 7 bits a byte, the lowest first; the high bit says that more follow. A signed one is folded into
a natural one (0, -1, 1, -2, ...), as Protocol Buffers does. Amounts that are whole take as few bytes as they need, all
others the 8 bytes of a double, so that every value comes back bit for bit.
"""

import struct
from base64 import b85decode
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import numpy as np

from decisioning.arrays import FloatArray

_DIGITS = np.frombuffer(
    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~", dtype=np.uint8
)
_POWERS = np.array([85**4, 85**3, 85**2, 85, 1], dtype=np.uint32)
_DOUBLE = struct.Struct("<d")
_LARGEST_WHOLE = 2.0**40
_WHOLE_TABLE = 255
_NIBBLE_TABLE = 16
_SMALL = 255
_MOST_PHRASES = 10_000
_US_PER_DAY, _US_PER_SECOND = 86_400_000_000, 1_000_000


class NoPlaceError(ValueError):
    """A value that the packed form has no place for."""


class Packer:
    """Writes values one after the other.

    Attributes:
        words: Texts that are not known, each once; the bytes name texts by their place, after those that are known.
    """

    __slots__ = ("_known", "_new", "_origin", "_out", "_phrases", "words")

    def __init__(self, origin: datetime, known: Mapping[str, int], phrases: dict[str, bytes]) -> None:
        """Start with nothing.

        Args:
            origin: Moments are written as their distance from it (aware, UTC).
            known: Place of each text that the reader knows.
            phrases: Kept from packer to packer: what phrases of nothing but known words come to.
        """
        self._origin = origin
        self._phrases = phrases
        self._known = known
        self._out = bytearray()
        self._new: dict[str, int] = {}
        self.words: list[str] = []

    def packed(self) -> str:
        """Everything that was written, in the Base85 of `base64.b85encode`."""
        padding = -len(self._out) % 4
        words = np.frombuffer(self._out + b"\0" * padding, dtype=">u4").astype(np.uint32)
        digits = _DIGITS[words[:, np.newaxis] // _POWERS % 85].tobytes()  # a sixth of what the standard library takes
        return digits[: len(digits) - padding].decode("ascii")

    def raw(self, content: bytes) -> None:
        """Some bytes, whose number the reader knows."""
        self._out += content

    def number(self, number: int) -> None:
        """A natural number."""
        out = self._out
        if number < 0x80:  # noqa: PLR2004 - as most are
            out.append(number)
            return
        while number > 0x7F:  # noqa: PLR2004 - 7 bits
            out.append(number & 0x7F | 0x80)
            number >>= 7
        out.append(number)

    def numbers(self, numbers: Sequence[int]) -> None:
        """Some natural numbers, of which the reader knows how many."""
        if numbers and max(numbers) < 0x80:  # noqa: PLR2004 - one byte each
            self._out += bytes(numbers)
        else:
            for number in numbers:
                self.number(number)

    def signed(self, number: int) -> None:
        """A whole number."""
        self.number(number * 2 if number >= 0 else -number * 2 - 1)

    def flags(self, *flags: bool) -> None:
        """Several yes or no, as one number."""
        number = 0
        for place, flag in enumerate(flags):
            number |= flag << place
        self.number(number)

    def real(self, value: float) -> None:
        """A double."""
        if value == value // 1 and abs(value) < _LARGEST_WHOLE and (value or not _is_negative(value)):
            whole = int(value)
            self.number((whole * 2 if whole >= 0 else -whole * 2 - 1) * 2)
        else:
            self._out.append(1)
            self._out += _DOUBLE.pack(value)

    def word(self, word: str | None) -> None:
        """A text, or None."""
        if word is None:
            self._out.append(0)
            return
        place = self._known.get(word)
        if place is None:
            place = self._new.get(word)
        if place is None:
            place = self._new[word] = len(self._known) + len(self.words)
            self.words.append(word)
        self.number(place + 1)

    def phrase(self, phrase: str) -> None:
        """A text of words that other texts have too: each is kept once."""
        ready = self._phrases.get(phrase)
        if ready is not None:
            self._out += ready
            return
        start, count = len(self._out), len(self.words)
        words = phrase.split(" ")
        self.texts(words)
        if len(self.words) == count and not self._new.keys() & words and len(self._phrases) < _MOST_PHRASES:
            self._phrases[phrase] = bytes(self._out[start:])

    def texts(self, texts: Sequence[str]) -> None:
        """Some texts, in order."""
        self.number(len(texts))
        for word in texts:
            self.word(word)

    def moment(self, moment: datetime) -> None:
        """A moment.

        Raises:
            NoPlaceError: One that is not in UTC.
        """
        if moment.utcoffset() != timedelta():
            raise NoPlaceError
        passed = moment - self._origin
        self.signed(passed.days * _US_PER_DAY + passed.seconds * _US_PER_SECOND + passed.microseconds)

    def optional_moment(self, moment: datetime | None) -> None:
        """A moment, or None."""
        self._out.append(moment is not None)
        if moment is not None:
            self.moment(moment)

    def column(self, values: FloatArray) -> None:
        """Doubles, whose number the reader knows: a table of the different ones where few differ, else all of them."""
        all_bits = values.view(np.int64)
        if len(values) and (all_bits == all_bits[0]).all():
            self._out.append(1)
            self.real(float(values[0]))
            return
        table: dict[int, int] = {}
        codes = bytearray()
        for bits in all_bits.tolist():
            code = table.setdefault(bits, len(table))
            if code > _WHOLE_TABLE - 1:
                break
            codes.append(code)
        else:
            if len(table) * 8 + len(codes) < len(values) * 8:
                self._table(np.array(list(table), dtype=np.int64).view(np.float64), codes)
                return
        self._out.append(0)
        self._out += values.astype("<f8").tobytes()

    def _table(self, table: FloatArray, codes: bytearray) -> None:
        """A small table is mostly of whole amounts, a large one is not."""
        self.number(len(table))
        if len(table) > _NIBBLE_TABLE:
            self._out += table.astype("<f8").tobytes() + codes
            return
        for value in table.tolist():
            self.real(value)
        codes.append(0)
        self._out += bytes([low | high << 4 for low, high in zip(codes[::2], codes[1::2], strict=False)])

    def sparse(self, values: FloatArray) -> None:
        """Doubles, of which many are missing (NaN), 0, or small and whole; the reader knows their number."""
        is_missing = np.isnan(values)
        is_small = (values >= 0) & (values <= _SMALL) & (values == np.floor(values)) & ~np.signbit(values)
        codes = np.where(is_missing, 0, np.where(is_small, np.where(values == 0, 1, 2), 3)).astype(np.uint8)
        self._out += np.packbits(codes & 1).tobytes() + np.packbits(codes >> 1).tobytes()
        self._out += values[codes == 2].astype(np.uint8).tobytes() + values[codes == 3].astype("<f8").tobytes()  # noqa: PLR2004 - codes


class Unpacker:
    """Reads what a `Packer` wrote, in the same order; whatever is damaged ends in `ValueError` or `IndexError`."""

    __slots__ = ("_content", "_origin", "_place", "_words")

    def __init__(self, origin: datetime, packed: str, words: Sequence[str]) -> None:
        """Start at the beginning of what a packer packed.

        Args:
            origin: The packer's.
            packed: What was written.
            words: The known texts, then the packer's own.
        """
        self._origin = origin
        self._content = b85decode(packed)
        self._words = words
        self._place = 0

    def raw(self, count: int) -> bytes:
        """So many bytes."""
        start, self._place = self._place, self._place + count
        if self._place > len(self._content):
            raise ValueError
        return self._content[start : self._place]

    def number(self) -> int:
        """A natural number."""
        number = shift = 0
        while True:
            byte = self._content[self._place]
            self._place += 1
            number |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:  # noqa: PLR2004 - the high bit
                return number

    def numbers(self, count: int) -> list[int]:
        """So many natural numbers."""
        return [self.number() for _ in range(count)]

    def signed(self) -> int:
        """A whole number."""
        return _unfolded(self.number())

    def flags(self, count: int) -> list[bool]:
        """So many yes or no."""
        number = self.number()
        return [bool(number >> place & 1) for place in range(count)]

    def real(self) -> float:
        """A double."""
        number = self.number()
        return _DOUBLE.unpack(self.raw(8))[0] if number == 1 else float(_unfolded(number >> 1))

    def word(self) -> str | None:
        """A text, or None."""
        place = self.number()
        return self._words[place - 1] if place else None

    def text(self) -> str:
        """A text that is not None."""
        word = self.word()
        if word is None:
            raise ValueError
        return word

    def phrase(self) -> str:
        """A text of words."""
        return " ".join(self.texts())

    def texts(self) -> tuple[str, ...]:
        """Some texts."""
        return tuple(self.text() for _ in range(self.number()))

    def moment(self) -> datetime:
        """A moment (UTC)."""
        return self._origin + timedelta(microseconds=self.signed())

    def optional_moment(self) -> datetime | None:
        """A moment, or None."""
        return self.moment() if self.number() else None

    def column(self, count: int) -> FloatArray:
        """Shape (count,): doubles."""
        size = self.number()
        if size == 0:
            return self._doubles(count)
        table = self._doubles(size) if size > _NIBBLE_TABLE else np.array([self.real() for _ in range(size)])
        return table[self._codes(size, count)]

    def _doubles(self, count: int) -> FloatArray:
        return np.frombuffer(self.raw(count * 8), dtype="<f8").astype(np.float64)

    def _codes(self, size: int, count: int) -> Any:
        if size == 1:
            return np.zeros(count, dtype=np.intp)
        if size > _NIBBLE_TABLE:
            return np.frombuffer(self.raw(count), dtype=np.uint8)
        pairs = np.frombuffer(self.raw(count // 2 + 1 if count % 2 else count // 2), dtype=np.uint8)
        return np.stack([pairs & 0x0F, pairs >> 4], axis=1).ravel()[:count]

    def sparse(self, count: int) -> FloatArray:
        """Shape (count,): doubles."""
        width = (count + 7) // 8
        low, high = (np.unpackbits(np.frombuffer(self.raw(width), dtype=np.uint8), count=count) for _ in range(2))
        codes = low | high << 1
        values = np.where(codes == 0, np.nan, 0.0)
        values[codes == 2] = np.frombuffer(self.raw(int((codes == 2).sum())), dtype=np.uint8)  # noqa: PLR2004 - codes
        values[codes == 3] = np.frombuffer(self.raw(8 * int((codes == 3).sum())), dtype="<f8")  # noqa: PLR2004 - codes
        return values


def _unfolded(number: int) -> int:
    return number >> 1 if number % 2 == 0 else -(number + 1 >> 1)


def _is_negative(value: float) -> bool:
    return str(value)[0] == "-"
