"""Numbers of a readout in words: one way of writing them for verdicts, the command line and the console."""

from math import log10

from features.catalogue.building.money import to_minor
from features.reports.readouts import ReadoutUnit

MINUS = "\N{MINUS SIGN}"
SPACE = "\N{NO-BREAK SPACE}"


def format_value(value: float, unit: ReadoutUnit, currency: str | None = None) -> str:
    """A mean or a difference with its unit.

    Example:
        >>> format_value(1042.0, ReadoutUnit.MONEY_MINOR, "EUR").replace(SPACE, " ")
        '10.42 EUR'
        >>> format_value(0.1831, ReadoutUnit.RATE).replace(SPACE, " ")
        '18.3 %'
    """
    if unit is ReadoutUnit.MONEY_MINOR:
        amount = format_number(value * display_scale(unit, currency), _money_places(currency))
        return f"{amount}{SPACE}{currency or ''}".strip()
    if unit is ReadoutUnit.RATE:
        return f"{format_number(100 * value, _places(100 * value))}{SPACE}%"
    return format_number(value, _places(value))


def format_difference(value: float, unit: ReadoutUnit, currency: str | None = None, *, signed: bool = True) -> str:
    """A difference of two means; between rates in percentage points.

    Example:
        >>> format_difference(-0.0082, ReadoutUnit.RATE).replace(SPACE, " ").replace(MINUS, "-")
        '-0.82 points'
    """
    sign = "+" if signed and value > 0 else ""
    if unit is ReadoutUnit.RATE:
        return f"{sign}{format_number(100 * value, _places(100 * value))}{SPACE}points"
    return sign + format_value(value, unit, currency)


def format_bounds(lower: float, upper: float, unit: ReadoutUnit, currency: str | None = None) -> tuple[str, str]:
    """Both ends of an interval with equal precision, without their unit.

    Example:
        >>> format_bounds(-0.0124, 0.0006, ReadoutUnit.RATE)[1]
        '0.06'
    """
    scale = display_scale(unit, currency)
    places = _interval_places(max(abs(lower), abs(upper)) * scale)
    if unit is ReadoutUnit.MONEY_MINOR:
        places = _money_places(currency)
    return format_number(lower * scale, places), format_number(upper * scale, places)


def format_interval(lower: float, upper: float, unit: ReadoutUnit, currency: str | None = None) -> str:
    """An interval, without its unit."""
    return " to ".join(format_bounds(lower, upper, unit, currency))


def display_scale(unit: ReadoutUnit, currency: str | None = None) -> float:
    """What a stored number is multiplied with to show it: minor units as major ones, shares as per cent."""
    if unit is ReadoutUnit.MONEY_MINOR:
        return 1 / _minor_per_major(currency)
    return 100.0 if unit is ReadoutUnit.RATE else 1.0


def format_percent(value: float) -> str:
    """A signed share as a percentage: 0.1 is `+10.0 %`."""
    return f"{'+' if value > 0 else ''}{format_number(100 * value, 1)}{SPACE}%"


def format_p(value: float) -> str:
    """A p-value: four places where it is small, never a bare zero.

    Example:
        >>> format_p(0.00861), format_p(1e-9), format_p(0.2341)
        ('0.0086', '< 0.0001', '0.234')
    """
    if value < 0.0001:  # noqa: PLR2004 - the smallest number that four places show
        return "< 0.0001"
    return f"{value:.4f}" if value < 0.01 else f"{value:.3f}"  # noqa: PLR2004 - fewer places would hide a warning


def format_number(value: float, places: int = 0) -> str:
    """A number with thousands marked and a true minus sign.

    Example:
        >>> format_number(-12345.678, 1).replace(MINUS, "-")
        '-12,345.7'
    """
    text = f"{abs(value):,.{places}f}"
    is_negative = value < 0 and any(digit in "123456789" for digit in text)
    return MINUS + text if is_negative else text


def _minor_per_major(currency: str | None) -> float:
    return to_minor(1, currency or "")


def _money_places(currency: str | None) -> int:
    return round(log10(_minor_per_major(currency)))


def _interval_places(size: float) -> int:
    return 0 if size >= 1000 else max(_places(size), 2)  # noqa: PLR2004 - an end near zero keeps its sign


def _places(value: float) -> int:
    """Three digits that count, so that a small difference never reads as 0.0."""
    size = abs(value)
    limits = ((1000.0, 0), (10.0, 1), (0.1, 2), (0.01, 3))
    if size == 0:
        return 0
    return next((places for limit, places in limits if size >= limit), 4)
