"""The form of `listening`: topics and sentiment of customers' texts, and which of them open a case."""

from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from decisioning.catalogue.listening import SCALES, Listening
from features.catalogue.forms.fields import FileModel, Identifier, Text

_PLAIN = Listening()

Mood = Annotated[float, Field(ge=-1, le=1)]


def _phrase(value: str) -> str:
    if not value.removesuffix("*").strip() or "*" in value.removesuffix("*"):
        raise ValueError("must be a word or phrase, with a * at its end at most")
    return value


Phrase = Annotated[Text, AfterValidator(_phrase)]


class TopicFile(FileModel):
    """Something that texts are about."""

    words: Annotated[tuple[Phrase, ...], Field(min_length=1, max_length=500)] = Field(
        description="Words and phrases in any language; a * at the end stands for any ending"
    )
    opens: str | None = Field(default=None, description="Kind of case that a text about it opens, whatever its mood")


class ListeningFile(FileModel):
    """What is heard in texts and survey answers."""

    topics: dict[Identifier, TopicFile] = Field(default_factory=dict, description="What texts may be about")
    negative_below: Mood = Field(default=_PLAIN.negative_below, description="A mood below this is negative")
    positive_above: Mood = Field(default=_PLAIN.positive_above, description="A mood above this is positive")
    opens: str | None = Field(default=None, description="Kind of case that a negative text or a low score opens")
    low_scores: dict[str, float] = Field(
        default_factory=lambda: dict(_PLAIN.low_scores), description="Per survey the highest score that counts as low"
    )

    @model_validator(mode="after")
    def _is_sound(self) -> Self:
        if self.negative_below > self.positive_above:
            raise ValueError("must have `negative_below` at or below `positive_above`")
        for survey, score in self.low_scores.items():
            if survey not in SCALES:
                raise ValueError(f"must have in `low_scores` only surveys ({', '.join(SCALES)})")
            lowest, highest = SCALES[survey]
            if not lowest <= score <= highest:
                raise ValueError(f"must have a low score of {survey} from {lowest:g} to {highest:g}")
        return self
