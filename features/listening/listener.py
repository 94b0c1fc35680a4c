"""Reads the texts of arriving events and stores the result with them, once, whatever their source."""

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import orjson
import polars as pl

from decisioning.catalogue.catalogue import Catalogue
from decisioning.catalogue.listening import Listening
from features.listening.text_reader import HeardText, low_score, read_text
from features.log.heard import CASE_ID, HEARD, HEARD_PREFIX, LABEL, OPENS, SENTIMENT, TEXT_TYPES

_LONGEST_ID = 200
_PLACE = "place"
_SPELLING = orjson.OPT_SORT_KEYS


def listen(
    event_type: str, event_id: str, properties: Mapping[str, Any], catalogue: Catalogue | None
) -> Mapping[str, Any]:
    """Properties of an event with what was heard in them, under `heard`.

    Args:
        event_type: Types other than `TEXT_TYPES` come back as they are.
        event_id: Identity of the report; a case that its words open is named after it, unless `case_id` names one.
        properties: `text`, and optionally `language` (a tag), `sentiment` (in [-1, 1]), `survey`, `score`, `case_id`.
        catalogue: Declares topics and moods; None to hear with the defaults.

    Returns:
        The same with `heard`: `language`; `reader`, `sentiment` and `sentiment_label` where the mood could be read;
        `topic` where one was named; `opens` and `case_id` where the event opens a case that its type does not. What a
        caller had put under `heard` is replaced.
    """
    if event_type not in TEXT_TYPES:
        return properties
    listening = catalogue.listening if catalogue is not None else Listening()
    text, plain = properties.get("text"), _unheard(properties)
    reading = None
    if isinstance(text, str) and text.strip():
        reading = read_text(text, listening, language=properties.get("language"), sentiment=properties.get("sentiment"))
    heard = _words_of(reading)
    kind = None if _opens_anyway(event_type, catalogue) else opened_kind(reading, properties, listening)
    if kind is not None:
        heard |= {OPENS: kind, CASE_ID: case_id_of(event_id, properties)}
    return {**plain, HEARD: heard} if heard else plain


def opened_kind(reading: HeardText | None, properties: Mapping[str, Any], listening: Listening) -> str | None:
    """The kind of case that a text or a score opens: the topic's, whatever the mood; else for a bad mood or score.

    A mood keeps no topic from opening: "nobody could help me find my bag" reads well for a lexicon, for the help.
    """
    topic = listening.topics.get(reading.topic) if reading is not None and reading.topic is not None else None
    if topic is not None and topic.opens is not None:
        return topic.opens
    is_bad = (reading is not None and reading.label == "negative") or low_score(properties, listening)
    return listening.opens if is_bad else None


def case_id_of(event_id: str, properties: Mapping[str, Any]) -> str:
    """The case that a text belongs to: the one it names, else one of its own.

    Example:
        >>> case_id_of("post-17", {})
        'heard:post-17'
    """
    named = properties.get("case_id")
    if isinstance(named, str) and 0 < len(named) <= _LONGEST_ID:
        return named
    own = HEARD_PREFIX + event_id
    return own if len(own) <= _LONGEST_ID else HEARD_PREFIX + sha256(event_id.encode()).hexdigest()


def listen_to_rows(events: pl.DataFrame, catalogue: Catalogue | None) -> pl.DataFrame:
    """Canonical events with what was heard in them."""
    texts = events.with_row_index(_PLACE).filter(
        pl.col("type").is_in(list(TEXT_TYPES)) & pl.col("properties").is_not_null()
    )
    if texts.is_empty():
        return events
    heard = [
        _spelt(listen(kind, event_id, orjson.loads(text), catalogue))
        for event_id, kind, text in texts.select("event_id", "type", "properties").iter_rows()
    ]
    told = texts.select(_PLACE, pl.Series("told", heard, dtype=pl.String))
    return (
        events.with_row_index(_PLACE)
        .join(told, on=_PLACE, how="left", maintain_order="left")
        .with_columns(properties=pl.coalesce("told", "properties"))
        .drop(_PLACE, "told")
    )


def without_heard(events: pl.DataFrame) -> pl.DataFrame:
    """Canonical events without what was heard in them, so that two reports of one event compare equal."""
    texts = events["properties"].str.contains(f'"{HEARD}"', literal=True).fill_null(value=False)
    if not texts.any():
        return events
    plain = {text: _spelt(_unheard(orjson.loads(text))) for text in events.filter(texts)["properties"].unique()}
    told = pl.col("properties").replace_strict(plain, default=None, return_dtype=pl.String)
    return events.with_columns(properties=pl.when(texts).then(told).otherwise("properties"))


def _unheard(properties: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: value for name, value in properties.items() if name != HEARD}


def _spelt(properties: Mapping[str, Any]) -> str:
    return orjson.dumps(properties, option=_SPELLING).decode()


def _words_of(reading: HeardText | None) -> dict[str, Any]:
    if reading is None:
        return {}
    words = {
        "language": reading.language,
        "reader": reading.reader,
        SENTIMENT: reading.sentiment,
        LABEL: reading.label,
        "topic": reading.topic,
    }
    return {name: value for name, value in words.items() if value is not None}


def _opens_anyway(event_type: str, catalogue: Catalogue | None) -> bool:
    """True where the event's type opens a case, whatever its words say."""
    return catalogue is not None and any(event_type in kind.opened_by for kind in catalogue.care.kinds.values())
