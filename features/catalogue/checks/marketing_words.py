"""Does a text read like marketing? Words and patterns in six languages, with what was found.

Marketing that is declared as help would pass gates that protect people from it, so the check of a catalogue reads every
creative of the other classes. The reading is a lexicon, not a model: its answer can be read, disputed and corrected. A
strong sign (a percentage off, a discount code, a call to buy now) is enough; weak ones (a price, an offer, an upgrade)
must come together.
"""

import re
from dataclasses import dataclass

THRESHOLD = 2.0
"""Score from which a text reads like marketing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MarketingReading:
    """What was read in a text.

    Attributes:
        score: Sum of the weights of what was found; from `THRESHOLD` on it reads like marketing.
        words: What was found, in the order of the text, each once.
    """

    score: float
    words: tuple[str, ...]

    @property
    def is_marketing(self) -> bool:
        """Whether it reads like marketing."""
        return self.score >= THRESHOLD


_STRONG, _WEAK = 2.0, 1.0
_AMOUNT = r"(?:[€$£]\s?\d[\d.,]*|\d[\d.,]*\s?(?:€|\$|£|eur\b|euros?\b|usd\b|dollars?\b|pounds?\b|chf\b))"

# Per language: what is enough on its own, and what must come together. Case does not matter; words are whole.
_ENGLISH = (
    (
        r"\d+\s?(?:%|percent)\s?(?:off|discount|cheaper)",
        r"(?:save|get)\s(?:up to\s)?(?:\d+\s?(?:%|percent)|" + _AMOUNT + ")",
        _AMOUNT + r"\soff",
        r"(?:half|best|lowest)\s(?:price|off)",
        r"buy one,? get one|two for one|2 for 1|3 for 2",
        r"(?:discount|promo|promotion|coupon|voucher)\scode|(?:use|enter)\s(?:the\s)?code",
        r"(?<!your )(?<!the )(?:shop|buy|order|upgrade)\s(?:now|today)",
        r"(?:flash|summer|winter|clearance|spring|autumn)\ssale|on sale|sale ends|black friday|cyber monday",
        r"(?:special|exclusive|limited|great|hot)\s(?:offer|deal|discount)s?|limited[- ]time",
        r"while (?:stocks?|supplies) lasts?|new (?:arrivals|collection)",
    ),
    (
        r"deals?|sale|bargains?|discount(?:s|ed)?|coupons?|vouchers?|offers?|promotions?",
        r"upgrade|bonus points|free (?:shipping|delivery|gift|trial)|exclusive(?:ly)?",
        r"today only|only today|hurry|last chance|do(?:n't| not) miss|ends (?:soon|tonight|today|on sunday)",
        r"(?:only|just|from|now)\s(?:only\s|just\s)?" + _AMOUNT,
        r"save (?:money|more|big)|for less|treat yourself|why not (?:try|add)|you(?:'ll| will) love|recommend a friend",
        r"buy|shop now",
    ),
)
_GERMAN = (
    (
        r"\d+\s?(?:%|prozent)\s?(?:rabatt|nachlass|günstiger|billiger|sparen|auf alles)",
        r"(?:rabatt|gutschein|aktions|vorteils)-?code",
        r"(?:jetzt|heute|gleich)\s(?:\w+\s)?(?:kaufen|bestellen|shoppen|zugreifen|sichern|buchen|upgraden|sparen)",
        r"schnäppchen|sonderangebote?|schlussverkauf|ausverkauf|räumungsverkauf|rabattaktion|knallerpreise?",
        r"solange (?:der )?vorrat reicht|neue kollektion|zum halben preis",
    ),
    (
        r"angebote?n?|rabatte?|gutscheine?|aktion|günstiger?",
        r"nur (?:noch )?(?:heute|bis sonntag|für kurze zeit)|letzte chance|nicht verpassen|zugreifen",
        r"(?:nur|ab|statt|schon ab|für nur)\s" + _AMOUNT,
        r"gratis|sparen sie|exklusive?[nrs]?|gönnen sie sich|lieblingsstücke?|upgrade",
    ),
)
_FRENCH = (
    (
        r"\d+\s?%\s?(?:de (?:réduction|remise|rabais)|sur (?:tout|toute|votre|nos|la))",
        r"code (?:promo|promotionnel|réduction|avantage)",
        r"(?:achetez|commandez|profitez(?:-en)?|réservez)\s(?:vite|maintenant|dès maintenant|aujourd'hui)",
        r"soldes|ventes? (?:privées?|flash)|bon(?:ne)?s? (?:plan|affaire)s?|prix cassés?|nouvelle collection",
        r"offres? (?:spéciale|exclusive|limitée|flash)s?|jusqu'à épuisement des stocks|moitié prix",
    ),
    (
        r"réductions?|remises?|rabais|promos?|promotions?|offres?|profitez",
        r"dernière chance|derniers jours|plus que \d+ (?:jours?|heures?)|ne manquez pas",
        r"(?:seulement|à partir de|pour seulement|dès)\s" + _AMOUNT,
        r"gratuite?s?|offerte?s?|faites-vous plaisir|économisez|exclusi(?:f|ve)s?",
    ),
)
_SPANISH = (
    (
        r"\d+\s?%\s?de (?:descuento|dto)",
        r"código (?:promocional|de descuento)|cupón de descuento",
        r"(?<!tu )(?<!su )(?<!la )(?:compra|compre|pide|aprovecha|aproveche|reserva|llévatelo)\s(?:ya|ahora|hoy)",
        r"rebajas|chollos?|gangas?|ofertas? (?:especial|exclusiva|limitada|flash)(?:es|s)?",
        r"hasta agotar existencias|por tiempo limitado|2x1|3x2|a mitad de precio|nueva colección",
    ),
    (
        r"descuentos?|ofertas?|promociones|promoción|cupón|cupones",
        r"s[oó]lo hoy|última oportunidad|no te lo pierdas|últimos días",
        r"(?:s[oó]lo|desde|por s[oó]lo)\s" + _AMOUNT,
        r"gratis|ahorra|exclusiv[oa]s?|date un capricho",
    ),
)
_DUTCH = (
    (
        r"\d+\s?%\s?(?:korting|goedkoper)",
        r"kortingscode|actiecode|couponcode",
        r"(?:koop|bestel|shop|profiteer|boek|upgrade)\s(?:nu|vandaag|direct|snel)",
        r"uitverkoop|opruiming|koopjes?|zolang de voorraad strekt|op=op|nieuwe collectie|halve prijs",
        r"(?:exclusieve|speciale|tijdelijke) aanbieding(?:en)?|1\s?\+\s?1 gratis",
    ),
    (
        r"aanbieding(?:en)?|korting(?:en)?|actie|voordeel",
        r"alleen vandaag|laatste kans|mis het niet|laatste dagen",
        r"(?:slechts|voor maar|nu voor|vanaf|alleen)\s" + _AMOUNT,
        r"gratis|bespaar|exclusie(?:f|ve)|verwen jezelf",
    ),
)
_ITALIAN = (
    (
        r"\d+\s?%\s?di sconto|sconto del \d+\s?%|sconti fino al \d+",
        r"codice (?:sconto|promo|promozionale)",
        r"(?:acquista|compra|ordina|approfittane|approfitta|prenota)\s(?:ora|subito|oggi|adesso)",
        r"saldi|offert[ae] (?:special[ei]|esclusiv[ae]|limitat[ae]|lampo)|svendita|nuova collezione",
        r"fino a esaurimento scorte|prendi \d,? paghi \d|a metà prezzo",
    ),
    (
        r"sconti|sconto|scontat[oaie]|offert[ae]|promozion[ei]|buoni sconto",
        r"solo (?:per )?oggi|ultima occasione|ultimi giorni|non perder(?:e|ti)",
        r"(?:solo|a soli|a partire da|da soli)\s" + _AMOUNT,
        r"gratis|omaggio|risparmia|esclusiv[oaie]|regalati",
    ),
)


def _compiled() -> tuple[tuple[float, re.Pattern[str]], ...]:
    return tuple(
        (weight, re.compile(rf"(?<!\w)(?:{pattern})(?!\w)", re.IGNORECASE))
        for language in (_ENGLISH, _GERMAN, _FRENCH, _SPANISH, _DUTCH, _ITALIAN)
        for weight, patterns in zip((_STRONG, _WEAK), language, strict=True)
        for pattern in patterns
    )


_SIGNS = _compiled()


def read_text(text: str) -> MarketingReading:
    """Read a text for signs of marketing, whatever its language.

    Each sign counts once, and words that two signs share count by the stronger one only.

    Example:
        >>> read_text("20% off everything: shop now!").words
        ('20% off', 'shop now')
        >>> read_text("Your invoice over 20 EUR is due on Friday.").is_marketing
        False
    """
    plain = text.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    found: list[tuple[int, int, float]] = []
    for weight, sign in sorted(_SIGNS, key=lambda each: -each[0]):
        match = next((each for each in sign.finditer(plain) if not _is_taken(each, found)), None)
        if match is not None:
            found.append((match.start(), match.end(), weight))
    words = dict.fromkeys(" ".join(plain[start:end].split()).lower() for start, end, _ in sorted(found))
    return MarketingReading(score=sum(weight for *_, weight in found), words=tuple(words))


def _is_taken(match: re.Match[str], found: list[tuple[int, int, float]]) -> bool:
    return any(match.start() < end and start < match.end() for start, end, _ in found)
