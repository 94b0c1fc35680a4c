"""The explanation for a customer in every supported language: short, polite, without numbers or internal names.

A new language is one more `CustomerTexts` in `CUSTOMER_TEXTS`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from decisioning.decision import Exclusion, Reason
from decisioning.explanation.data_used import DataCategory
from decisioning.explanation.spoken_names import spoken


@dataclass(frozen=True, slots=True, kw_only=True)
class CustomerTexts:
    """Sentences of one language; `{...}` is filled in.

    Attributes:
        sent: One offer was chosen: `offer`, `channel`.
        sent_slate: Several were: `offers`.
        held: None was.
        why_sent: Why this one, by reason.
        why_held: Why none, by reason.
        others: Why other messages were left out: `reasons`.
        excluded: Part of a sentence by gate; gates that say nothing about the customer are not there.
        data: What was looked at: `categories`.
        not_profiled: In place of behaviour, where the customer does not want to be profiled.
        nothing_known: Where there is no data.
        category: Name of a kind of data.
        rights: What they can do.
        object_to_profiling: The same, where it is not done yet.
        joined: Before the last of several things.
        channels: Names of channels in this language, by id with underscores; others are named by their id.
    """

    sent: str
    sent_slate: str
    held: str
    why_sent: Mapping[Reason, str]
    why_held: Mapping[Reason, str]
    others: str
    excluded: Mapping[Exclusion, str]
    automatic: str
    data: str
    not_profiled: str
    nothing_known: str
    category: Mapping[DataCategory, str]
    rights: str
    object_to_profiling: str
    joined: str
    channels: Mapping[str, str]


_BY_RULES = "It was chosen by fixed rules that are the same for everybody."
_TECHNICAL = "For technical reasons we could not check everything that has to be checked, and then we send nothing."
_GROUP = (
    "You belong to a small group, drawn by lot, that gets none of these messages for a while, "
    "so that we can learn whether they are of any use."
)
_CASE = "There is an open or recent matter between us, and helping you comes before advertising."
_LEARNING = "Now and then we choose by lot among suitable messages, to learn which of them are useful; so it was here."

ENGLISH = CustomerTexts(
    sent="We chose the offer “{offer}” for you, by {channel}.",
    sent_slate="We chose these offers for you: {offers}.",
    held="We decided not to send you a message this time.",
    why_sent={
        Reason.MODEL: "Of the messages that were suitable, it is the one that we expected to work best, judging by how "
        "people in a similar situation answered to similar messages.",
        Reason.ALLOCATED: "It is part of a plan that looks for a suitable message for everybody "
        "within what we can send.",
        Reason.EXPLORED: _LEARNING,
        Reason.COLD_START: _LEARNING,
        Reason.EXPERIMENT: _LEARNING,
        Reason.RULES: _BY_RULES,
        Reason.NOT_PROFILED: _BY_RULES,
        Reason.PRECEDENCE: "It is of a kind that goes before advertising, such as help or information that you need.",
    },
    why_held={
        Reason.SILENCE_BEST: "No message seemed useful enough to you at that moment.",
        Reason.KEPT_FOR_LATER: "We write to you seldom, and kept that for a moment when it is of more use to you.",
        Reason.BETTER_HOUR: "There is a better hour to write to you, and we chose to wait for it.",
        Reason.ALLOCATED: "No message seemed useful enough to you at that moment.",
        Reason.RULES: "No message seemed useful enough to you at that moment.",
        Reason.NOT_PROFILED: "No message seemed useful enough at that moment.",
        Reason.EXPLORED: _LEARNING,
        Reason.COLD_START: _LEARNING,
        Reason.NOTHING_PERMITTED: "No message was allowed and suitable.",
        Reason.HOLDOUT: _GROUP,
        Reason.PROGRAMME_HOLDOUT: _GROUP,
        Reason.EXPERIMENT: _GROUP,
        Reason.CARE: _CASE,
        Reason.DEFERRED: "It was not a good time to disturb you.",
        Reason.UNKNOWN_CUSTOMER: "We know nothing about you that would allow us to write to you.",
        Reason.CONTENDED: _TECHNICAL,
        Reason.DEGRADED: _TECHNICAL,
    },
    others="Some messages were left out because {reasons}.",
    excluded={
        Exclusion.NOT_REACHABLE: "we have no address for the channel",
        Exclusion.NO_CONSENT: "you have not agreed to them",
        Exclusion.UNSUBSCRIBED: "you have unsubscribed from the channel",
        Exclusion.NOT_YET_VALID: "the offer had not started",
        Exclusion.EXPIRED: "the offer had ended",
        Exclusion.WRONG_STAGE: "the offer is for customers in another situation",
        Exclusion.OTHER_PURPOSE: "the channel is there for other things in your situation",
        Exclusion.NOT_ELIGIBLE: "the conditions of the offer were not met",
        Exclusion.NOT_APPLICABLE: "they made no sense at that moment",
        Exclusion.NOT_SUITABLE: "they would not have suited you",
        Exclusion.PROTECTED: "we protect you from them",
        Exclusion.INCOMPATIBLE: "they do not go together with another offer",
        Exclusion.CASE_OPEN: "helping you comes first",
        Exclusion.CASE_COOLING_DOWN: "a matter between us was settled only recently",
        Exclusion.CAP_REACHED: "you have had enough messages from us lately",
        Exclusion.PRESSURE_REACHED: "you have had enough messages from us lately",
        Exclusion.ROOM_KEPT: "a more important message is due",
        Exclusion.SUPPRESSED: "of how you answered to similar ones",
        Exclusion.ALREADY_SEEN: "you have seen them already",
        Exclusion.ALREADY_KNOWN: "you have told us already what they ask",
        Exclusion.NOTHING_TO_FOLLOW: "they carry on what you have not seen",
        Exclusion.QUIET_HOURS: "it was not a good time to disturb you",
        Exclusion.CAPACITY_FULL: "no more places were free",
        Exclusion.BUDGET_SPENT: "no more of them were available",
    },
    automatic="The choice was made automatically, by a computer program.",
    data="These data mattered: {categories}.",
    not_profiled="Your behaviour was not looked at, since you do not want to be profiled.",
    nothing_known="No data about you mattered.",
    category={
        DataCategory.CONSENTS: "what you agreed to",
        DataCategory.CHANNELS: "on which channels you can be reached",
        DataCategory.DETAILS: "what we know about you as a customer",
        DataCategory.PLACE: "your region and time zone",
        DataCategory.PURCHASES: "your purchases",
        DataCategory.VISITS: "your visits",
        DataCategory.SERVICE: "your concerns, deliveries, returns and reviews",
        DataCategory.OTHER_USE: "how you use our services",
        DataCategory.CONTACTS: "our earlier messages and how you answered to them",
        DataCategory.HOUSEHOLD: "messages to your household",
        DataCategory.SITUATION: "the moment in which the choice was made",
    },
    rights="You can give or withdraw your consent at any time, ask to see, correct or delete your data, ask a person "
    "to look at this choice and tell us your view of it, and complain to us or to the data protection authority.",
    object_to_profiling="You can also object to advertising, or to being profiled for it: then your behaviour will no "
    "longer be looked at.",
    joined="and",
    channels={
        "email": "e-mail",
        "push": "app notification",
        "sms": "text message",
        "call": "telephone",
        "call_centre": "telephone",
        "direct_mail": "letter",
        "mail": "letter",
        "desk": "the service desk",
        "web": "our website",
        "app": "our app",
    },
)

_NACH_REGELN = "Sie folgt festen Regeln, die für alle gleich sind."
_TECHNISCH = "Aus technischen Gründen konnten wir nicht alles prüfen, was zu prüfen ist; dann senden wir nichts."
_GRUPPE = (
    "Sie gehören zu einer kleinen, ausgelosten Gruppe, die eine Zeit lang keine dieser Nachrichten bekommt, "
    "damit wir lernen, ob sie überhaupt nützen."
)
_ANLIEGEN = "Es gibt ein offenes oder gerade gelöstes Anliegen, und Hilfe geht vor Werbung."
_LERNEN = (
    "Hin und wieder wählen wir durch das Los unter passenden Nachrichten, um zu lernen, welche davon nützen; "
    "so war es hier."
)
_AUFGEHOBEN = "Wir schreiben Ihnen selten und warten auf einen Augenblick, in dem es Ihnen mehr nützt."
_NICHT_NUETZLICH = "Keine Nachricht schien Ihnen in diesem Augenblick genug zu nützen."

GERMAN = CustomerTexts(
    sent="Wir haben das Angebot „{offer}“ für Sie ausgewählt ({channel}).",
    sent_slate="Wir haben diese Angebote für Sie ausgewählt: {offers}.",
    held="Wir haben entschieden, Ihnen dieses Mal keine Nachricht zu senden.",
    why_sent={
        Reason.MODEL: "Unter den passenden Nachrichten ist es diejenige, von der wir uns am meisten versprachen, "
        "gemessen daran, wie Menschen in ähnlicher Lage auf ähnliche Nachrichten geantwortet haben.",
        Reason.ALLOCATED: "Die Wahl ist Teil eines Plans, der im Rahmen unserer Möglichkeiten für alle eine passende "
        "Nachricht sucht.",
        Reason.EXPLORED: _LERNEN,
        Reason.COLD_START: _LERNEN,
        Reason.EXPERIMENT: _LERNEN,
        Reason.RULES: f"Die Wahl war keine Vorhersage. {_NACH_REGELN}",
        Reason.NOT_PROFILED: f"Die Wahl war keine Vorhersage. {_NACH_REGELN}",
        Reason.PRECEDENCE: "Sie ist von einer Art, die vor Werbung geht, etwa Hilfe oder eine nötige Auskunft.",
    },
    why_held={
        Reason.SILENCE_BEST: _NICHT_NUETZLICH,
        Reason.KEPT_FOR_LATER: _AUFGEHOBEN,
        Reason.BETTER_HOUR: "Es gibt eine bessere Stunde, Ihnen zu schreiben, und die warten wir ab.",
        Reason.ALLOCATED: _NICHT_NUETZLICH,
        Reason.RULES: _NICHT_NUETZLICH,
        Reason.NOT_PROFILED: _NICHT_NUETZLICH,
        Reason.EXPLORED: _LERNEN,
        Reason.COLD_START: _LERNEN,
        Reason.NOTHING_PERMITTED: "Keine Nachricht war erlaubt und passend.",
        Reason.HOLDOUT: _GRUPPE,
        Reason.PROGRAMME_HOLDOUT: _GRUPPE,
        Reason.EXPERIMENT: _GRUPPE,
        Reason.CARE: _ANLIEGEN,
        Reason.DEFERRED: "Es war kein guter Zeitpunkt, Sie zu stören.",
        Reason.UNKNOWN_CUSTOMER: "Wir wissen nichts über Sie, das uns erlauben würde, Ihnen zu schreiben.",
        Reason.CONTENDED: _TECHNISCH,
        Reason.DEGRADED: _TECHNISCH,
    },
    others="Manche Nachrichten schieden aus, weil {reasons}.",
    excluded={
        Exclusion.NOT_REACHABLE: "wir keine Adresse für den Weg haben",
        Exclusion.NO_CONSENT: "Sie ihnen nicht zugestimmt haben",
        Exclusion.UNSUBSCRIBED: "Sie sich von dem Weg abgemeldet haben",
        Exclusion.NOT_YET_VALID: "das Angebot noch nicht begonnen hatte",
        Exclusion.EXPIRED: "das Angebot beendet war",
        Exclusion.WRONG_STAGE: "das Angebot für Kunden in einer anderen Lage ist",
        Exclusion.OTHER_PURPOSE: "der Weg in Ihrer Lage für anderes da ist",
        Exclusion.NOT_ELIGIBLE: "die Bedingungen des Angebots nicht erfüllt waren",
        Exclusion.NOT_APPLICABLE: "sie in diesem Augenblick keinen Sinn ergaben",
        Exclusion.NOT_SUITABLE: "sie nicht zu Ihnen gepasst hätten",
        Exclusion.PROTECTED: "wir Sie davor schützen",
        Exclusion.INCOMPATIBLE: "sie nicht zu einem anderen Angebot passen",
        Exclusion.CASE_OPEN: "Hilfe für Sie vorgeht",
        Exclusion.CASE_COOLING_DOWN: "ein Anliegen erst vor Kurzem gelöst wurde",
        Exclusion.CAP_REACHED: "Sie zuletzt genug Nachrichten von uns hatten",
        Exclusion.PRESSURE_REACHED: "Sie zuletzt genug Nachrichten von uns hatten",
        Exclusion.ROOM_KEPT: "eine wichtigere Nachricht ansteht",
        Exclusion.SUPPRESSED: "Sie auf ähnliche so geantwortet haben",
        Exclusion.ALREADY_SEEN: "Sie sie schon gesehen haben",
        Exclusion.ALREADY_KNOWN: "Sie uns schon gesagt haben, wonach sie fragen",
        Exclusion.NOTHING_TO_FOLLOW: "sie fortsetzen, was Sie nicht gesehen haben",
        Exclusion.QUIET_HOURS: "es kein guter Zeitpunkt war, Sie zu stören",
        Exclusion.CAPACITY_FULL: "keine Plätze mehr frei waren",
        Exclusion.BUDGET_SPENT: "keine mehr verfügbar waren",
    },
    automatic="Die Wahl traf ein Computerprogramm, ohne dass ein Mensch mitwirkte.",
    data="Diese Daten spielten eine Rolle: {categories}.",
    not_profiled="Ihr Verhalten wurde nicht betrachtet, da Sie kein Profil wünschen.",
    nothing_known="Keine Daten über Sie spielten eine Rolle.",
    category={
        DataCategory.CONSENTS: "Ihre Einwilligungen",
        DataCategory.CHANNELS: "auf welchen Wegen Sie erreichbar sind",
        DataCategory.DETAILS: "was wir über Sie als Kunden wissen",
        DataCategory.PLACE: "Ihre Region und Zeitzone",
        DataCategory.PURCHASES: "Ihre Einkäufe",
        DataCategory.VISITS: "Ihre Besuche",
        DataCategory.SERVICE: "Ihre Anliegen, Lieferungen, Rückgaben und Bewertungen",
        DataCategory.OTHER_USE: "wie Sie unsere Dienste nutzen",
        DataCategory.CONTACTS: "unsere früheren Nachrichten und Ihre Antworten darauf",
        DataCategory.HOUSEHOLD: "Nachrichten an Ihren Haushalt",
        DataCategory.SITUATION: "der Augenblick, in dem gewählt wurde",
    },
    rights="Sie können Einwilligungen jederzeit geben und widerrufen, Ihre Daten einsehen, berichtigen oder löschen "
    "lassen, verlangen, dass ein Mensch diese Wahl prüft, uns Ihre Sicht mitteilen und sich bei uns oder bei der "
    "Datenschutzaufsicht beschweren.",
    object_to_profiling="Sie können auch der Werbung widersprechen, oder nur der Nutzung eines Profils dafür: dann "
    "wird Ihr Verhalten nicht mehr betrachtet.",
    joined="und",
    channels={
        "email": "E-Mail",
        "push": "App-Mitteilung",
        "sms": "SMS",
        "call": "Telefon",
        "call_centre": "Telefon",
        "direct_mail": "Brief",
        "mail": "Brief",
        "desk": "Serviceschalter",
        "web": "unsere Website",
        "app": "unsere App",
    },
)

CUSTOMER_TEXTS = {"en": ENGLISH, "de": GERMAN}

LANGUAGES = tuple(CUSTOMER_TEXTS)
"""Languages of customers' explanations; any other locale gets the first."""


def language_of(locale: str | None) -> str:
    """The language in which to tell somebody with a BCP 47 locale.

    Example:
        >>> language_of("de-AT"), language_of("fr"), language_of(None)
        ('de', 'en', 'en')
    """
    primary = (locale or "").replace("_", "-").split("-")[0].lower()
    return primary if primary in CUSTOMER_TEXTS else LANGUAGES[0]


def spoken_channel(channel_id: str, language: str = "en") -> str:
    """A channel as people say it.

    Example:
        >>> spoken_channel("direct-mail", "de"), spoken_channel("town-crier")
        ('Brief', 'town crier')
    """
    known = CUSTOMER_TEXTS[language].channels.get(channel_id.replace("-", "_"))
    return spoken(channel_id) if known is None else known


"""By language, see `spoken_names.language_of`."""
