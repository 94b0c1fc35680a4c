"""How a CSV file is written: its encoding and its delimiter, taken where the file leaves no doubt."""

import codecs
import csv
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from decisioning.errors import InvalidInputError

DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
"""What may stand between the values of a row, and how it is called."""

WINDOWS = "cp1252"
"""What Excel writes in Western Europe where it does not write UTF-8."""

_BLOCK_BYTES = 1 << 20
_UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_BEYOND_ASCII = re.compile(rb"[\x80-\xff]")
_DECLARED = re.compile(r"^sep=(.)$", re.IGNORECASE)  # Excel writes and reads such a first line


@dataclass(frozen=True, slots=True, kw_only=True)
class CsvForm:
    """How a CSV file is written.

    Attributes:
        encoding: Name of the codec.
        delimiter: One of `DELIMITERS`.
        declares: Whether the first line only names the delimiter.
    """

    encoding: str
    delimiter: str
    declares: bool = False

    @property
    def separation(self) -> str:
        """What separates values, in words.

        Example:
            >>> CsvForm(encoding="utf-8-sig", delimiter=";").separation
            'semicolons'
        """
        return DELIMITERS[self.delimiter]

    @contextmanager
    def open(self, path: Path) -> Iterator[TextIO]:
        """The file as text, at its line of column names."""
        with _opened(path, self.encoding) as file:
            if self.declares:
                file.readline()
            yield file


def csv_form(path: Path) -> CsvForm:
    """Find out how a CSV file is written.

    UTF-8 (with or without its mark), UTF-16 with its mark, or Windows-1252; commas, semicolons, tabs or bars, whichever
    makes the most columns of the first line.

    Raises:
        InvalidInputError: The file is empty or no text, mixes encodings, or its first line fits two delimiters alike.
    """
    encoding = _encoding(path)
    with _opened(path, encoding) as file:
        first = file.readline().rstrip("\r\n")
    if declared := _DECLARED.match(first):
        return CsvForm(encoding=encoding, delimiter=_known(path, declared.group(1)), declares=True)
    if not first.strip():
        raise InvalidInputError(f"{path} must start with a line of column names, got an empty file")
    return CsvForm(encoding=encoding, delimiter=_delimiter(path, first))


def _opened(path: Path, encoding: str) -> TextIO:
    try:
        return path.open(encoding=encoding, newline="")
    except OSError as error:
        raise InvalidInputError(f"{path} must be readable, got {error.strerror}") from error


def _known(path: Path, delimiter: str) -> str:
    if delimiter not in DELIMITERS:
        raise InvalidInputError(
            f"{path} must separate values with {_names()}, got sep={delimiter}; save it with commas"
        )
    return delimiter


def _delimiter(path: Path, first: str) -> str:
    counts = {delimiter: len(next(csv.reader([first], delimiter=delimiter))) for delimiter in DELIMITERS}
    most = max(counts.values())
    found = [delimiter for delimiter, count in counts.items() if count == most]
    if most == 1 or len(found) == 1:
        return found[0]
    told = " and ".join(DELIMITERS[delimiter] for delimiter in found)
    raise InvalidInputError(
        f"{path} must separate values with one of {_names()}, got a first line with as many {told}; "
        "save it with one of them, and quote the values that hold the other"
    )


def _names() -> str:
    return ", ".join(DELIMITERS.values())


def _encoding(path: Path) -> str:
    """UTF-16 where its mark says so, UTF-8 where all bytes fit, else Windows-1252 where no byte tells against it."""
    try:
        with path.open("rb") as file:
            if file.read(2) in _UTF16_MARKS:
                return "utf-16"
        return "utf-8-sig" if _is_utf8(path) else _windows(path)
    except OSError as error:
        raise InvalidInputError(f"{path} must be readable, got {error.strerror}") from error


def _is_utf8(path: Path) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    with path.open("rb") as file:
        try:
            while block := file.read(_BLOCK_BYTES):
                _check_text(path, block)
                decoder.decode(block)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            return False
    return True


def _check_text(path: Path, block: bytes) -> None:
    if 0 in block:
        raise InvalidInputError(f"{path} must be text, got the byte 0x00; save it as CSV in UTF-8")


def _windows(path: Path) -> str:
    """Windows-1252, if nothing in the file can only be UTF-8: a file that is half of each would come out garbled.

    Raises:
        InvalidInputError: It is neither, or both; the message names the first line that tells.
    """
    odd: tuple[int, int] | None = None
    has_utf8 = False
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if not _BEYOND_ASCII.search(line):
                continue
            _check_text(path, line)
            try:
                line.decode("utf-8")
                has_utf8 = True
            except UnicodeDecodeError as error:
                odd = odd or (number, line[error.start])
                _check_windows(path, number, line)
    if odd is not None and has_utf8:
        raise InvalidInputError(_neither(path, *odd))
    return WINDOWS


def _check_windows(path: Path, number: int, line: bytes) -> None:
    try:
        line.decode(WINDOWS)
    except UnicodeDecodeError as error:
        raise InvalidInputError(_neither(path, number, line[error.start])) from error


def _neither(path: Path, number: int, byte: int) -> str:
    rule = "UTF-8 or Windows-1252, as the whole file"
    return f"{path} line {number} must be {rule}, got byte 0x{byte:02x}; save it as UTF-8"
