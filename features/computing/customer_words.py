"""Features of what customers say: sentiment of their texts, and survey scores."""

from collections.abc import Iterator

import narwhals as nw

from decisioning.catalogue.listening import SCALES
from features.computing.definition import Definition, Group, Source, counted, days_since, mean, newest, within

MEAN_WINDOW = 365
LAST_WINDOW = 90


def listening() -> Iterator[Definition]:
    """Moods of texts, and scores of surveys; missing where nobody could read a mood or gave a score."""
    yield from _moods()
    for survey, (lowest, highest) in SCALES.items():
        yield from _scores(survey, f"{lowest:g} to {highest:g}")


def _moods() -> Iterator[Definition]:
    recent, is_negative, group = within(90), nw.col("is_negative"), Group.SERVICE
    total, read = mean(recent, "sentiment")
    meaning = "Mean mood of the customer's words in the last 90 days, from -1 to 1, where it could be read."
    yield Definition(name="sentiment_mean_90d", group=group, meaning=meaning, term=total, divisor=read)
    meaning = "Texts of the last 90 days in a negative mood."
    yield counted(group, "negative_text_count_90d", meaning, Source.EVENTS, recent & is_negative)
    meaning = "Days since the last text in a negative mood."
    yield days_since(group, "negative_text_recency_days", meaning, Source.EVENTS, is_negative)


def _scores(survey: str, scale: str) -> Iterator[Definition]:
    rows = nw.col("survey") == survey
    total, given = mean(rows & within(MEAN_WINDOW), "score")
    name = f"{survey}_score_mean_{MEAN_WINDOW}d"
    meaning = f"Mean {survey} score of the last {MEAN_WINDOW} days, {scale}."
    yield Definition(name=name, group=Group.SERVICE, meaning=meaning, term=total, divisor=given)
    yield Definition(
        name=f"{survey}_score_last_{LAST_WINDOW}d",
        group=Group.SERVICE,
        meaning=f"Last {survey} score of the last {LAST_WINDOW} days, {scale}.",
        term=newest(rows & within(LAST_WINDOW) & ~nw.col("score").is_null(), "score"),
        is_packed=True,
    )
