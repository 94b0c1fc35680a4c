"""Numbers, moments, sets and columns as bytes, written one after the other and read back in the same order.

A natural number takes 7 bits a byte, the lowest first; the high bit says that more follow. A signed one is folded into
a natural one (0, -1, 1, -2, ...), as Protocol Buffers does. Amounts that are whole take as few bytes as they need, all
others the 8 bytes of a double, so that every value comes back bit for bit.
"""

import struct
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from decisioning.arrays import FloatArray

_DIGITS = np.frombuffer(
    b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;<=>?@^_`{|}~", dtype=np.uint8
)
_PAIRS = np.stack([_DIGITS.repeat(85), np.tile(_DIGITS, 85)], axis=1).view("<u2").ravel()
"""Two digits of Base85 by the number that they write."""
_DIGIT_OF = np.full(256, 255, dtype=np.uint8)
_DIGIT_OF[_DIGITS] = np.arange(85)
_DOUBLE, _DOUBLES = struct.Struct("<d"), np.dtype("<f8")
_DOUBLE_BYTES = 8
_LARGEST_WHOLE = 2.0**40
_LARGEST_TABLE = 255
_TABLE_OF_AMOUNTS = 16
_CODE_BITS = (0, 1, 1, 2, 2, *[4] * 12)
"""Bits of a place in a table of amounts, by its size; in a larger table a place takes a byte."""
_CODE_DIGITS = "0123456789abcdef"
_SMALL_BITS = np.arange(256, dtype=np.float64).view(np.int64)
"""Small whole numbers as the bits of doubles, which are in the same order."""
_MOST_KEPT, _LARGEST_KEPT = 2_000, 2_048
_END = b"\x80"
_NO_OFFSET, _MICROSECOND = timedelta(), timedelta(microseconds=1)


class NoPlaceError(ValueError):
    """A value that the packed form has no place for."""


class Packer:
    """Writes values one after the other.

    Attributes:
        words: Texts that are not known, each once; the bytes name texts by their place, after those that are known.
    """

    __slots__ = ("_kept", "_known", "_new", "_origin", "_out", "words")

    def __init__(self, origin: datetime, known: Mapping[str, int], kept: dict[str | bytes, bytes]) -> None:
        """Start with nothing.

        Args:
            origin: Moments are written as their distance from it (aware, UTC).
            known: Place of each text that the reader knows.
            kept: Handed from packer to packer: what phrases of known words and usual columns come to.
        """
        self._origin = origin
        self._kept = kept
        self._known = known
        self._out = bytearray()
        self._new: dict[str, int] = {}
        self.words: list[str] = []

    def packed(self) -> str:
        """Everything that was written, in Base85: the upper two digits of every four bytes, the middle two, the last.

        Ordered like this it takes numpy a fifteenth of what `base64.b85encode` takes.
        """
        content = self._out + _END
        words = np.frombuffer(content + b"\0" * (-len(content) % 4), dtype="<u4")
        above, below = np.divmod(words, 85**3)
        middle, last = np.divmod(below, 85)
        digits = (_PAIRS.take(above), _PAIRS.take(middle), _DIGITS.take(last))
        return b"".join([one.tobytes() for one in digits]).decode("ascii")

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

    def flag(self, flag: bool) -> None:  # noqa: FBT001 - the value that is written
        """A yes or no."""
        self._out.append(flag)

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

    def hexadecimal(self, text: str) -> None:
        """A text that is often the hexadecimal form of some bytes, as ids and fingerprints are."""
        try:
            content = bytes.fromhex(text)
        except ValueError:
            content = b""
        if content.hex() != text or not content:
            self._out.append(0)
            self.word(text)
        else:
            self.number(len(content))
            self._out += content

    def phrase(self, phrase: str) -> None:
        """A text of words that other texts have too: each is kept once."""
        ready = self._kept.get(phrase)
        if ready is not None:
            self._out += ready
            return
        start, count = len(self._out), len(self.words)
        words = phrase.split(" ")
        self.texts(words)
        if len(self.words) == count and not self._new.keys() & words:
            self._keep(phrase, start)

    def _keep(self, written: str | bytes, start: int) -> None:
        """Remember what has been written since `start`; so that memory stays small, all is forgotten now and then."""
        if len(self._kept) >= _MOST_KEPT:
            self._kept.clear()
        if len(written) <= _LARGEST_KEPT:
            self._kept[written] = bytes(self._out[start:])

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
        if moment.tzinfo is not UTC and moment.utcoffset() != _NO_OFFSET:
            raise NoPlaceError
        self.signed((moment - self._origin) // _MICROSECOND)

    def optional_moment(self, moment: datetime | None) -> None:
        """A moment, or None."""
        self._out.append(moment is not None)
        if moment is not None:
            self.moment(moment)

    def column(self, values: FloatArray) -> None:
        """Doubles, whose number the reader knows: a table of the different ones where few differ, else all of them."""
        content = values.astype(_DOUBLES, copy=False).tobytes()
        if content and content == content[:_DOUBLE_BYTES] * len(values):
            self._out.append(1)
            self.real(float(values[0]))
            return
        cells = values.view(np.int64).tolist()
        count = len(set(cells))
        if count > _LARGEST_TABLE or count * _DOUBLE_BYTES + len(values) >= len(content):
            self._out.append(0)
            self._out += content
        else:
            self._table(list(set(cells)), cells)

    def usual_column(self, values: FloatArray) -> None:
        """As `column`, for doubles that many decisions have in common."""
        content = values.tobytes()
        ready = self._kept.get(content)
        if ready is not None:
            self._out += ready
            return
        start = len(self._out)
        self.column(values)
        self._keep(content, start)

    def _table(self, table: Sequence[int], cells: Sequence[int]) -> None:
        """The different cells, then the place of each cell among them.

        A small table is mostly of whole amounts, a large one is not.
        """
        size = len(table)
        self.number(size)
        doubles = struct.pack(f"<{size}q", *table)
        if size > _TABLE_OF_AMOUNTS:
            place_of = dict(zip(table, range(size), strict=True))
            self._out += doubles + bytes([place_of[cell] for cell in cells])
            return
        for value in struct.unpack(f"<{size}d", doubles):
            self.real(value)
        digit_of, width = dict(zip(table, _CODE_DIGITS, strict=False)), _CODE_BITS[size]
        places = int("".join([digit_of[cell] for cell in cells]), 1 << width)
        self._out += places.to_bytes((len(cells) * width + 7) // 8)

    def sparse(self, values: FloatArray) -> None:
        """Doubles, of which many are missing, 0, or small and whole; the reader knows their number.

        Every NaN is a missing value and is read as the one that `np.nan` is, whatever its sign.
        """
        bits = values.view(np.int64)
        small = _SMALL_BITS[:-1].searchsorted(bits)
        is_small, is_zero = _SMALL_BITS[small] == bits, bits == 0
        is_other = ~(is_small | np.isnan(values))
        self._out += np.packbits(is_zero | is_other).tobytes() + np.packbits(is_small ^ is_zero | is_other).tobytes()
        self._out += small[is_small ^ is_zero].astype(np.uint8).tobytes()
        self._out += values[is_other].astype(_DOUBLES, copy=False).tobytes()


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
        self._content = _unpacked(packed)
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

    def flag(self) -> bool:
        """A yes or no."""
        return bool(self.number())

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

    def hexadecimal(self) -> str:
        """A text."""
        count = self.number()
        return self.raw(count).hex() if count else self.text()

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
        return self.moment() if self.flag() else None

    def column(self, count: int) -> FloatArray:
        """Shape (count,): doubles."""
        size = self.number()
        if size == 0:
            return self._doubles(count)
        is_of_amounts = size <= _TABLE_OF_AMOUNTS
        table = np.array([self.real() for _ in range(size)]) if is_of_amounts else self._doubles(size)
        return np.repeat(table, count) if size == 1 else table[self._codes(size, count)]

    def _doubles(self, count: int) -> FloatArray:
        return np.frombuffer(self.raw(count * _DOUBLE_BYTES), dtype=_DOUBLES).astype(np.float64)

    def _codes(self, size: int, count: int) -> Any:
        width = _CODE_BITS[size] if size <= _TABLE_OF_AMOUNTS else 8
        content = np.frombuffer(self.raw((count * width + 7) // 8), dtype=np.uint8)
        bits = np.unpackbits(content)[-count * width :].reshape(count, width)
        return np.packbits(bits, axis=1)[:, 0] >> (8 - width)

    def sparse(self, count: int) -> FloatArray:
        """Shape (count,): doubles."""
        width = (count + 7) // 8
        low, high = (np.unpackbits(np.frombuffer(self.raw(width), dtype=np.uint8), count=count) for _ in range(2))
        codes = low | high << 1
        values = np.where(codes == 0, np.nan, 0.0)
        values[codes == 2] = np.frombuffer(self.raw(int((codes == 2).sum())), dtype=np.uint8)  # noqa: PLR2004 - codes
        values[codes == 3] = np.frombuffer(self.raw(8 * int((codes == 3).sum())), dtype="<f8")  # noqa: PLR2004 - codes
        return values


def _unpacked(packed: str) -> bytes:
    """The bytes that `Packer.packed` wrote."""
    digits = _DIGIT_OF[np.frombuffer(packed.encode("ascii"), dtype=np.uint8)].astype(np.uint64)
    count, rest = divmod(len(digits), 5)
    if rest or (digits > 84).any():  # noqa: PLR2004 - the last digit
        raise ValueError
    above, middle, last = digits[: 2 * count], digits[2 * count : 4 * count], digits[4 * count :]
    pairs = (above[::2] * 85 + above[1::2]) * 7_225 + middle[::2] * 85 + middle[1::2]
    content = (pairs * 85 + last).astype("<u4").tobytes().rstrip(b"\0")
    if not content.endswith(_END):
        raise ValueError
    return content.removesuffix(_END)


def _unfolded(number: int) -> int:
    return number >> 1 if number % 2 == 0 else -(number + 1 >> 1)


def _is_negative(value: float) -> bool:
    return str(value)[0] == "-"
