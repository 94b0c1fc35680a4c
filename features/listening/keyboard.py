"""What telephones type for what keyboards type: one form, before a text is read.

A reader of moods knows the apostrophe, the quotes and the dots of a keyboard. With the curly apostrophe that telephones
put in `wasn't`, it sees no negation, and a quote, an ellipsis or a dash hides the word beside it.
"""

import re
import unicodedata

_APOSTROPHES = "\u2019\u2018\u201b\u02bc\u02b9\u2032\u00b4\uff07\u02bb`"
_QUOTES = "\u201c\u201d\u201e\u201f\u00ab\u00bb\u2039\u203a\u201a\u2033\uff02\u300c\u300d"
_HYPHENS = "\u2010\u2011\u2012\ufe63\uff0d"
_PAUSES = "\u2013\u2014\u2015\u2212"
_UNSEEN = "\u00ad\u200c\u200d\u2060\ufeff\ufe0e\ufe0f\u200e\u200f"
_SPACES = "\u200b"
_ELLIPSES = "\u2026\u22ef"
_WIDE = {"\uff01": "!", "\uff1f": "?", "\uff0c": ",", "\u3002": ". ", "\uff0e": "."}

_FORMS = str.maketrans(
    dict.fromkeys(_APOSTROPHES, "'")
    | dict.fromkeys(_QUOTES, '"')
    | dict.fromkeys(_HYPHENS, "-")
    | dict.fromkeys(_PAUSES, " - ")
    | dict.fromkeys(_UNSEEN, "")
    | dict.fromkeys(_SPACES, " ")
    | dict.fromkeys(_ELLIPSES, "...")
    | _WIDE
)
_BETWEEN_LETTERS = re.compile(r"(?<=[^\W\d_\s]|[\"')])(\.{2,}|-{2,}|[,;!?]+|\.(?=[A-Z]))(?=[^\W\d_]|[\"'(])")
"""Marks that join two words where no space was typed; a single full stop only before a capital, for names of sites."""


def as_keyboards_type(text: str) -> str:
    r"""A text with the marks of a keyboard, and a space where marks stand between two words.

    Example:
        >>> as_keyboards_type("It wasn\u2019t \u201cgreat\u201d\u2026never again")
        'It wasn\'t "great"... never again'
    """
    return _BETWEEN_LETTERS.sub(r"\1 ", unicodedata.normalize("NFC", text).translate(_FORMS))
