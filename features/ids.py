"""Ids as tables with gaps write them: a frame turns a column of whole numbers with one gap into `17850.0`.

Such an id is the whole number, wherever it comes in, so that one customer does not become two. Any other id is taken
as it is written.
"""

import re

WHOLE_ID = r"^(0|[1-9][0-9]{0,14})\.0+$"
"""Up to fifteen digits, which a float holds exactly: a longer number may have been another one."""

_WHOLE_ID = re.compile(WHOLE_ID)


def whole_id(text: str) -> str:
    """The id that a text names.

    Example:
        >>> whole_id("17850.0"), whole_id("C-1.0")
        ('17850', 'C-1.0')
    """
    found = _WHOLE_ID.match(text)
    return found[1] if found else text
