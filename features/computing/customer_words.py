"""Features of what customers say: sentiment of their texts, and survey scores."""

from collections.abc import Iterator

import narwhals as nw

from decisioning.catalogue.listening import SCALES
from features.computing.definition import Definition, Group, Source, count, mean, newest, recency, within

MEAN_WINDOW = 365
LAST_WINDOW = 90


def listening() -> Iterator[Definition]:
    """Moods of texts, and scores of surveys; missing where nobody could read a mood or gave a score."""
    yield from _moods()
    for survey, (lowest, highest) in SCALES.items():
        yield from _scores(survey, f"{lowest:g} to {highest:g}")


def _moods() -> Iterator[Definition]:
    recent, is_negative = within(90), nw.col("is_negative")
    total, read = mean(recent, "sentiment")
    yield Definition(
        name="sentiment_mean_90d",
        group=Group.SERVICE,
        meaning="Mean mood of the customer's words in the last 90 days, from -1 to 1, where it could be read.",
        term=total,
        divisor=read,
    )
    yield Definition(
        name="negative_text_count_90d",
        group=Group.SERVICE,
        meaning="Texts of the last 90 days in a negative mood.",
        term=count(Source.EVENTS, recent & is_negative),
        is_count=True,
    )
    yield Definition(
        name="negative_text_recency_days",
        group=Group.SERVICE,
        meaning="Days since the last text in a negative mood.",
        term=recency(Source.EVENTS, is_negative),
    )


def _scores(survey: str, scale: str) -> Iterator[Definition]:
    rows = nw.col("survey") == survey
    total, given = mean(rows & within(MEAN_WINDOW), "score")
    yield Definition(
        name=f"{survey}_score_mean_{MEAN_WINDOW}d",
        group=Group.SERVICE,
        meaning=f"Mean {survey} score of the last {MEAN_WINDOW} days, {scale}.",
        term=total,
        divisor=given,
    )
    yield Definition(
        name=f"{survey}_score_last_{LAST_WINDOW}d",
        group=Group.SERVICE,
        meaning=f"Last {survey} score of the last {LAST_WINDOW} days, {scale}.",
        term=newest(rows & within(LAST_WINDOW) & ~nw.col("score").is_null(), "score"),
        is_packed=True,
    )
