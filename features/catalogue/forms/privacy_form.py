"""The form of `retention` and `data_purposes`: how long data is kept, and what it is for."""

from typing import Annotated

from pydantic import Field, StringConstraints

from features.catalogue.forms.fields import FileModel

Days = Annotated[int, Field(ge=1, le=36_500)]
DataName = Annotated[
    str, StringConstraints(pattern=r"^(customers|events|decisions|outcomes)(\.[A-Za-z0-9_-]+){0,3}$", max_length=200)
]
Purpose = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class RetentionFile(FileModel):
    """Days that data is kept; what is not named is kept until somebody erases it."""

    customers: Days | None = Field(
        default=None, description="Profile rows that a newer one replaced; the newest row of a customer stays"
    )
    events: Days | None = Field(default=None, description="Events, by when they happened")
    decisions: Days | None = Field(default=None, description="Decisions with their records, by when they were made")
    outcomes: Days | None = Field(default=None, description="Outcomes, by when they happened")
    features: Days | None = Field(default=None, description="Rows of the feature history, by their moment")
    rejects: Days | None = Field(default=None, description="Rows that an import refused")
    dead_letters: Days | None = Field(default=None, description="Entries of the stream that were no rows")
    handoffs: Days | None = Field(default=None, description="Files for mail houses, call lists and the like")
