"""Money of the files, in major units, as the core counts it: in minor units."""

from decimal import Decimal

_WITHOUT_CENTS = frozenset({"BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND"})
_WITH_MILLS = frozenset({"BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"})


def to_minor(amount: float, currency: str) -> float:
    """Minor units of an amount in major units.

    Example:
        >>> to_minor(1.15, "EUR"), to_minor(0.005, "EUR"), to_minor(300, "JPY")
        (115.0, 0.5, 300.0)
    """
    factor = 1 if currency in _WITHOUT_CENTS else 1000 if currency in _WITH_MILLS else 100
    return float(Decimal(repr(amount)) * factor)
