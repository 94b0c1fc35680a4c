"""What was heard in events, as columns that definitions read."""

from collections.abc import Mapping

import polars as pl

from decisioning.catalogue.listening import SCALES
from features.log.event_types import EventType
from features.log.heard import LABEL, SENTIMENT, TEXT_TYPES, heard_field

HEARD_COLUMNS: Mapping[str, pl.DataType] = {
    "sentiment": pl.Float64(),
    "is_negative": pl.Boolean(),
    "survey": pl.String(),
    "score": pl.Float64(),
}

_PLACE = "place"


def heard_columns(events: pl.DataFrame) -> pl.DataFrame:
    """Canonical events with `sentiment`, `is_negative`, `survey` and `score`; all null but in what customers said.

    A score outside of its survey's scale is nobody's score, and missing.
    """
    if "properties" not in events.columns:
        return events.with_columns(pl.lit(None, dtype=dtype).alias(name) for name, dtype in HEARD_COLUMNS.items())
    numbered = events.with_row_index(_PLACE)
    texts = numbered.filter(pl.col("type").is_in(list(TEXT_TYPES)) & pl.col("properties").is_not_null())
    survey = pl.col("properties").str.json_path_match("$.survey")
    score = pl.col("properties").str.json_path_match("$.score").cast(pl.Float64, strict=False)
    is_answer = (pl.col("type") == EventType.SURVEY_ANSWER.value) & survey.is_in(list(SCALES))
    ends = ({survey: scale[place] for survey, scale in SCALES.items()} for place in (0, 1))
    lowest, highest = (survey.replace_strict(one, default=None, return_dtype=pl.Float64) for one in ends)
    heard = texts.select(
        _PLACE,
        heard_field(SENTIMENT).cast(pl.Float64, strict=False).alias("sentiment"),
        (heard_field(LABEL) == "negative").alias("is_negative"),
        pl.when(is_answer).then(survey).alias("survey"),
        pl.when(is_answer & score.is_between(lowest, highest)).then(score).alias("score"),
    )
    return numbered.join(heard, on=_PLACE, how="left", maintain_order="left").drop(_PLACE)
