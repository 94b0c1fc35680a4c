"""What a cell of text says: nothing, or a number, as spreadsheets, databases and frames write them."""

import polars as pl

MISSING_WORDS = ("", r"\N", "NULL", "null", "NA", "N/A", "#N/A", "n/a", "<NA>", "NaN", "nan")
"""What exports write where they have no value, in any column."""

MISSING_NUMBER_WORDS = (*MISSING_WORDS, "None", "none", "na", "NAN", "NaT", "-", "#NUM!", "#VALUE!", "#DIV/0!")
"""The same in columns of numbers, times and flags, which can hold no such word of their own."""

WHOLE_WITHIN = 1e-6
"""How far a whole number may lie off by the arithmetic of floats: 18360.000000000002 is 18360."""

_TRUE, _FALSE = ("true", "1", "1.0", "yes", "t", "y"), ("false", "0", "0.0", "no", "f", "n")
_SIGN = r"^[+-]?"
_PLAIN = _SIGN + r"(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$"
_POINT_THOUSANDS = _SIGN + r"[1-9]\d{0,2}((\.\d{3})+,\d+|(\.\d{3}){2,})$"
_COMMA_THOUSANDS = _SIGN + r"[1-9]\d{0,2}((,\d{3})+\.\d+|(,\d{3}){2,})$"
_COMMA_DECIMAL = _SIGN + r"\d*,\d+([eE][+-]?\d+)?$"
_EITHER_POINT = _SIGN + r"[1-9]\d{0,2}\.\d{3}$"
_EITHER_COMMA = _SIGN + r"[1-9]\d{0,2},\d{3}$"
_SPACED = _SIGN + r"[1-9]\d{0,2}([ '\u2019\u00a0\u202f]\d{3})+([.,]\d+)?$"
_SPACES = r"[ '\u2019\u00a0\u202f]"


def without_missing(text: pl.Expr, *, is_number: bool) -> pl.Expr:
    """Text with null where the cell says that there is no value; more words say so where it must be a number."""
    words = MISSING_NUMBER_WORDS if is_number else MISSING_WORDS
    return pl.when(~text.str.strip_chars().is_in(words)).then(text)


def numbers(text: pl.Series, *, delimiter: str = ",") -> pl.Series:
    """Cells as Float64; null where there is no value, and where none can be read without a guess.

    A number has a decimal point or a decimal comma, thousands in groups of three, or an exponent. `1.234` and `1,234`
    may be either: then what the column holds besides decides, and where it holds neither form or both, the point is a
    decimal point in a file with another delimiter than semicolons, and the rest is left null.

    Args:
        text: Cells, shape (n,).
        delimiter: Of the file.

    Example:
        >>> numbers(pl.Series(["4990.0", "1.234,50", "9E7", "NA", "49,90"])).to_list()
        [4990.0, 1234.5, 90000000.0, None, 49.9]
        >>> numbers(pl.Series(["1,234", "7,5"])).to_list(), numbers(pl.Series(["1,234"])).to_list()
        ([1.234, 7.5], [None])
    """
    cell = without_missing(pl.col("cell").str.strip_chars(), is_number=True).str.replace("\u2212", "-", literal=True)
    grouped = pl.when(cell.str.contains(_SPACED)).then(cell.str.replace_all(_SPACES, "")).otherwise(cell)
    frame = text.alias("cell").to_frame().select(grouped.alias("cell"))
    by_comma, by_point = _marks(frame["cell"])
    points, commas = _readings(by_comma=by_comma, by_point=by_point, delimiter=delimiter)
    value = (
        pl.when(_is(_EITHER_POINT)).then(points)
        .when(_is(_EITHER_COMMA)).then(commas)
        .when(_is(_POINT_THOUSANDS) | _is(_COMMA_DECIMAL)).then(_with_comma())
        .when(_is(_COMMA_THOUSANDS)).then(_with_point())
        .when(_is(_PLAIN)).then(pl.col("cell"))
    )  # fmt: skip
    read = frame.select(value.cast(pl.Float64, strict=False)).to_series()
    return (
        read.to_frame("value").select(pl.when(pl.col("value").is_finite()).then("value")).to_series().alias(text.name)
    )


def unread(text: pl.Series, values: pl.Series) -> pl.Series:
    """Places, from 0, of cells that hold something and gave no number.

    Example:
        >>> cells = pl.Series(["1", "NA", "much"])
        >>> unread(cells, numbers(cells)).to_list()
        [2]
    """
    given = text.to_frame("cell").select(without_missing(pl.col("cell"), is_number=True).is_not_null()).to_series()
    return (given & values.is_null()).arg_true()


def whole(value: pl.Expr) -> pl.Expr:
    """Floats as Int64; null where one is no whole number, but for the arithmetic of floats."""
    nearest = value.round()
    is_whole = (value - nearest).abs() <= WHOLE_WITHIN
    return pl.when(is_whole & (nearest.abs() < 2**63)).then(nearest.cast(pl.Int64, strict=False))


def flags(text: pl.Expr) -> pl.Expr:
    """Cells as true or false; null where they are neither."""
    word = text.str.strip_chars().str.to_lowercase()
    return pl.when(word.is_in(_TRUE)).then(True).when(word.is_in(_FALSE)).then(False)  # noqa: FBT003


def _is(pattern: str) -> pl.Expr:
    return pl.col("cell").str.contains(pattern)


def _with_comma() -> pl.Expr:
    """The comma is the decimal mark, points group thousands."""
    return pl.col("cell").str.replace_all(".", "", literal=True).str.replace(",", ".", literal=True)


def _with_point() -> pl.Expr:
    """The point is the decimal mark, commas group thousands."""
    return pl.col("cell").str.replace_all(",", "", literal=True)


def _marks(cells: pl.Series) -> tuple[bool, bool]:
    """Whether some cell can only have a decimal comma, and whether some cell can only have a decimal point."""
    comma = (_is(_POINT_THOUSANDS) | _is(_COMMA_DECIMAL)) & ~_is(_EITHER_COMMA)
    point = (_is(_COMMA_THOUSANDS) | (_is(_PLAIN) & _is(r"\."))) & ~_is(_EITHER_POINT)
    found = cells.to_frame("cell").select(comma=comma.any(), point=point.any()).row(0)
    return bool(found[0]), bool(found[1])


def _readings(*, by_comma: bool, by_point: bool, delimiter: str) -> tuple[pl.Expr, pl.Expr]:
    """What `1.234` and `1,234` are in a column with these decimal marks."""
    nothing = pl.lit(None, dtype=pl.String)
    if by_comma and by_point:
        return nothing, nothing
    if by_comma:
        return _with_comma(), _with_comma()
    if by_point:
        return pl.col("cell"), _with_point()
    return (nothing if delimiter == ";" else pl.col("cell")), nothing
