"""What customers write: sentences of our own, most in English, some in German or French."""

from collections.abc import Mapping, Sequence

from decisioning.arrays import IntArray
from pipelines.simulation.world.chance import Cause
from pipelines.simulation.world.population import ZONES
from pipelines.simulation.world.week import WeekResult

LANGUAGES = ("en", "de", "fr")

TEXTS: Mapping[str, Mapping[str, Sequence[str]]] = {
    "review_well": {
        "en": (
            "Lovely flight, friendly crew, on time. We would fly again.",
            "Great value and a very smooth trip. Thank you.",
            "Boarding was quick, the staff were wonderful.",
            "A good flight. The seat was comfortable and the coffee was nice.",
        ),
        "de": ("Sehr angenehmer Flug, nettes Personal, alles pünktlich.", "Gern wieder, alles hat gut geklappt."),
        "fr": ("Vol très agréable, équipage charmant, à l'heure.", "Tout s'est bien passé, merci beaucoup."),
    },
    "review_late": {
        "en": (
            "The crew was kind. We arrived later than planned.",
            "A long wait at the gate, but the flight itself was fine.",
            "It took longer than we had hoped. The staff did their best.",
        ),
        "de": ("Wir kamen später an als geplant, das Personal war freundlich.",),
        "fr": ("Arrivée plus tard que prévu, mais l'équipage était aimable.",),
    },
    "post_bag": {
        "en": (
            "Landed, but my suitcase did not. Does anybody know where it is?",
            "My bag is lost and nobody at the desk could help. Very frustrating.",
            "Still waiting for my suitcase. This is awful.",
        ),
        "de": ("Mein Koffer ist nicht angekommen und niemand weiß etwas.",),
        "fr": ("Ma valise n'est pas arrivée et personne ne répond.",),
    },
    "post_cancelled": {
        "en": (
            "Flight cancelled at the last minute. Terrible evening at the airport.",
            "They cancelled our flight and we have no idea when we get home.",
        ),
        "de": ("Flug gestrichen, und wir sitzen fest.",),
        "fr": ("Vol annulé, nous sommes bloqués à l'aéroport.",),
    },
    "complaint": {
        "en": (
            "We arrived hours late and got no explanation. I am very disappointed.",
            "Three hours late, no food, no information. That was bad.",
        ),
        "de": ("Stundenlange Verspätung und keine Auskunft. Das war schlecht.",),
        "fr": ("Des heures de retard et aucune explication. C'est décevant.",),
    },
    "complaint_messages": {
        "en": ("Please stop sending me so much advertising.", "Too many messages, and none of them is for me."),
        "de": ("Bitte schicken Sie mir nicht so viel Werbung.",),
        "fr": ("Merci de ne plus m'envoyer autant de publicité.",),
    },
    "chasing": {
        "en": ("Customer asks again what happens with the case.", "Customer called once more and waits for an answer."),
        "de": ("Kunde fragt noch einmal nach.",),
        "fr": ("Le client demande des nouvelles de son dossier.",),
    },
    "survey_good": {
        "en": ("Very happy, thank you.", "All was well solved in the end.", "Great help."),
        "de": ("Sehr zufrieden, danke.",),
        "fr": ("Très satisfait, merci.",),
    },
    "survey_middling": {
        "en": ("It was fine.", "Okay, nothing special."),
        "de": ("War in Ordnung.",),
        "fr": ("Correct, sans plus.",),
    },
    "survey_bad": {
        "en": ("Not happy with this.", "I expected better."),
        "de": ("Damit bin ich nicht zufrieden.",),
        "fr": ("Je ne suis pas satisfait.",),
    },
}
"""Sentences by occasion and language."""

_LANGUAGE_OF_ZONE = tuple(locale[:2] for _, _, locale, _ in ZONES)


def words_for(occasion: str, result: WeekResult, rows: IntArray) -> list[str]:
    """A sentence for each of some customers in their language; `occasion` is a key of `TEXTS`."""
    found: list[str] = []
    for language, number in zip(languages_of(result, rows), result.chance(Cause.WORDS)[rows].tolist(), strict=True):
        sentences = TEXTS[occasion][language]
        found.append(sentences[int(number * len(sentences))])
    return found


def languages_of(result: WeekResult, rows: IntArray) -> list[str]:
    """The language of each customer, as a form that they fill in knows it."""
    return [_LANGUAGE_OF_ZONE[zone] for zone in result.effects.population.zone[rows].tolist()]
