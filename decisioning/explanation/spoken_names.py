"""Readable names, made from catalogue names, since a record holds no others."""

_CHANNELS = {
    "email": {"en": "e-mail", "de": "E-Mail"},
    "push": {"en": "app notification", "de": "App-Mitteilung"},
    "sms": {"en": "text message", "de": "SMS"},
    "call": {"en": "telephone", "de": "Telefon"},
    "call_centre": {"en": "telephone", "de": "Telefon"},
    "direct_mail": {"en": "letter", "de": "Brief"},
    "mail": {"en": "letter", "de": "Brief"},
    "desk": {"en": "the service desk", "de": "Serviceschalter"},
    "web": {"en": "our website", "de": "unsere Website"},
    "app": {"en": "our app", "de": "unsere App"},
}

LANGUAGES = ("en", "de")
"""Languages of customers' explanations; any other locale gets the first."""


def language_of(locale: str | None) -> str:
    """The language in which to tell somebody with a BCP 47 locale.

    Example:
        >>> language_of("de-AT"), language_of("fr"), language_of(None)
        ('de', 'en', 'en')
    """
    primary = (locale or "").replace("_", "-").split("-")[0].lower()
    return primary if primary in LANGUAGES else LANGUAGES[0]


def spoken(name: str) -> str:
    """A name with its hyphens and underscores as spaces.

    Example:
        >>> spoken("free-coffee")
        'free coffee'
    """
    return name.replace("-", " ").replace("_", " ")


def spoken_channel(channel_id: str, language: str = "en") -> str:
    """A channel as people say it.

    Example:
        >>> spoken_channel("direct-mail", "de"), spoken_channel("town-crier")
        ('Brief', 'town crier')
    """
    known = _CHANNELS.get(channel_id.replace("-", "_"))
    return known[language] if known is not None else spoken(channel_id)
