"""Is a text certainly English? A cautious test on frequent short words; an uncertain text is not English.

A lexicon of moods reads German "die" as death. So a text is read only where it is surely in the lexicon's language:
at least two different small words that English alone has, enough of them for the length of the text, hardly any of
another language's, and hardly any letter that English does not write.
"""

import re

from features.listening.keyboard import as_keyboards_type

UNKNOWN = "unknown"
ENGLISH = "en"

_WORDS = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")
_TAG = re.compile(r"([A-Za-z]{2,3})([-_][A-Za-z0-9]{1,8})*")

_ENGLISH_WORDS = """
    the and of with this that these those which what who when where why how because although while if then than
    it its it's i've i'm i'd i'll we've we're they've they're you're he's she's that's there's what's
    my your his our their yours myself yourself ourselves
    we they them she you are were be been being have has had having does did doing done would could
    should might must shall ours theirs
    don't didn't doesn't wasn't weren't isn't aren't won't wouldn't couldn't can't cannot hasn't haven't hadn't
    not never nobody nothing anyone anything everyone everything someone something
    about after again against before by off out below between during from into through until upon within without
    there here very really too also only yet already ever every each both few more most other another
    which whose whom got get getting give
"""
_OTHER_WORDS = """
    der das und ist nicht ich wir ihr sie ein eine einen einem einer mit von auf für dem den des zu zum zur auch aber
    war waren hat haben wurde wird sind bei nach wie oder wenn kein keine mein meine sehr noch nur schon uns mir mich
    le les un une des du et est pas je nous vous ils elle elles mon ma mes dans pour avec sur qui que très mais
    était ont été ce cette ces au aux ne plus tout bien c'est j'ai n'est
    el los las una unos y es muy pero con por para como más está fue han había mi mis su sus del al lo se
    il lo gli uno di che è non per con sono molto ma della del nel nella ho hanno questo questa anche era mio mia
    het een van niet ik wij zij hij mijn onze maar voor met naar zijn werd heeft hebben ook nog geen wel dat deze
    o os as um uma não eu nós muito mas com para por foi são está meu minha também do da dos das na em
    og jeg ikke det er på til av med som vi var har en et å å men og så mycket inte och jag är att för den
    i że nie się na jest to z w po ale bardzo był była mój moja dla
    hai nahi nahin ka ki ke mein aur bahut tha thi kya kar hum aap yeh woh mera meri
    ve bir bu çok için değil ama benim ile da de
    die ons nie wat sy ek het
    dan yang di tidak saya ini itu untuk
"""
_AMBIGUOUS = "i to no as do the so in an am me on men met per plus hat war era die hum al dan"
_ENGLISH = frozenset(_ENGLISH_WORDS.split())
_OTHERS = frozenset(_OTHER_WORDS.split()) - frozenset(_AMBIGUOUS.split())

_LEAST_WORDS = 2
_LEAST_SHARE = 0.15
_FOREIGN_SHARE = 0.2
_MOST_OTHER_LETTERS = 0.03


def language_of(text: str, given: object = None) -> str:
    """The language of a text: that of a given BCP 47 tag, `en` where it is surely English, else `unknown`.

    Example:
        >>> language_of("The crew was friendly, but my bag did not arrive.")
        'en'
        >>> language_of("Die Crew war nett, aber mein Koffer kam nicht an."), language_of("Super!!!")
        ('unknown', 'unknown')
        >>> language_of("Super!!!", "en-GB")
        'en'
    """
    if isinstance(given, str) and (tag := _TAG.fullmatch(given.strip())):
        return tag[1].lower()
    return ENGLISH if is_surely_english(text) else UNKNOWN


def is_surely_english(text: str) -> bool:
    """True only where enough speaks for English and hardly anything against it."""
    words = [word.lower() for word in _WORDS.findall(as_keyboards_type(text))]
    letters = [letter for letter in text if letter.isalpha()]
    if not words or sum(not letter.isascii() for letter in letters) > _MOST_OTHER_LETTERS * len(letters):
        return False
    english = [word for word in words if word in _ENGLISH]
    others = sum(word in _OTHERS for word in words)
    return (
        len(set(english)) >= _LEAST_WORDS
        and len(english) >= _LEAST_SHARE * len(words)
        and others <= _FOREIGN_SHARE * len(english)
    )
