"""How several rows of a unit become one."""

from enum import StrEnum


class Whole(StrEnum):
    """Added up, true where it is true in any row, or their mean."""

    SUM = "sum"
    ANY = "any"
    MEAN = "mean"
