"""Numbers as people write them: files, features and attributes hold whole numbers as floats, too."""

_DIGITS = 15
"""Significant digits that every float keeps; further ones are how the machine writes 0.1 + 0.2."""

_LONGEST_WHOLE = 1e18


def number_words(value: float) -> str:
    """A number in digits: whole ones without a point, others without the noise of binary fractions.

    Example:
        >>> number_words(3.0), number_words(0.1 + 0.2), number_words(1234567), number_words(1e20)
        ('3', '0.3', '1234567', '1e+20')
    """
    if abs(value) < _LONGEST_WHOLE and value == int(value):
        return str(int(value))
    return f"{value:.{_DIGITS}g}"
