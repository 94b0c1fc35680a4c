"""CSV files as people save them: accepted encodings and delimiters, and the errors for others."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from decisioning.errors import InvalidInputError
from features.tabular.csv_form import csv_form
from features.tabular.csv_rows import read_csv


def written(folder: Path, text: str, encoding: str = "utf-8") -> Path:
    path = folder / "table.csv"
    path.write_bytes(text.encode(encoding))
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_every_encoding_and_delimiter_gives_the_same_rows(tmp_path, encoding, delimiter, line_end) -> None:
    lines = [["name", "city"], ["Jürgen", "Köln"], [" Zoë ", ""], ["", ""]]
    text = line_end.join(delimiter.join(line) for line in lines) + line_end
    rows, form = read_csv(written(tmp_path, text, encoding))
    assert rows.rows() == [("Jürgen", "Köln"), ("Zoë", None)]
    assert form.delimiter == delimiter


def test_a_first_line_that_names_the_delimiter_is_not_a_row(tmp_path: Path) -> None:
    rows, _ = read_csv(written(tmp_path, "sep=;\nname;share\nAnn;0,5\n"))
    assert rows.rows() == [("Ann", "0,5")]


def test_a_quoted_value_may_hold_the_other_delimiters(tmp_path: Path) -> None:
    rows, _ = read_csv(written(tmp_path, 'name;note\nAnn;"a, b; c, d"\n'))
    assert rows.rows() == [("Ann", "a, b; c, d")]


def test_one_column_needs_no_delimiter(tmp_path: Path) -> None:
    assert read_csv(written(tmp_path, "customer_id\nC-1\n"))[0].rows() == [("C-1",)]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "got an empty file"),
        (b"\n\n", "got an empty file"),
        (b"a,b;c\n", "as many commas and semicolons"),
        (b"sep=x\na\n", "got sep=x"),
        (b"a,b\n\x00,1\n", "must be text, got the byte 0x00"),
        ("a,b\né,1\n".encode() + b"\xe9,1\n", "line 3 must be UTF-8 or Windows-1252, as the whole file, got byte 0xe9"),
        (b"a,b\n\x81,1\n", "line 2 must be UTF-8 or Windows-1252"),
        (b"a;b\n1;2\n1;2;3\n4\n", "row 2 must be 2 values between semicolons.*, got 3 values .and 1 more rows."),
        (b'a,b\n"x"y,2\n', "row 1 must be 2 values between commas, with closed quotes"),
        (b"a,a\n1,2\n", "name each column once"),
    ],
)
def test_an_ambiguity_is_reported_with_its_place(tmp_path: Path, content: bytes, words: str) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(content)
    with pytest.raises(InvalidInputError, match=words):
        read_csv(path)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInputError, match="must be readable"):
        csv_form(tmp_path / "none.csv")


plain = st.text(st.characters(codec="cp1252", exclude_categories=("C", "Z")), min_size=1, max_size=8)


@settings(max_examples=40, deadline=None)
@given(cells=st.lists(plain, min_size=1, max_size=5), delimiter=st.sampled_from([",", ";", "\t", "|"]))
def test_cells_with_any_characters_are_read_back_unchanged(tmp_path_factory, cells: list[str], delimiter: str) -> None:
    quoted = ('"' + cell.replace('"', '""') + '"' for cell in cells)
    text = f"row{delimiter}cell\n" + "".join(f"1{delimiter}{cell}\n" for cell in quoted)
    rows, _ = read_csv(written(tmp_path_factory.mktemp("csv"), text))
    assert rows["cell"].to_list() == cells
